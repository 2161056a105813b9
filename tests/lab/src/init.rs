//! Process 1 of a host: lays out the host's root file system in fresh namespaces and becomes its systemd.
//!
//! Runs as `lab-host init`, started by the supervisor as the first process of a new pid namespace. Until the root is
//! changed it sees the machine's files.

use std::fs::File;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{chdir, pivot_root, sethostname};

use crate::error::Error;
use crate::settings::{MOST_HOSTS, Site};
use crate::{cgroup, disk, files, net};

/// What lies on the disk itself and not on the overlay, because it holds overlays of its own (an overlay cannot carry
/// another one's upper directory). No more than that: a mount point cannot be removed, as a program under test may wish to.
const OFF_THE_OVERLAY: &[&str] = &["var/lib/containerd", "var/lib/docker"];

/// Kernel settings of the whole machine that kubelet, kubeadm and packages write: each host gets a file of its own.
const PRIVATE_SYSCTLS: &[&str] = &[
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "vm/swappiness",
    "vm/max_map_count",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
    "kernel/pid_max",
    "fs/inotify/max_user_instances",
    "fs/inotify/max_user_watches",
    "fs/file-max",
];

const DEVICES: &[(&str, u64, u64)] = &[
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
    ("fuse", 10, 229),
    ("net/tun", 10, 200),
];

const DEVICE_LINKS: &[(&str, &str)] = &[
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    // The kubelet insists on opening it; the machine's own is not a host's to read.
    ("kmsg", "null"),
];

/// What nobody on a host may do, since there is one clock, one kernel log, one set of modules, ports and raw devices.
const DROPPED: &str = "-sys_time,-syslog,-sys_module,-sys_rawio";

/// Kernel switches of the whole machine that lie outside `/proc/sys`: its reset button, its interrupts, its buses.
const READ_ONLY: &[&str] = &[
    "proc/sysrq-trigger",
    "proc/irq",
    "proc/bus",
    "proc/fs",
    "proc/acpi",
];

/// How a program is started on a host, its own systemd and whatever is brought in from outside: with no more rights than
/// the host has, and with a clean environment.
pub(crate) fn confined() -> [String; 7] {
    [
        "/usr/bin/setpriv".to_owned(),
        format!("--bounding-set={DROPPED}"),
        format!("--inh-caps={DROPPED}"),
        "--".to_owned(),
        "/usr/bin/env".to_owned(),
        "-i".to_owned(),
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
    ]
}

/// Becomes the host's systemd; returns only with an error.
pub(crate) fn become_host(site: &Site, host: &str) -> Result<std::convert::Infallible, Error> {
    // The supervisor's death is a power loss: nobody would look after the host any more.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(Error::sys("prctl", host))?;
    cgroup::enter(&site.space(), host)?;
    net::enter(&site.host_space(host))?;
    unshare(
        CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWCGROUP,
    )
    .map_err(Error::sys("unshare", host))?;
    mount_with(
        None,
        Path::new("/"),
        None,
        MsFlags::MS_PRIVATE | MsFlags::MS_REC,
        None,
    )?;
    sethostname(host).map_err(Error::sys("sethostname", host))?;

    let only_version_2 = cgroup::only_version_2()?;
    let root = lay_out_files(site, host)?;
    kernel_file_systems(site, host, &root)?;
    cgroups(&root, only_version_2)?;

    chdir(&root).map_err(Error::sys("chdir", root.to_string_lossy()))?;
    // The old root on top of the new one, and away with it: no folder in the host is needed for that.
    pivot_root(".", ".").map_err(Error::sys("pivot_root", root.to_string_lossy()))?;
    umount2(".", MntFlags::MNT_DETACH).map_err(Error::sys("umount", "the machine's root"))?;
    chdir("/").map_err(Error::sys("chdir", "/"))?;

    let [program, args @ ..] = confined();
    let error = Command::new(program)
        .args(args)
        .args([
            "container=lab",
            "TERM=dumb",
            "/sbin/init",
            "--show-status=no",
        ])
        .exec();
    Err(Error::Spawn {
        argv: "/sbin/init".to_owned(),
        source: error,
    })
}

