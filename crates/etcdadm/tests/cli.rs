//! The command line, as a program runs it: cleared environment, a folder that stands for the host.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "the test makes a host's folder and runs the program"
)]

use std::path::Path;
use std::process::{Command, Output};

/// A folder with what etcdadm looks at on a host.
fn host() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    put("proc/sys/kernel/hostname", "h1\n");
    put(
        "proc/net/fib_trie",
        "     |-- 10.77.0.11\n        /32 host LOCAL\n",
    );
    put("run/systemd/system/keep", "");
    std::fs::create_dir_all(root.path().join("var/lib")).unwrap();
    put(
        "var/cache/etcdadm/etcd/v3.7.3/etcd-v3.7.3-linux-amd64.tar.gz",
        "a release",
    );
    put(
        "var/cache/etcdadm/etcd/v3.7.3/etcd-v3.7.3-linux-arm64.tar.gz",
        "a release",
    );
    root
}

fn etcdadm(root: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_etcdadm"))
        .env_clear()
        .args(words)
        .arg("--root")
        .arg(root)
        .output()
        .unwrap()
}

/// Exit code, standard output and standard error; what differs from run to run is left out.
fn shown(output: &Output, root: &Path) -> String {
    let text =
        |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&root.display().to_string(), "ROOT");
    format!(
        "{}\n{}---\n{}",
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr)
    )
}

#[test]
fn the_version_alone() {
    let root = host();
    let output = etcdadm(root.path(), &["version", "--short"]);
    assert_eq!(
        output.stdout,
        format!("v{}\n", env!("CARGO_PKG_VERSION")).as_bytes()
    );
}

#[test]
fn a_dry_run_changes_nothing() {
    let root = host();
    let before = walk(root.path());
    let output = etcdadm(root.path(), &["init", "--dry-run", "--output", "json"]);
    assert!(output.status.success(), "{}", shown(&output, root.path()));
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let phases: Vec<&str> = plan["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["phase"].as_str().unwrap())
        .collect();
    assert_eq!(phases.first(), Some(&"record-member"));
    assert_eq!(phases.last(), Some(&"await-health"));
    assert_eq!(walk(root.path()), before);
    // Nothing that was planned shows a key.
    assert!(!String::from_utf8_lossy(&output.stdout).contains("PRIVATE"));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("PRIVATE"));
}

fn walk(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        found.push(path.display().to_string());
        if path.is_dir() {
            found.extend(walk(&path));
        }
    }
    found.sort();
    found
}

