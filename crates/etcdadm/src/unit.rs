//! The member as a unit of systemd: its file, and what makes it start at boot.

use std::path::Path;

use host::Inspect;
use systemd::{Command, Unit, Value};

use crate::phases::{file, folder};
use crate::{Change, Configuration, Error, paths};

/// What makes unit and link right.
pub(crate) fn files(
    host: &dyn Inspect,
    configuration: &Configuration,
) -> Result<Vec<Change>, Error> {
    let (unit_file, link) = (Path::new(paths::UNIT_FILE), Path::new(paths::UNIT_LINK));
    if host.read_link(unit_file)?.as_deref() == Some(Path::new("/dev/null")) {
        // So a distribution's unit of this name is masked.
        let path = unit_file.to_owned();
        return Ok(vec![host::Change::Remove { path }.into()]);
    }
    let text = unit(configuration).render().map_err(Error::Unit)?;
    let mut plan = file(host, unit_file, 0o644, &text)?;
    // What `systemctl enable` makes, without its reload of all units.
    if host.read_link(link)?.as_deref() != Some(unit_file) {
        let (path, target) = (link.to_owned(), unit_file.to_owned());
        let above = link.parent().expect("the link lies in a folder");
        plan.extend(folder(host, above, 0o755)?);
        plan.push(host::Change::Link { path, target }.into());
    }
    Ok(plan)
}

/// The unit of a member.
fn unit(configuration: &Configuration) -> Unit {
    let utf8 = |path: &Path| path.to_string_lossy().into_owned();
    let data_dir = utf8(configuration.data_dir());
    let unit = Unit::new("Written by etcdadm.")
        .with("Unit", "Description", "etcd member")
        .with("Unit", "Documentation", "https://etcd.io/docs/")
        .with("Unit", "After", "network-online.target")
        .with("Unit", "Wants", "network-online.target")
        .with("Unit", "Conflicts", "etcd-member.service etcd2.service")
        .with(
            "Unit",
            "RequiresMountsFor",
            Value::words([data_dir.clone()]),
        )
        .with("Service", "Type", "notify")
        .with(
            "Service",
            "EnvironmentFile",
            Value::line(paths::ENVIRONMENT),
        )
        .with(
            "Service",
            "ExecStart",
            Command::new(
                utf8(&configuration.install_dir().join("etcd")),
                [] as [&str; 0],
            ),
        )
        .with("Service", "Restart", "on-failure")
        .with("Service", "RestartSec", "5s")
        // Fetching the data of a large cluster takes as long as it takes; etcdadm has a limit of its own.
        .with("Service", "TimeoutStartSec", "infinity")
        .with("Service", "LimitNOFILE", "65536")
        .with("Service", "MemoryLow", "200M");
    let unit = configuration
        .priorities
        .iter()
        .fold(unit, |unit, (key, value)| {
            unit.with("Service", key, value.as_str())
        });
    systemd::harden(unit, &[&data_dir]).with("Install", "WantedBy", "multi-user.target")
}
