//! The command line, as a program runs it: cleared environment, a folder of the admin's, no host that answers. What it says
//! stands here word by word.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "the test makes an admin's folder and runs the program"
)]

use std::path::Path;
use std::process::{Command, Output};

use clap::CommandFactory;

const FILE: &str = "\
apiVersion: klusterkit.dev/v1alpha1
kind: ClusterConfiguration
metadata: {name: lab}
kubernetes: {version: v1.37.2}
etcd: {version: v3.7.3}
controlPlaneEndpoint: 127.0.0.100
ssh: {user: admin, port: 1, identityFile: KEY}
machines:
  - {address: 127.0.0.11, roles: [master]}
  - {address: 127.0.0.12, roles: [node]}
";

/// An admin's folder, with a key and a good cluster file.
struct Admin(tempfile::TempDir);

impl Admin {
    fn new() -> Self {
        let admin = Self(tempfile::tempdir().unwrap());
        let key = admin.path().join("key");
        let words = ["-q", "-t", "ed25519", "-N", "", "-C", "admin", "-f"];
        let keygen = Command::new("ssh-keygen").args(words).arg(&key).status();
        assert!(keygen.unwrap().success());
        admin.write(
            "cluster.yaml",
            &FILE.replace("KEY", &key.display().to_string()),
        );
        admin
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    /// The good file with one thing in it replaced by another.
    fn with(&self, from: &str, to: &str) -> String {
        let text = std::fs::read_to_string(self.path().join("cluster.yaml")).unwrap();
        assert!(text.contains(from));
        self.write("other.yaml", &text.replacen(from, to, 1));
        self.shown(&["plan", "-f", "other.yaml"])
    }

    fn run(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cctl"))
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .current_dir(self.path())
            .args(words)
            .output()
            .unwrap()
    }

    /// Exit code, standard output and standard error; what differs from run to run is left out.
    fn shown(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let folder = self.path().display().to_string();
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).replace(&folder, "ADMIN");
            text.split_inclusive('\n').map(untimed).collect::<String>()
        };
        format!(
            "{}\n{}{}",
            output.status.code().unwrap(),
            text(&output.stdout),
            text(&output.stderr)
        )
    }
}

/// A line of progress says when it was written, to a tenth of a second.
fn untimed(line: &str) -> String {
    let moment = line.split_once("s ").filter(|(moment, _)| {
        let seconds = moment.trim_start();
        moment.len() == 7 && seconds.parse::<f32>().is_ok()
    });
    moment.map_or_else(|| line.to_owned(), |(_, said)| format!("    0.0s {said}"))
}