/// The overlay with what is the host's own in it.
fn lay_out_files(site: &Site, host: &str) -> Result<PathBuf, Error> {
    let root = site.host_dir(host).join("root");
    let on = disk::mount_point(site, host);
    files::make_dir(&root)?;
    let (upper, work, data) = (on.join("upper"), on.join("work"), on.join("data"));
    for dir in [&upper, &work, &data] {
        files::make_dir(dir)?;
    }
    let layers = format!(
        "lowerdir={},upperdir={},workdir={}",
        site.settings.base.display(),
        upper.display(),
        work.display()
    );
    mount_with(
        Some("overlay"),
        &root,
        Some("overlay"),
        MsFlags::empty(),
        Some(&layers),
    )?;
    for path in OFF_THE_OVERLAY {
        files::make_dir(&root.join(path))?;
        files::make_dir(&data.join(path))?;
        bind(&data.join(path), &root.join(path))?;
    }
    let made = on.join("made");
    if !made.exists() {
        install(site, host, &root)?;
        files::write(&made, "", 0o600)?;
        // A machine is installed long before its first power loss.
        let dir = File::open(&on).map_err(Error::io("open", &on))?;
        nix::unistd::syncfs(&dir).map_err(Error::sys("syncfs", on.to_string_lossy()))?;
    }
    Ok(root)
}

/// What an installer would have written.
fn install(site: &Site, host: &str, root: &Path) -> Result<(), Error> {
    let own = site.host_dir(host);
    let at = |path: &str| root.join(path);
    files::write(&at("etc/hostname"), format!("{host}\n"), 0o644)?;
    files::write(
        &at("etc/machine-id"),
        files::read(&own.join("machine-id"))?,
        0o444,
    )?;
    let mut hosts = "127.0.0.1 localhost\n".to_owned();
    for n in 1..=MOST_HOSTS {
        hosts += &format!("{} h{n}\n", site.settings.net.address(10 + n));
    }
    files::write(&at("etc/hosts"), hosts, 0o644)?;
    // As in a real air gap: nobody to ask.
    files::write(&at("etc/resolv.conf"), "", 0o644)?;
    let key = "ssh_host_ed25519_key";
    files::write(
        &at("etc/ssh").join(key),
        files::read(&own.join(key))?,
        0o600,
    )?;
    let public = format!("{key}.pub");
    files::write(
        &at("etc/ssh").join(&public),
        files::read(&own.join(&public))?,
        0o644,
    )?;

    let client = files::read(&site.key().with_extension("pub"))?;
    files::write(&at("root/.ssh/authorized_keys"), &client, 0o600)?;
    let admin = at("home/admin/.ssh/authorized_keys");
    files::write(&admin, &client, 0o600)?;
    let (uid, gid) =
        passwd_ids(&files::read(&at("etc/passwd"))?, "admin").ok_or(Error::Config {
            what: "base",
            value: root.display().to_string(),
            rule: "must have a user admin",
        })?;
    chown(&admin, Some(uid), Some(gid)).map_err(Error::io("change the owner of", &admin))
}

fn passwd_ids(passwd: &str, user: &str) -> Option<(u32, u32)> {
    let line = passwd
        .lines()
        .find(|line| line.split(':').next() == Some(user))?;
    let mut fields = line.split(':').skip(2).map(str::parse);
    Some((fields.next()?.ok()?, fields.next()?.ok()?))
}

/// `/proc`, `/sys`, `/dev`, `/run`.
fn kernel_file_systems(site: &Site, host: &str, root: &Path) -> Result<(), Error> {
    let at = |path: &str| root.join(path);
    let (nosuid, nodev, noexec) = (MsFlags::MS_NOSUID, MsFlags::MS_NODEV, MsFlags::MS_NOEXEC);
    let fresh = |path: &str, kind: &str, flags, options: Option<&str>| {
        mount_with(Some(kind), &root.join(path), Some(kind), flags, options)
    };
    fresh("proc", "proc", nosuid | nodev | noexec, None)?;
    fresh(
        "sys",
        "sysfs",
        nosuid | nodev | noexec | MsFlags::MS_RDONLY,
        None,
    )?;
    fresh("dev", "tmpfs", nosuid, Some("mode=755,size=16m"))?;
    fresh("run", "tmpfs", nosuid | nodev, Some("mode=755,size=512m"))?;
    for dir in ["dev/pts", "dev/shm", "dev/mqueue", "dev/net"] {
        files::make_dir(&at(dir))?;
    }
    fresh(
        "dev/pts",
        "devpts",
        nosuid | noexec,
        Some("newinstance,ptmxmode=666,mode=620,gid=5"),
    )?;
    fresh("dev/shm", "tmpfs", nosuid | nodev, Some("mode=1777"))?;
    fresh("dev/mqueue", "mqueue", nosuid | nodev | noexec, None)?;
    let all = Mode::from_bits_truncate(0o666);
    for &(name, major, minor) in DEVICES {
        let path = at("dev").join(name);
        mknod(&path, SFlag::S_IFCHR, all, makedev(major, minor))
            .map_err(Error::sys("mknod", path.to_string_lossy()))?;
        // The umask took from the mode.
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666))
            .map_err(Error::io("set the mode of", &path))?;
    }
    for &(name, target) in DEVICE_LINKS {
        files::link(target, &at("dev").join(name))?;
    }
    settings(site, host, root)
}

