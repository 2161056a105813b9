//! The lab on a machine with cgroup version 2: a virtual one, with Debian's stock kernel.
//!
//! QEMU emulates it in software, so it needs no right and no processor's help, and takes its time. Two disks: Debian, made
//! once and never written to, and what the tests need, made anew for each run. systemd starts the tests as a service, what
//! they say comes over the serial console, and the machine turns itself off. It has no network card.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::Args;
use lab::Base;

use crate::Outcome;
use crate::run::{Task, cache};

const SUITE: &str = "trixie";
/// What a machine needs to make a lab, and nothing else.
const PACKAGES: [&str; 15] = [
    "linux-image-cloud-amd64",
    "systemd",
    "systemd-sysv",
    "udev",
    "dbus",
    "kmod",
    "mmdebstrap",
    "iproute2",
    "nftables",
    "iptables",
    "e2fsprogs",
    "util-linux",
    "mount",
    "procps",
    "openssh-client",
];
/// Autoloading does not help who looks whether they are there.
const MODULES: &str = "overlay\nloop\nbridge\nbr_netfilter\nveth\nvxlan\n";
/// The release of etcd that is put on hosts.
const ETCD: &str = parts::catalog::NEWEST.etcd;
/// The program of [`etcdadm`'s tests](../../tests/hosts), and the one of them that is run.
const MEMBERS: (&str, &str) = ("etcdadm", "three_members_form_a_cluster");
const SELFTEST: &str = "selftest";
/// The file that holds the kernel's release.
const RELEASE: &str = "release";
/// Where the second disk is mounted.
const PLACE: &str = "/klusterkit";
const LIMIT: Duration = Duration::from_secs(90 * 60);

/// What the part that needs root is given.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    tools: PathBuf,
    #[arg(long)]
    supplies: PathBuf,
    /// The lab's own test.
    #[arg(long)]
    selftest: PathBuf,
    /// etcdadm's tests.
    #[arg(long)]
    members: PathBuf,
}

/// The task that does it, as root: disks keep their files' owners.
pub(crate) fn task(
    tools: &Path,
    supplies: &Path,
    executables: &[(String, PathBuf)],
) -> Outcome<Task> {
    let find = |name: &str| {
        let found = executables.iter().find(|(known, _)| known == name);
        found
            .map(|(_, path)| path)
            .ok_or_else(|| format!("there is no test program {name}"))
    };
    Ok(Task::as_root(std::env::current_exe()?)
        .args(["vm", "--tools"])
        .args([tools])
        .args(["--supplies"])
        .args([supplies])
        .args(["--selftest"])
        .args([find(SELFTEST)?])
        .args(["--members"])
        .args([find(MEMBERS.0)?]))
}

pub(crate) fn main(arguments: &Arguments) -> Outcome {
    let system = system()?;
    let work = Scratch::new()?;
    let release = std::fs::read_to_string(system.join(RELEASE))?;
    let disk = data(arguments, &release, &work.0)?;
    let machine = Task::new("nice")
        .args(["-n", "19", "qemu-system-x86_64"])
        .args(["-machine", "q35", "-accel", "tcg"])
        // One processor: emulated ones that run side by side trip over a kernel that patches its own code, in older QEMUs.
        .args(["-cpu", "max", "-smp", "1", "-m", "4G"])
        .args(["-display", "none", "-monitor", "none", "-serial", "stdio"])
        .args(["-nic", "none", "-no-reboot", "-kernel"])
        .args([system.join("vmlinuz")])
        .args(["-initrd"])
        .args([system.join("initrd")])
        .args([
            "-append",
            "root=/dev/vda rw console=ttyS0 no_timer_check quiet panic=-1 systemd.show_status=0",
        ])
        .args(["-drive"])
        .args([drive(&system.join("root.ext4"), ",snapshot=on")])
        .args(["-drive"])
        .args([drive(&disk, "")]);
    watch(machine)
}

fn drive(path: &Path, more: &str) -> String {
    format!("file={},format=raw,if=virtio{more}", path.display())
}

/// Runs the machine until it is off; right only if it said so.
fn watch(machine: Task) -> Outcome {
    println!("\n$ {}", machine.words());
    let mut child = machine.command().stdout(Stdio::piped()).spawn()?;
    let (send, lines) = mpsc::channel();
    let console = child.stdout.take().ok_or("the console is not there")?;
    std::thread::spawn(move || {
        for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).replace('\r', "");
            if send.send(line).is_err() {
                break;
            }
        }
    });
    let deadline = Instant::now() + LIMIT;
    let mut ended = None;
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                println!("{line}");
                if let Some((_, result)) = line.split_once(ENDED) {
                    ended = Some(result.trim().to_owned());
                }
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                child.kill()?;
                child.wait()?;
                return Err(format!("not within {} minutes", LIMIT.as_secs() / 60).into());
            }
        }
    }
    let status = child.wait()?;
    match ended.as_deref() {
        Some("success") => Ok(()),
        Some(other) => Err(format!("the tests in the machine ended with {other}").into()),
        None => Err(format!("the machine went off before the tests had ended ({status})").into()),
    }
}

/// Stands on the console before how the service ended.
const ENDED: &str = "the tests have ended: ";