#[test]
fn a_cluster_file_is_told_where_it_is_wrong() {
    let admin = Admin::new();
    insta::assert_snapshot!(admin.with("etcd:", "etdc:"), @r"
    2
    usage error: other.yaml is at fault
      because: unknown field `etdc`, did you mean `etcd`? (line 5, column 1)
    ");
    insta::assert_snapshot!(admin.with("  - {address: 127.0.0.12", "   - {address: 127.0.0.12"), @r"
    2
    usage error: other.yaml is at fault
      because: did not find expected '-' indicator (line 10, column 4)
    ");
    insta::assert_snapshot!(admin.with("v1.37.2", "1.37"), @r#"
    2
    usage error: other.yaml is at fault
      because: kubernetes: not a version such as v1.37.2: "1.37" (line 4, column 13)
    "#);
    insta::assert_snapshot!(admin.with("roles: [node]", "roles: [worker, boss]"), @r"
    2
    usage error: other.yaml is at fault
      because: machines[1].roles[1]: unknown variant `boss`, expected one of `etcd`, `control-plane`, `master`, `node`, `worker` (line 10, column 43)
    ");
    insta::assert_snapshot!(admin.with("127.0.0.12, roles: [node]", "127.0.0.11, roles: []"), @r"
    2
    usage error: the cluster file is at fault:
      - machine 127.0.0.11 stands there twice
      - machine 127.0.0.11 has no role
    ");
    insta::assert_snapshot!(admin.with("port: 1", "port: 1, options: {ProxyCommand: nc}"), @r"
    2
    usage error: the cluster file is at fault:
      - ssh.options: the SSH option ProxyCommand cannot be set here: it runs a program, loosens the checking of host keys, or is unknown
    ");
    insta::assert_snapshot!(admin.with("port: 1", "port: 1, options: {StrictHostKeyChecking: no}"), @r"
    2
    usage error: the cluster file is at fault:
      - ssh.options: the SSH option StrictHostKeyChecking cannot be set here: it runs a program, loosens the checking of host keys, or is unknown
    ");
    insta::assert_snapshot!(admin.with("kind: ClusterConfiguration", "kind: Cluster"), @r"
    2
    usage error: other.yaml is at fault
      because: document 1 is klusterkit.dev/v1alpha1 Cluster, which is neither Klusterkit's nor kubeadm's, kubelet's or kube-proxy's
    ");
    insta::assert_snapshot!(admin.shown(&["plan", "-f", "none.yaml"]), @r"
    2
    usage error: could not read none.yaml
      because: No such file or directory (os error 2)
    ");
    insta::assert_snapshot!(admin.shown(&["apply"]), @r"
    2
    usage error: there is neither a cluster file (-f) nor a state
    ");
}

#[test]
fn a_host_that_does_not_answer_is_named() {
    let admin = Admin::new();
    insta::assert_snapshot!(admin.shown(&["apply", "-f", "cluster.yaml"]), @r"
    4
    host unreachable: 127.0.0.11 cannot be reached by SSH: connect to host 127.0.0.11 port 1: Connection refused
    127.0.0.12 cannot be reached by SSH: connect to host 127.0.0.12 port 1: Connection refused
    hint: see that 127.0.0.11 is on, reachable from here, and runs sshd on that port; then run the same again
    hint: see that 127.0.0.12 is on, reachable from here, and runs sshd on that port; then run the same again
    ");
    assert!(
        !admin.path().join("cctl-state.yaml").exists(),
        "nothing began"
    );
}

#[test]
fn a_bundle_that_is_none_is_refused() {
    let admin = Admin::new();
    let apply = |bundle: &str| admin.shown(&["apply", "-f", "cluster.yaml", "--bundle", bundle]);
    insta::assert_snapshot!(apply("none.tar"), @r"
    1
    error: cannot read none.tar
      because: No such file or directory (os error 2)
    ");
    admin.write("text.tar", "no tar at all");
    insta::assert_snapshot!(apply("text.tar"), @r"
    1
    error: text.tar is no sound tar archive
      because: the archive is cut off after 13 bytes
    ");
}

#[test]
fn a_state_is_made_read_and_protected() {
    let admin = Admin::new();
    let create = [
        "create",
        "cluster",
        "--name",
        "lab",
        "--vip",
        "127.0.0.100",
        "--private-key",
    ];
    let key = admin.path().join("key").display().to_string();
    let create: Vec<&str> = create.into_iter().chain([key.as_str()]).collect();
    insta::assert_snapshot!(admin.shown(&["get", "cluster"]), @r"
    2
    usage error: there is no state file ADMIN/cctl-state.yaml
    hint: name it with --state, or make a cluster with `cctl apply -f cluster.yaml`
    ");
    insta::assert_snapshot!(admin.shown(&["create", "cluster"]), @r"
    2
    usage error: name where all reach the API: --vip ADDRESS (or -f cluster.yaml)
    ");
    insta::assert_snapshot!(admin.shown(&create), @r"
    0
    cluster lab has its state, ADMIN/cctl-state.yaml; add machines with `cctl create machine`
    ");
    insta::assert_snapshot!(admin.shown(&create), @r"
    2
    usage error: ADMIN/cctl-state.yaml is a cluster's state already
    hint: name another file with --state
    ");
    insta::assert_snapshot!(admin.shown(&["delete", "cluster"]), @r"
    2
    usage error: this takes cluster lab down for good
    hint: say --yes; --dry-run shows what would be done
    ");
    insta::assert_snapshot!(admin.shown(&["get", "machine", "--ip", "127.0.0.11"]), @r"
    2
    usage error: there is no machine 127.0.0.11 in the state
    ");
    insta::assert_snapshot!(admin.shown(&["delete", "machine", "--ip", "127.0.0.11"]), @r"
    0
        0.0s there is no machine 127.0.0.11 in the state
    ");
    insta::assert_snapshot!(admin.shown(&["apply", "-f", "cluster.yaml", "--state", "no/such/state"]), @r"
    4
    host unreachable: 127.0.0.11 cannot be reached by SSH: connect to host 127.0.0.11 port 1: Connection refused
    127.0.0.12 cannot be reached by SSH: connect to host 127.0.0.12 port 1: Connection refused
    hint: see that 127.0.0.11 is on, reachable from here, and runs sshd on that port; then run the same again
    hint: see that 127.0.0.12 is on, reachable from here, and runs sshd on that port; then run the same again
    ");

    // Another key opens nothing.
    let words = ["-q", "-t", "ed25519", "-N", "", "-f", "other"];
    let keygen = Command::new("ssh-keygen")
        .args(words)
        .current_dir(admin.path())
        .status();
    assert!(keygen.unwrap().success());
    insta::assert_snapshot!(admin.shown(&["get", "kubeconfig", "--identity", "other"]), @r"
    1
    error: ADMIN/cctl-state.yaml is not sealed for other
    hint: name a key that it is sealed for with --identity; `cctl get cluster` lists them
    ");
    // It is sealed for that one, too, and then no more.
    let recipients = |words: &[&str]| {
        let verb = ["state", "recipients"].iter().chain(words);
        let words: Vec<&str> = verb.chain(&["--identity", "key"]).copied().collect();
        admin.run(&words)
    };
    let opens = || admin.run(&["get", "kubeconfig", "--identity", "other"]);
    let lines = |output: Output| String::from_utf8(output.stdout).unwrap().lines().count();
    assert_eq!(lines(recipients(&["list"])), 1);
    assert_eq!(lines(recipients(&["add", "other.pub"])), 2);
    assert_eq!(lines(recipients(&["add", "other.pub"])), 2);
    assert!(opens().status.success());
    let own = std::fs::read_to_string(admin.path().join("key.pub")).unwrap();
    let locked_out = recipients(&["remove", own.trim()]);
    let said = String::from_utf8(locked_out.stderr).unwrap();
    assert!(said.contains("is your own key"), "{said}");
    let other = std::fs::read_to_string(admin.path().join("other.pub")).unwrap();
    let other = other.trim().rsplit_once(' ').unwrap().0.to_owned();
    assert_eq!(lines(recipients(&["remove", &other])), 1);
    assert!(!opens().status.success());
    // Somebody who only looks does not wait for a run that holds the lock.
    let held = host::Lock::take(&admin.path().join("cctl-state.yaml.lock"), "another run").unwrap();
    let kubeconfig = admin.run(&["get", "kubeconfig", "--identity", "key"]);
    drop(held);
    assert!(kubeconfig.stdout.starts_with(b"apiVersion: v1\n"));

    // What was changed by hand is not believed.
    let path = admin.path().join("cctl-state.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("127.0.0.100", "127.0.0.101", 1)).unwrap();
    insta::assert_snapshot!(admin.shown(&["get", "cluster"]), @r"
    1
    error: ADMIN/cctl-state.yaml: its signature does not fit: it was changed by something else than cctl
    hint: take the last good copy of it; change a cluster by its cluster file and `cctl apply`, never by editing the state
    ");
}

#[test]
fn progress_and_errors_are_json_for_programs() {
    let admin = Admin::new();
    let output = admin.run(&["apply", "-f", "cluster.yaml", "--output", "json"]);
    let text = String::from_utf8(output.stderr).unwrap();
    let error: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&error["event"], &error["kind"]),
        (&"error".into(), &"unreachable".into())
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn every_verb_has_help_with_examples() {
    fn check(command: &clap::Command, path: &str) {
        for verb in command.get_subcommands() {
            let path = format!("{path} {}", verb.get_name());
            let help = verb.clone().render_long_help().to_string();
            assert!(help.contains("Examples:\n"), "{path}");
            assert!(
                help.contains(&format!("  {path}")),
                "{path}: not in its own examples"
            );
            check(verb, &path);
        }
    }
    check(&cctl::Arguments::command(), "cctl");
}

#[test]
fn an_old_control_plane_is_looked_for_until_it_is_forgotten() {
    let admin = Admin::new();
    let key = admin.path().join("key").display().to_string();
    let words = ["create", "cluster", "--vip", "127.0.0.100", "--private-key"];
    let words: Vec<&str> = words.into_iter().chain([key.as_str()]).collect();
    assert!(admin.run(&words).status.success());
    insta::assert_snapshot!(admin.shown(&["fence"]), @r"
    0
    no old control plane is looked for
    ");
    insta::assert_snapshot!(admin.shown(&["fence", "--watch"]), @r"
    0
    no old control plane is looked for
    ");
    insta::assert_snapshot!(admin.shown(&["fence", "127.0.0.11"]), @r"
    2
    usage error: no old control plane is looked for at 127.0.0.11
    ");

    // As a recovery without it leaves it. Nobody listens there.
    let identity = state::Identity::new(&key, None, std::sync::Arc::new(|_| None));
    let path = admin.path().join("cctl-state.yaml");
    let mut open = state::Open::open(&path, "a test", &identity).unwrap();
    let mut configuration = open.state.configuration().clone();
    let machine = "{address: 127.0.0.11, roles: [master], ssh: {port: 1}}";
    configuration.machines = vec![api::yaml::from_str(machine).unwrap()];
    open.state.set_configuration(configuration, Vec::new());
    open.state.machine_mut("127.0.0.11").unwrap().status.set_up = true;
    open.state.give_up("127.0.0.11", "2026-11-24T03:00:00Z");
    open.state.forget("127.0.0.11");
    open.save().unwrap();
    drop(open);
    insta::assert_snapshot!(admin.shown(&["fence"]), @r"
    4
    127.0.0.11 does not answer
    host unreachable: 127.0.0.11 may come back
    hint: `cctl fence --watch` waits for them; one that is gone for good: `cctl fence --forget ADDRESS`
    ");
    insta::assert_snapshot!(admin.shown(&["fence", "--dry-run", "127.0.0.11"]), @r"
    0
    nothing to change
        0.0s 127.0.0.11 does not answer
    ");
    insta::assert_snapshot!(admin.shown(&["status"]), @r"
    0
    cluster cluster at https://127.0.0.100:6443
      127.0.0.11                    given up at 2026-11-24T03:00:00Z, not stopped: `cctl fence --watch` waits for it
    ");
    insta::assert_snapshot!(admin.shown(&["fence", "--forget", "127.0.0.11"]), @r"
    0
    127.0.0.11: looked for no more
    ");
    insta::assert_snapshot!(admin.shown(&["fence"]), @r"
    0
    no old control plane is looked for
    ");
}