#[test]
fn single_phases_by_new_and_old_names() {
    let root = host();
    for name in ["issue-certificates", "certificates"] {
        let output = etcdadm(
            root.path(),
            &["init", "phase", name, "--dry-run", "-o", "json"],
        );
        let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let all = plan["changes"].as_array().unwrap();
        assert!(
            all.iter()
                .all(|change| change["phase"] == "issue-certificates")
                && all.len() > 8,
            "{plan:#}"
        );
    }
    let output = etcdadm(root.path(), &["init", "phase", "fly"]);
    insta::assert_snapshot!(shown(&output, root.path()), @r#"
    2
    ---
    usage error: there is no phase "fly" here
    hint: choose from: check-host, measure-disk, record-member, fetch-release, install-binaries, import-image, issue-certificates, set-unready-aside, write-configuration, write-etcdctl, start-member, await-health
    "#);
}

#[test]
fn files_that_are_written_can_be_seen() {
    let root = host();
    let output = etcdadm(
        root.path(),
        &["init", "phase", "certificates", "etcdctl", "--quiet"],
    );
    assert!(output.status.success(), "{}", shown(&output, root.path()));
    let mode = |path: &str| {
        use std::os::unix::fs::MetadataExt;
        root.path().join(path).metadata().unwrap().mode() & 0o777
    };
    assert_eq!(mode("etc/etcd/pki/ca.key"), 0o600);
    assert_eq!(mode("etc/etcd/pki/server.crt"), 0o644);
    assert_eq!(mode("etc/etcd/etcdctl.env"), 0o600);
    assert_eq!(mode("opt/bin/etcdctl.sh"), 0o755);
    let again = etcdadm(
        root.path(),
        &["init", "phase", "certificates", "etcdctl", "--quiet"],
    );
    assert_eq!(
        String::from_utf8_lossy(&again.stdout),
        "nothing to change\n"
    );
}

/// All below `folder` but what the test put there: path, mode, digest of what does not differ from run to run.
fn tree(root: &Path) -> String {
    use std::os::unix::fs::MetadataExt;
    let mut text = String::new();
    for path in walk(root) {
        let path = Path::new(&path);
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let ours = ["etc", "opt", "var/lib"];
        if !ours.iter().any(|folder| name.starts_with(folder)) {
            continue;
        }
        let meta = path.symlink_metadata().unwrap();
        let what = if meta.is_symlink() {
            format!("-> {}", std::fs::read_link(path).unwrap().display())
        } else if meta.is_dir() {
            "folder".to_owned()
        } else if name.contains("/pki/") || name.ends_with("journal") || name.ends_with("lock") {
            "differs".to_owned()
        } else {
            let content = std::fs::read_to_string(path).unwrap();
            let told = content.lines().filter(|line| !line.contains("TOKEN"));
            let content = told.collect::<Vec<_>>().join("\n");
            host::Digest::of(content.as_bytes()).to_string()[..8].to_owned()
        };
        text += &format!("{name} {:04o} {what}\n", meta.mode() & 0o7777);
    }
    text
}

#[test]
fn the_tree_that_init_writes() {
    let root = host();
    let phases = ["record-member", "certificates", "etcdctl", "configure"];
    let words: Vec<&str> = ["init", "phase"]
        .into_iter()
        .chain(phases)
        .chain(["--quiet"])
        .collect();
    let output = etcdadm(root.path(), &words);
    assert!(output.status.success(), "{}", shown(&output, root.path()));
    let written = tree(root.path());
    insta::assert_snapshot!(written, @"
    etc 0755 folder
    etc/etcd 0755 folder
    etc/etcd/etcd.env 0600 66cba35c
    etc/etcd/etcdctl.env 0600 87e092c7
    etc/etcd/pki 0755 folder
    etc/etcd/pki/apiserver-etcd-client.crt 0644 differs
    etc/etcd/pki/apiserver-etcd-client.key 0600 differs
    etc/etcd/pki/ca.crt 0644 differs
    etc/etcd/pki/ca.key 0600 differs
    etc/etcd/pki/etcdctl-etcd-client.crt 0644 differs
    etc/etcd/pki/etcdctl-etcd-client.key 0600 differs
    etc/etcd/pki/peer.crt 0644 differs
    etc/etcd/pki/peer.key 0600 differs
    etc/etcd/pki/server.crt 0644 differs
    etc/etcd/pki/server.key 0600 differs
    etc/systemd 0755 folder
    etc/systemd/system 0755 folder
    etc/systemd/system/etcd.service 0644 2f16f892
    etc/systemd/system/multi-user.target.wants 0755 folder
    etc/systemd/system/multi-user.target.wants/etcd.service 0777 -> /etc/systemd/system/etcd.service
    opt 0755 folder
    opt/bin 0755 folder
    opt/bin/etcdctl.sh 0755 7d410909
    var/lib 0755 folder
    var/lib/etcd 0700 folder
    var/lib/etcdadm 0700 folder
    var/lib/etcdadm/journal 0600 differs
    var/lib/etcdadm/lock 0600 differs
    var/lib/etcdadm/member.json 0644 9b6e25c1
    ");
    let again = etcdadm(root.path(), &words);
    assert_eq!(
        String::from_utf8_lossy(&again.stdout),
        "nothing to change\n"
    );
    assert_eq!(tree(root.path()), written);
}

#[test]
fn every_verb_has_examples() {
    let root = host();
    for verb in [
        "init",
        "join",
        "reset",
        "info",
        "status",
        "config",
        "download",
        "completion",
    ] {
        let output = etcdadm(root.path(), &[verb, "--help"]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            text.contains(&format!("Examples:\n  etcdadm {verb}")),
            "{text}"
        );
    }
}

#[test]
fn flags_of_the_older_tool_still_mean_something() {
    let root = host();
    for words in [
        ["--retry", "--download-connect-timeout=10s"].as_slice(),
        &["--retry=false", "--init-system", "systemd"],
        &["--image-repository", "quay.io/coreos/etcd"],
        &["--kubelet-pod-manifest-path", "/etc/kubernetes/manifests"],
    ] {
        let words: Vec<&str> = ["init", "--dry-run", "--quiet"]
            .into_iter()
            .chain(words.iter().copied())
            .collect();
        let output = etcdadm(root.path(), &words);
        assert!(output.status.success(), "{}", shown(&output, root.path()));
    }
    let output = etcdadm(root.path(), &["init", "--snapshot", "/root/etcd.db"]);
    insta::assert_snapshot!(shown(&output, root.path()), @"
    2
    ---
    usage error: a snapshot is restored by a verb of its own
    hint: run `etcdadm restore /root/etcd.db`
    ");
    let output = etcdadm(root.path(), &["init", "--init-system", "kubelet"]);
    let text = shown(&output, root.path());
    assert!(text.starts_with("3\n"), "{text}");
    assert!(text.contains("kubelet.service does not run"), "{text}");
    let output = etcdadm(root.path(), &["init", "--init-system", "upstart"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn usage_errors_say_what_and_where() {
    let root = host();
    let document = root.path().join("member.yaml");
    let mut all = String::new();
    let mut take = |words: &[&str]| {
        let output = etcdadm(root.path(), words);
        all += &format!(
            "$ etcdadm {}\n{}\n",
            words
                .join(" ")
                .replace(&root.path().display().to_string(), "ROOT"),
            shown(&output, root.path())
        );
    };
    take(&["join"]);
    take(&["join", "http://10.0.0.1:2379"]);
    take(&["init", "--bind-address", "10.9.9.9"]);
    take(&["init", "--version", "3.4.30"]);
    take(&["info"]);
    take(&["init", "--config", "nowhere.yaml"]);
    std::fs::write(
        &document,
        "apiVersion: klusterkit.dev/v1alpha1\nkind: EtcdConfiguration\nclientport: 1\n",
    )
    .unwrap();
    take(&["init", "--config", document.to_str().unwrap()]);
    insta::assert_snapshot!(all, @r#"
    $ etcdadm join
    2
    ---
    usage error: no member to join is named
    hint: name one: `etcdadm join https://ADDRESS:2379`

    $ etcdadm join http://10.0.0.1:2379
    2
    ---
    usage error: "http://10.0.0.1:2379" is no endpoint: members speak TLS only (https://)

    $ etcdadm init --bind-address 10.9.9.9
    3
    ---
    preflight failed, nothing was changed: phase check-host stopped before it changed anything more
      because: address: 10.9.9.9 is not an address of this host (it has: 10.77.0.11)
    hint: choose one with --bind-address
    hint: a check that may fail here is named in --ignore-preflight-errors

    $ etcdadm init --version 3.4.30
    2
    ---
    usage error: etcd v3.4.30 is not supported: 3.5, 3.6 and 3.7 are

    $ etcdadm info
    1
    ---
    error: this host has no etcd member that etcdadm knows of

    $ etcdadm init --config nowhere.yaml
    2
    ---
    usage error: could not read nowhere.yaml
      because: No such file or directory (os error 2)

    $ etcdadm init --config ROOT/member.yaml
    2
    ---
    usage error: ROOT/member.yaml is at fault
      because: unknown field `clientport`, did you mean `clientPort`? (line 3, column 1)
    "#);
}

#[test]
fn reset_of_a_host_without_a_member_is_done_already() {
    let root = host();
    let output = etcdadm(root.path(), &["reset"]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "nothing to change\n"
    );
    assert!(output.status.success());
}

#[test]
fn every_shell_gets_its_completion() {
    let root = host();
    for shell in ["bash", "zsh", "fish"] {
        let output = etcdadm(root.path(), &["completion", shell]);
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("skip-remove-member"),
            "{shell}"
        );
    }
}