/// The service that is the machine's only task.
fn service() -> String {
    format!(
        "\
[Unit]
Description=Tests of the lab
RequiresMountsFor={PLACE} /var/tmp
After=systemd-modules-load.service dbus.service
SuccessAction=poweroff-force
FailureAction=poweroff-force

[Service]
Type=oneshot
TimeoutStartSec=infinity
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
Delegate=yes
LimitNOFILE=65536
WorkingDirectory={PLACE}
Environment=HOME=/root XDG_CACHE_HOME={PLACE}/cache RUST_BACKTRACE=0 LAB_PATIENCE=10
Environment=KLUSTERKIT_TOOLS={PLACE}/tools KLUSTERKIT_SUPPLIES={PLACE}/supplies
ExecStart={PLACE}/target/debug/deps/{SELFTEST} --include-ignored --test-threads=1 --nocapture
ExecStart={PLACE}/target/debug/deps/{} --include-ignored --test-threads=1 --nocapture {}
ExecStopPost=/usr/bin/echo '{ENDED}${{SERVICE_RESULT}}'
",
        MEMBERS.0, MEMBERS.1
    )
}

/// The folder with Debian's disk, kernel and initial file system, made now if it is not there.
fn system() -> Outcome<PathBuf> {
    let recipe = format!("2 {SUITE} {}\n{MODULES}{}", PACKAGES.join(" "), service());
    let key = &parts::files::sha256(recipe.as_bytes())[..16];
    let folder = cache()?.join(format!("vm-{key}"));
    if folder.exists() {
        return Ok(folder);
    }
    println!("making the virtual machine's Debian");
    let work = folder.with_extension("unfinished");
    if work.exists() {
        std::fs::remove_dir_all(&work)?;
    }
    let root = work.join("root");
    std::fs::create_dir_all(&work)?;
    Task::new("mmdebstrap")
        .args(["--quiet", "--variant=apt"])
        .args([format!("--include={}", PACKAGES.join(","))])
        .args([SUITE])
        .args([&root])
        .run()?;
    let units = root.join("etc/systemd/system");
    let write = |path: PathBuf, text: &str| -> Outcome {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(std::fs::write(path, text)?)
    };
    write(
        root.join("etc/fstab"),
        &format!("/dev/vda / ext4 defaults 0 1\n/dev/vdb {PLACE} ext4 defaults 0 2\n"),
    )?;
    write(root.join("etc/modules-load.d/lab.conf"), MODULES)?;
    write(units.join("lab-tests.service"), &service())?;
    let wanted = units.join("multi-user.target.wants");
    std::fs::create_dir_all(&wanted)?;
    std::os::unix::fs::symlink("../lab-tests.service", wanted.join("lab-tests.service"))?;
    // The console is the tests'.
    std::os::unix::fs::symlink("/dev/null", units.join("serial-getty@ttyS0.service"))?;
    for (begin, name) in [("vmlinuz-", "vmlinuz"), ("initrd.img-", "initrd")] {
        let found = std::fs::read_dir(root.join("boot"))?
            .filter_map(Result::ok)
            .find(|entry| entry.file_name().to_string_lossy().starts_with(begin));
        let found = found.ok_or_else(|| format!("Debian's /boot has no {begin}*"))?;
        std::fs::copy(found.path(), work.join(name))?;
        let named = found.file_name().to_string_lossy().into_owned();
        if let Some(release) = named.strip_prefix("vmlinuz-") {
            std::fs::write(work.join(RELEASE), release)?;
        }
    }
    image(&root, &work.join("root.ext4"), "8G")?;
    std::fs::remove_dir_all(&root)?;
    std::fs::rename(&work, &folder)?;
    Ok(folder)
}

/// A disk with what the tests need, laid out so that they find it.
fn data(arguments: &Arguments, release: &str, work: &Path) -> Outcome<PathBuf> {
    let tree = work.join("data");
    let programs = tree.join("target/debug");
    let deps = programs.join("deps");
    let etcd = format!("mirror/github.com/etcd-io/etcd/releases/download/v{ETCD}");
    let kept = tree.join("cache/klusterkit");
    for folder in [
        &deps,
        &kept,
        &tree.join("tools"),
        &tree.join("supplies").join(&etcd),
    ] {
        std::fs::create_dir_all(folder)?;
    }
    // By this file it is known for cargo's target folder, in which the lab looks for its programs.
    std::fs::write(tree.join("target/CACHEDIR.TAG"), "")?;
    std::fs::copy(lab::supervisor_path()?, programs.join("lab-host"))?;
    std::fs::copy(&arguments.selftest, deps.join(SELFTEST))?;
    std::fs::copy(&arguments.members, deps.join(MEMBERS.0))?;
    std::fs::copy(arguments.tools.join("etcdadm"), tree.join("tools/etcdadm"))?;
    let upstream = arguments.supplies.join(&etcd);
    for entry in std::fs::read_dir(upstream)? {
        let entry = entry?;
        let to = tree.join("supplies").join(&etcd).join(entry.file_name());
        std::fs::copy(entry.path(), to)?;
    }
    // It is named by the kernel that its hosts run on, among other things.
    let base = Base::ensure_for(&cache()?, release)?;
    Task::new("cp")
        .args(["-a"])
        .args([base.root(), &kept])
        .run()?;
    let disk = work.join("data.ext4");
    image(&tree, &disk, "8G")?;
    Ok(disk)
}

fn image(tree: &Path, disk: &Path, size: &str) -> Outcome {
    Task::new("mkfs.ext4")
        .args(["-q", "-F", "-d"])
        .args([tree, disk])
        .args([size])
        .run()
}

/// A folder that goes when the run ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Outcome<Self> {
        let folder = PathBuf::from(format!("/var/tmp/klusterkit-vm-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
