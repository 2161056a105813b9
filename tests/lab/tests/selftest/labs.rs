//! Several labs: side by side, copied, killed, kept.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lab::{Base, Disk, Error, HostSpec, Lab, LabConfig, Wipe, wait_until};

use crate::{config, power_cycle, small, text};

/// All labs of this test, and the folder they are in; what is left behind is looked for by this.
pub(crate) const PREFIX: &str = "klusterkit.selftest";

pub(crate) fn another_lab(lab: &Lab, base: &Base, dir: &Path) {
    let again = Lab::create(config("selftest", &dir.join("again"), base)).unwrap_err();
    assert!(matches!(again, Error::InUse { .. }), "{again}");
    let there = Lab::create(config("selftest-2", lab.dir(), base)).unwrap_err();
    assert!(matches!(there, Error::InUse { .. }), "{there}");
    let other = Lab::create(config("selftest-2", dir, base)).unwrap();
    let hosts = other
        .up(
            1,
            HostSpec {
                disk: Disk::Folder,
                ..small()
            },
        )
        .unwrap();
    let here = lab.host("h1").unwrap();
    assert_eq!(hosts[0].address(), here.address());
    hosts[0].write("/root/who", "other", 0o600).unwrap();
    assert!(here.read("/root/who").is_err());
    assert_eq!(text(&here, ["hostname"]), text(&hosts[0], ["hostname"]));
    power_cycle(&hosts[0]);
    assert_eq!(hosts[0].read("/root/who").unwrap(), "other");
    drop(other);
    assert!(
        !dir.exists(),
        "a lab that is dropped takes its folder with it"
    );
    assert_eq!(text(&here, ["hostname"]), "h1");
}

pub(crate) fn checkpoints(lab: Lab, base: &Base, temp: &Path) {
    let saved = temp.join("saved");
    let h1 = lab.host("h1").unwrap();
    h1.write("/root/data", "as it was", 0o600).unwrap();
    h1.write("/var/lib/containerd/data", "as it was", 0o600)
        .unwrap();
    let id = h1.read("/etc/machine-id").unwrap();
    assert!(matches!(lab.checkpoint(&saved), Err(Error::On { .. })));
    lab.stop_all().unwrap();
    lab.checkpoint(&saved).unwrap();
    assert!(
        lab.checkpoint(&saved).is_err(),
        "a checkpoint was overwritten"
    );
    // The original lives on beside its copy.
    h1.boot().unwrap();
    h1.wait_ssh().unwrap();
    h1.write("/root/data", "changed since", 0o600).unwrap();

    let config = LabConfig {
        checkpoint: Some(saved),
        ..config("selftest-3", &temp.join("clone"), base)
    };
    let clone = Lab::create(config).unwrap();
    assert_eq!(clone.hosts().unwrap().len(), 4);
    let c1 = clone.host("h1").unwrap();
    c1.boot().unwrap();
    c1.wait_ssh().unwrap();
    assert_eq!(
        text(&c1, ["cat", "/root/data", "/var/lib/containerd/data"]),
        "as it wasas it was"
    );
    assert_eq!(c1.read("/etc/machine-id").unwrap(), id);
    assert_eq!(text(&h1, ["cat", "/root/data"]), "changed since");
    clone.down(Wipe::Yes).unwrap();
    lab.down(Wipe::Yes).unwrap();
}

// ---- labs of other processes

/// Not a test of its own: the process that the walk above starts as the maker of a lab, and kills.
#[test]
#[ignore = "started by a_lab_does_what_it_says"]
fn maker() {
    let Ok(args) = std::env::var("LAB_SELFTEST_MAKER") else {
        // All ignored tests are run, this among them: then there is no walk that waits for a lab.
        return;
    };
    let [name, dir, fate] = args.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{args}")
    };
    let lab = Lab::create(config(name, Path::new(dir), &Base::ensure().unwrap())).unwrap();
    lab.up(1, small()).unwrap();
    if fate == "keep" {
        lab.keep().unwrap();
        return;
    }
    eprintln!("made");
    loop {
        std::thread::park();
    }
}

