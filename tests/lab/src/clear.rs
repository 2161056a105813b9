//! Who owns a lab's name, and the taking away of what a killed lab left behind.
//!
//! Everything of a lab is found by its name: a folder under `/run`, cgroups and network namespaces. Nothing that does not
//! carry it is touched.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::Flock;
use nix::sys::signal::Signal;

use crate::error::Error;
use crate::settings::{self, Site};
use crate::supervise::Status;
use crate::wait::wait_until;
use crate::{cgroup, files, net};

/// Takes a lab's name for this process.
pub(crate) fn own(name: &str) -> Result<Flock<File>, Error> {
    let lock = settings::run_dir(name).with_extension("owner");
    files::make_dir(lock.parent().unwrap_or(&lock))?;
    files::try_lock(&lock)?.ok_or_else(|| Error::InUse {
        name: name.to_owned(),
    })
}

/// Remembers where a lab has its folder.
pub(crate) fn remember(site: &Site) -> Result<(), Error> {
    files::write(
        &site.run_dir().join("dir"),
        site.dir.to_string_lossy().as_bytes(),
        0o600,
    )
}

/// The lab whose disks somebody meant to keep, if a new lab of this name in this folder would take them away: one of the
/// same name elsewhere, or one in the same folder.
pub(crate) fn standing(name: &str, dir: &Path) -> Option<Site> {
    let elsewhere = files::read(&settings::run_dir(name).join("dir"))
        .ok()
        .map(PathBuf::from);
    let kept = |dir: PathBuf| Site::load(&dir).ok().filter(|site| site.settings.kept);
    kept(dir.to_path_buf()).or_else(|| {
        elsewhere
            .and_then(kept)
            .filter(|site| site.settings.name == name)
    })
}

/// Takes away all processes, cgroups and namespaces of a lab; its folder stays.
pub(crate) fn leftovers(name: &str) -> Result<(), Error> {
    let (run, space) = (settings::run_dir(name), settings::space(name));
    // No supervisor is to boot its host again; those that live clean up behind themselves when it dies.
    let names = files::names(&run)?;
    let hosts: Vec<&str> = names
        .iter()
        .filter_map(|name| name.strip_suffix(".lock"))
        .collect();
    for host in &hosts {
        files::write(&run.join(format!("{host}.off")), "", 0o600)?;
    }
    let status = |host: &str| settings::load::<Status>(&run.join(format!("{host}.json"))).ok();
    for status in hosts.iter().filter_map(|host| status(host)) {
        if let Some(init) = status.init {
            init.signal(Signal::SIGKILL)?;
        }
    }
    cgroup::kill_all(&space, None)?;
    for host in &hosts {
        let lock = run.join(format!("{host}.lock"));
        let free = || Ok(files::try_lock(&lock)?.is_some());
        if wait_until("its supervisor ends", Duration::from_secs(30), free).is_err() {
            if let Some(status) = status(host) {
                status.supervisor.signal(Signal::SIGKILL)?;
            }
            wait_until(
                &format!("the supervisor of {host} ends"),
                Duration::from_secs(10),
                free,
            )?;
        }
    }
    cgroup::kill_all(&space, None)?;
    cgroup::remove(&space, None)?;
    net::remove(&space)?;
    files::remove_tree(&run)
}

/// Removes what a lab keeps in its folder, and nothing else.
pub(crate) fn folder(dir: &Path) -> Result<(), Error> {
    let names = files::names(dir)?;
    let of_hosts = || names.iter().filter(|name| settings::number(name).is_some());
    if !dir.join("lab.json").exists() && of_hosts().next().is_some() {
        return Err(Error::Config {
            what: "folder of the lab",
            value: dir.display().to_string(),
            rule: "must be empty, or a lab's",
        });
    }
    for host in of_hosts() {
        files::remove_tree(&dir.join(host))?;
    }
    // Its description last: as long as anything is left, the folder is known for a lab's.
    for file in ["id_ed25519", "id_ed25519.pub", "known_hosts", "lab.json"] {
        files::remove(&dir.join(file))?;
    }
    Ok(())
}