/// Makes the machine's kernel settings unwritable and hides those that a host must believe to be its own.
fn settings(site: &Site, host: &str, root: &Path) -> Result<(), Error> {
    let sys = root.join("proc/sys");
    // The files behind the private settings lie on a file system that the host never sees by itself.
    let own = site.host_dir(host).join("sysctl");
    files::make_dir(&own)?;
    mount_with(
        Some("tmpfs"),
        &own,
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some("mode=755,size=1m"),
    )?;
    bind(&sys, &sys)?;
    for name in PRIVATE_SYSCTLS {
        // Not every kernel has all of them.
        let Ok(value) = std::fs::read(sys.join(name)) else {
            continue;
        };
        let file = own.join(name.replace('/', "."));
        files::write(&file, value, 0o644)?;
        bind(&file, &sys.join(name))?;
    }
    // journalctl tells boots apart by it.
    let boot = own.join("boot_id");
    files::write(&boot, files::read(&sys.join("kernel/random/uuid"))?, 0o444)?;
    bind(&boot, &sys.join("kernel/random/boot_id"))?;
    // These are the network namespace's own.
    bind(&sys.join("net"), &sys.join("net"))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY;
    mount_with(
        None,
        &sys,
        None,
        MsFlags::MS_REMOUNT | MsFlags::MS_BIND | flags,
        None,
    )?;

    for path in READ_ONLY {
        let path = root.join(path);
        if path.exists() {
            bind(&path, &path)?;
            mount_with(
                None,
                &path,
                None,
                MsFlags::MS_REMOUNT | MsFlags::MS_BIND | flags,
                None,
            )?;
        }
    }
    // `swapoff -a` on a host is not to reach the machine's swap, and the kubelet is not to refuse to run for it.
    let swaps = own.join("swaps");
    files::write(
        &swaps,
        "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n",
        0o444,
    )?;
    bind(&swaps, &root.join("proc/swaps"))?;

    // Kubernetes wants nodes to differ in it. A machine without firmware tables has none to hide.
    for name in ["product_uuid", "product_serial"] {
        let seen = root.join("sys/class/dmi/id").join(name);
        if seen.exists() {
            let file = own.join(name);
            files::write(
                &file,
                files::read(&site.host_dir(host).join("product_uuid"))?,
                0o400,
            )?;
            bind(&file, &seen)?;
        }
    }
    Ok(())
}

/// The machine's hierarchies, each seen from the host's own group since this is a cgroup namespace.
fn cgroups(root: &Path, only_version_2: bool) -> Result<(), Error> {
    let at = root.join("sys/fs/cgroup");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let groups = files::read(Path::new("/proc/self/cgroup"))?;
    if only_version_2 {
        return mount_with(Some("cgroup2"), &at, Some("cgroup2"), flags, None);
    }
    mount_with(Some("cgroup"), &at, Some("tmpfs"), flags, Some("mode=755"))?;
    for line in groups.lines() {
        let Some(controllers) = line.split(':').nth(1) else {
            continue;
        };
        let name = controllers.strip_prefix("name=").unwrap_or(controllers);
        let (kind, options) = match controllers {
            "" => ("cgroup2", None),
            named if named != name => ("cgroup", Some(format!("none,{named}"))),
            plain => ("cgroup", Some(plain.to_owned())),
        };
        let dir = at.join(if name.is_empty() { "unified" } else { name });
        files::make_dir(&dir)?;
        mount_with(Some(kind), &dir, Some(kind), flags, options.as_deref())?;
    }
    Ok(())
}

fn bind(from: &Path, to: &Path) -> Result<(), Error> {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .map_err(Error::sys("mount --bind", to.to_string_lossy()))
}

fn mount_with(
    source: Option<&str>,
    at: &Path,
    kind: Option<&str>,
    flags: MsFlags,
    options: Option<&str>,
) -> Result<(), Error> {
    mount(source, at, kind, flags, options).map_err(Error::sys("mount", at.to_string_lossy()))
}

/// So that a first boot does not fail on a machine where a tool is missing: what [`become_host`] runs is in the base.
pub(crate) fn programs(base: &Path) -> Result<(), Error> {
    for program in ["usr/bin/setpriv", "sbin/init", "usr/sbin/sshd"] {
        let path = base.join(program);
        std::fs::symlink_metadata(&path).map_err(Error::io("find", &path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_user() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nadmin:x:1000:1001::/home/admin:/bin/bash\n";
        assert_eq!(passwd_ids(passwd, "admin"), Some((1000, 1001)));
        assert_eq!(passwd_ids(passwd, "adm"), None);
    }
}