fn start_maker(name: &str, dir: &Path, fate: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "labs::maker", "--nocapture"])
        .env(
            "LAB_SELFTEST_MAKER",
            format!("{name} {} {fate}", dir.display()),
        )
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn made(child: &mut Child) {
    let said = BufReader::new(child.stderr.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let said: Vec<String> = said.take_while(|line| line != "made").collect();
    assert!(child.try_wait().unwrap().is_none(), "{said:?}");
}

pub(crate) fn killed(base: &Base, dir: &Path) {
    // Only the maker dies: its host's supervisor notices.
    let mut maker = start_maker("selftest-4", dir, "die");
    made(&mut maker);
    assert!(!leftovers().is_empty());
    maker.kill().unwrap();
    maker.wait().unwrap();
    let gone = wait_until("the orphans are gone", Duration::from_secs(120), || {
        Ok(leftovers().is_empty())
    });
    assert!(gone.is_ok(), "still there: {:?}", leftovers());

    // Both die.
    let mut maker = start_maker("selftest-4", dir, "die");
    made(&mut maker);
    let status = std::fs::read_to_string("/run/klusterkit-lab/selftest-4/h1.json").unwrap();
    let pid = status
        .split("\"pid\": ")
        .nth(1)
        .unwrap()
        .split(',')
        .next()
        .unwrap()
        .trim();
    assert!(
        Command::new("kill")
            .args(["-KILL", pid])
            .status()
            .unwrap()
            .success()
    );
    maker.kill().unwrap();
    maker.wait().unwrap();
    assert!(!leftovers().is_empty());
    let next = Lab::create(config("selftest-4", dir, base)).unwrap();
    assert!(next.hosts().unwrap().is_empty());
    let h1 = next.add(1, small()).unwrap();
    h1.boot().unwrap();
    h1.wait_ssh().unwrap();
}

pub(crate) fn kept(dir: &Path) {
    let maker = start_maker("selftest-5", dir, "keep");
    let output = maker.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let base = Base::ensure().unwrap();
    let again = Lab::create(config("selftest-5", &dir.join("again"), &base)).unwrap_err();
    assert!(
        matches!(&again, Error::Standing { dir: standing, .. } if standing == dir),
        "{again}"
    );
    let there = Lab::create(config("selftest-4", dir, &base)).unwrap_err();
    assert!(matches!(there, Error::Standing { .. }), "{there}");
    let lab = Lab::attach(dir).unwrap();
    assert_eq!(text(&lab.host("h1").unwrap(), ["hostname"]), "h1");
    drop(lab);
    let lab = Lab::attach(dir).unwrap();
    let h1 = lab.host("h1").unwrap();
    h1.write("/root/data", "x", 0o600).unwrap();
    h1.stop().unwrap();
    h1.boot().unwrap();
    h1.wait_ssh().unwrap();
    lab.down(Wipe::No).unwrap();
    let lab = Lab::attach(dir).unwrap();
    lab.boot_all().unwrap();
    assert_eq!(lab.host("h1").unwrap().read("/root/data").unwrap(), "x");
    lab.down(Wipe::Yes).unwrap();
    assert!(!dir.exists());
}

/// Everything of this test's labs that the machine still has.
fn leftovers() -> Vec<String> {
    let mut found = Vec::new();
    let out = |argv: &[&str]| {
        let output = Command::new(argv[0]).args(&argv[1..]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let name = format!("{PREFIX}*");
    let lists = [
        out(&["find", "/sys/fs/cgroup", "-type", "d", "-name", &name]),
        out(&["find", "/run/netns", "-name", &name]),
        out(&["losetup", "--list", "--noheadings", "--output", "BACK-FILE"]),
        std::fs::read_to_string("/proc/self/mountinfo").unwrap(),
        out(&["ps", "-eo", "args"]),
    ];
    for list in lists {
        let ours = |line: &&str| line.contains(PREFIX);
        found.extend(list.lines().filter(ours).map(str::to_owned));
    }
    found
}

pub(crate) fn nothing_left() {
    assert_eq!(leftovers(), Vec::<String>::new());
    for lab in [
        "selftest",
        "selftest-2",
        "selftest-3",
        "selftest-4",
        "selftest-5",
    ] {
        assert!(
            !Path::new("/run/klusterkit-lab").join(lab).exists(),
            "{lab}"
        );
    }
}
