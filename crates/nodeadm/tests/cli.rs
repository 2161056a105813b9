//! The command line, as a program runs it: cleared environment, a folder that stands for the host.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "the test makes a host's folder and runs the program"
)]

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use bundle::oci::{Execution, Platform};
use bundle::{ComponentSpec, Draft, ImageSpec, LayerBuilder, LayerSource};

const ARCH: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "amd64"
};

/// A folder with what nodeadm looks at on a host, and a store that has what a node needs, in names.
fn host() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    put("proc/sys/kernel/hostname", "h1\n");
    put("proc/sys/kernel/osrelease", "6.12.9\n");
    put("proc/filesystems", "nodev\toverlay\n");
    put("proc/self/exe", "nodeadm itself");
    put("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    put("run/systemd/system/keep", "");
    put("var/lib/dpkg/status", "");
    put("parts/x", "a program");
    fill_store(root.path());
    std::fs::remove_dir_all(root.path().join("parts")).unwrap();
    root
}

fn fill_store(root: &Path) {
    let mut draft = Draft::new();
    for (name, version, files) in [
        (
            "kubernetes",
            "v1.37.2",
            ["kubeadm", "kubelet", "kubectl"].as_slice(),
        ),
        (
            "runc",
            "v1.5.2",
            &[if ARCH == "amd64" {
                "runc.amd64"
            } else {
                "runc.arm64"
            }],
        ),
    ] {
        let file = |name: &&str| ((*name).to_owned(), root.join("parts/x"));
        draft
            .add_component(&ComponentSpec {
                name: name.to_owned(),
                version: version.to_owned(),
                platform: Platform::linux(ARCH),
                files: files.iter().map(file).collect(),
            })
            .unwrap();
    }
    for (name, version, file) in [
        (
            "containerd",
            "v2.4.2",
            format!("containerd-2.4.2-linux-{ARCH}.tar.gz"),
        ),
        (
            "cni-plugins",
            "v1.9.1",
            format!("cni-plugins-linux-{ARCH}-v1.9.1.tgz"),
        ),
    ] {
        let mut archive = LayerBuilder::new(Vec::new());
        for program in [
            "bin/containerd",
            "bin/containerd-shim-runc-v2",
            "bin/ctr",
            "bridge",
        ] {
            archive.file(program, 0o755, &root.join("parts/x")).unwrap();
        }
        let path = root.join("parts").join(&file);
        let tar = path.with_extension("tar");
        std::fs::write(&tar, archive.finish().unwrap()).unwrap();
        let packed = Command::new("gzip").arg("-c").arg(&tar).output().unwrap();
        std::fs::write(&path, packed.stdout).unwrap();
        draft
            .add_component(&ComponentSpec {
                name: name.to_owned(),
                version: version.to_owned(),
                platform: Platform::linux(ARCH),
                files: vec![(file, path)],
            })
            .unwrap();
    }
    for reference in [
        "registry.k8s.io/pause:3.10.2",
        "registry.k8s.io/kube-apiserver:v1.37.2",
        "registry.k8s.io/kube-controller-manager:v1.37.2",
        "registry.k8s.io/kube-scheduler:v1.37.2",
        "registry.k8s.io/kube-proxy:v1.37.2",
        "registry.k8s.io/coredns/coredns:v1.14.6",
        "klusterkit.dev/keepalived:2.2.7",
    ] {
        let mut layer = LayerBuilder::new(Vec::new());
        layer.file("x", 0o755, &root.join("parts/x")).unwrap();
        draft
            .add_image(&ImageSpec {
                reference: reference.to_owned(),
                platform: Platform::linux(ARCH),
                config: Execution::default(),
                layers: vec![LayerSource::Bytes(layer.finish().unwrap())],
            })
            .unwrap();
    }
    std::fs::create_dir_all(root.join("var/cache")).unwrap();
    draft
        .write_folder(&root.join("var/cache/klusterkit"), &mut |_| {})
        .unwrap();
}

const NODE: &str = "\
apiVersion: klusterkit.dev/v1alpha1
kind: NodeConfiguration
metadata: {name: h1}
address: 10.77.0.11
controlPlaneEndpoint: 10.77.0.100
vip: {address: 10.77.0.100, interface: eth0, peers: [10.77.0.12]}
network: {cni: none}
---
apiVersion: klusterkit.dev/v1alpha1
kind: Credentials
files: {ca.crt: C, ca.key: SECRET-K, sa.key: SECRET-S, sa.pub: P}
";

fn nodeadm(root: &Path, words: &[&str]) -> Output {
    nodeadm_told(root, words, NODE)
}

/// With this on its standard input.
fn nodeadm_told(root: &Path, words: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_nodeadm"))
        .env_clear()
        .args(words)
        .arg("--root")
        .arg(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A verb that reads nothing may have ended already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
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

fn walk(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        found.push(path.display().to_string());
        if path.is_dir() && !path.is_symlink() {
            found.extend(walk(&path));
        }
    }
    found.sort();
    found
}

/// What nodeadm has written below `root`: path, mode, and the digest of what does not differ from run to run.
fn tree(root: &Path) -> String {
    let mut text = String::new();
    for path in walk(root) {
        let path = Path::new(&path);
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let ours = ["etc/kubernetes", "opt", "usr", "var/lib/nodeadm"];
        if !ours.iter().any(|folder| name.starts_with(folder)) {
            continue;
        }
        let meta = path.symlink_metadata().unwrap();
        let restless = ["journal", "lock", "kubeadm.json", "node.json"];
        let what = if meta.is_symlink() {
            format!("-> {}", std::fs::read_link(path).unwrap().display())
        } else if meta.is_dir() {
            "folder".to_owned()
        } else if restless.iter().any(|end| name.ends_with(end)) || name.contains("receipts") {
            "differs".to_owned()
        } else {
            host::Digest::of(&std::fs::read(path).unwrap()).to_string()[..8].to_owned()
        };
        text += &format!("{name} {:04o} {what}\n", meta.mode() & 0o7777);
    }
    text
}

#[test]
fn the_version_alone() {
    let root = host();
    let output = nodeadm(root.path(), &["version", "--short"]);
    assert_eq!(
        output.stdout,
        format!("v{}\n", env!("CARGO_PKG_VERSION")).as_bytes()
    );
}

#[test]
fn every_verb_has_examples() {
    let root = host();
    for verb in [
        "init",
        "join",
        "prepare",
        "reset",
        "fence",
        "status",
        "preflight",
        "facts",
        "list",
        "download",
        "config",
        "token",
        "version",
        "completion",
    ] {
        let output = nodeadm(root.path(), &[verb, "--help"]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            text.contains(&format!("Examples:\n  nodeadm {verb}")),
            "{text}"
        );
    }
    let output = nodeadm(root.path(), &["store", "--help"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("| nodeadm store receive"));
    for verb in ["init", "join", "prepare", "reset"] {
        let output = nodeadm(root.path(), &[verb, "phase", "--help"]);
        assert!(String::from_utf8_lossy(&output.stdout).contains("Phases"));
    }
}

#[test]
fn a_dry_run_changes_nothing() {
    let root = host();
    let before = walk(root.path());
    let words = [
        "init",
        "--config",
        "-",
        "--dry-run",
        "--output",
        "json",
        "--skip-phases",
        "check-host",
    ];
    let output = nodeadm(root.path(), &words);
    assert!(output.status.success(), "{}", shown(&output, root.path()));
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let phases = result["phases"].as_object().unwrap();
    for phase in ["record-host", "write-pki", "write-vip-pod", "apply-dns"] {
        assert!(phases.contains_key(phase), "{result:#}");
    }
    assert_eq!(walk(root.path()), before);
    // Neither the plan nor progress shows a key.
    for bytes in [&output.stdout, &output.stderr] {
        assert!(!String::from_utf8_lossy(bytes).contains("SECRET"));
    }
}

#[test]
fn the_tree_that_init_writes() {
    let root = host();
    let words = [
        "init",
        "phase",
        "record-host,install-binaries,write-pki,write-kubeadm-configuration,write-vip-pod",
        "--config",
        "-",
        "--quiet",
    ];
    let output = nodeadm(root.path(), &words);
    assert!(output.status.success(), "{}", shown(&output, root.path()));
    let written = tree(root.path());
    insta::assert_snapshot!(written, @r"
    etc/kubernetes 0755 folder
    etc/kubernetes/keepalived 0755 folder
    etc/kubernetes/keepalived/keepalived.conf 0644 68e3b36e
    etc/kubernetes/manifests 0755 folder
    etc/kubernetes/manifests/keepalived.yaml 0600 c84ec41f
    etc/kubernetes/pki 0755 folder
    etc/kubernetes/pki/ca.crt 0644 6b23c0d5
    etc/kubernetes/pki/ca.key 0600 20e67a16
    etc/kubernetes/pki/sa.key 0600 5223148c
    etc/kubernetes/pki/sa.pub 0644 5c62e091
    opt 0755 folder
    opt/bin 0755 folder
    opt/bin/containerd 0755 d69ea8cd
    opt/bin/containerd-shim-runc-v2 0755 d69ea8cd
    opt/bin/ctr 0755 d69ea8cd
    opt/bin/kubeadm 0755 d69ea8cd
    opt/bin/kubectl 0755 d69ea8cd
    opt/bin/kubelet 0755 d69ea8cd
    opt/bin/nodeadm 0755 c4ff5386
    opt/bin/runc 0755 d69ea8cd
    opt/cni 0755 folder
    opt/cni/bin 0755 folder
    opt/cni/bin/bridge 0755 d69ea8cd
    usr 0755 folder
    usr/local 0755 folder
    usr/local/bin 0755 folder
    usr/local/bin/ctr 0777 -> /opt/bin/ctr
    usr/local/bin/kubeadm 0777 -> /opt/bin/kubeadm
    usr/local/bin/kubectl 0777 -> /opt/bin/kubectl
    usr/local/bin/kubelet 0777 -> /opt/bin/kubelet
    usr/local/bin/nodeadm 0777 -> /opt/bin/nodeadm
    var/lib/nodeadm 0700 folder
    var/lib/nodeadm/found.json 0600 f0f16010
    var/lib/nodeadm/journal 0600 differs
    var/lib/nodeadm/kubeadm.json 0600 differs
    var/lib/nodeadm/lock 0600 differs
    var/lib/nodeadm/node.json 0600 differs
    var/lib/nodeadm/patches 0755 folder
    var/lib/nodeadm/patches/corednsdeployment+strategic.json 0600 294d9109
    var/lib/nodeadm/receipts 0755 folder
    var/lib/nodeadm/receipts/cni-plugins.json 0644 differs
    var/lib/nodeadm/receipts/containerd.json 0644 differs
    var/lib/nodeadm/receipts/kubernetes-kubeadm.json 0644 differs
    var/lib/nodeadm/receipts/kubernetes-kubectl.json 0644 differs
    var/lib/nodeadm/receipts/kubernetes-kubelet.json 0644 differs
    var/lib/nodeadm/receipts/runc.json 0644 differs
    ");
    let again = nodeadm(root.path(), &words);
    insta::assert_snapshot!(shown(&again, root.path()), @r"
    0
    h1: all is as it should be, nothing was changed
    ---
    ");
    assert_eq!(tree(root.path()), written);
}

#[test]
fn a_folder_is_not_made_a_running_node() {
    let root = host();
    let words = [
        "init",
        "phase",
        "start-containerd",
        "--config",
        "-",
        "--quiet",
    ];
    let output = nodeadm(root.path(), &words);
    insta::assert_snapshot!(shown(&output, root.path()), @r"
    2
    ---
    usage error: phase start-containerd could not let systemd read its unit files again
      because: systemctl daemon-reload needs the running host, not the folder ROOT
    hint: add --dry-run
    ");
}

#[test]
fn checks_are_told_together() {
    let root = host();
    let words = [
        "preflight",
        "--config",
        "-",
        "--output",
        "json",
        "--cni",
        "none",
    ];
    let output = nodeadm(root.path(), &words);
    assert_eq!(
        output.status.code(),
        Some(3),
        "{}",
        shown(&output, root.path())
    );
    let checks: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let verdict = |name: &str| {
        let found = checks.as_array().unwrap().iter();
        let mut found = found.filter(|check| check["name"] == name);
        found.next().unwrap()["verdict"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(verdict("kernel"), "passed");
    assert_eq!(verdict("programs"), "failed");
    assert_eq!(verdict("cgroups"), "unknown");
    let words: Vec<&str> = words
        .into_iter()
        .chain(["--ignore-preflight-errors", "Programs,cgroups"])
        .collect();
    let output = nodeadm(root.path(), &words);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text.matches("\"ignored\"").count(), 2, "{text}");
}

#[test]
fn facts_and_configuration_can_be_asked_for() {
    let root = host();
    let output = nodeadm(root.path(), &["facts", "-o", "json"]);
    let facts: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(facts["hostname"], "h1");
    assert_eq!(facts["machineId"].as_str().unwrap().len(), 32);
    let output = nodeadm(root.path(), &["config", "print", "--config", "-"]);
    insta::assert_snapshot!(shown(&output, root.path()), @r#"
    0
    apiVersion: klusterkit.dev/v1alpha1
    kind: NodeConfiguration
    metadata:
      name: h1
    clusterName: kubernetes
    role: master
    address: "10.77.0.11"
    controlPlaneEndpoint: "10.77.0.100"
    vip:
      address: "10.77.0.100"
      interface: eth0
      routerId: 51
      peers:
        - "10.77.0.12"
    network:
      podSubnet: "10.244.0.0/16"
      serviceSubnet: "10.96.0.0/12"
      dnsDomain: cluster.local
      cni: none
    etcd:
      endpoints:
        - "https://127.0.0.1:2379"
    installDir: /opt/bin
    ---
    "#);
    let output = nodeadm(root.path(), &["list"]);
    insta::assert_snapshot!(shown(&output, root.path()), @r"
    0
    cni-plugins v1.9.1
    containerd v2.4.2
    kubernetes v1.37.2
    runc v1.5.2
    klusterkit.dev/keepalived:2.2.7
    registry.k8s.io/coredns/coredns:v1.14.6
    registry.k8s.io/kube-apiserver:v1.37.2
    registry.k8s.io/kube-controller-manager:v1.37.2
    registry.k8s.io/kube-proxy:v1.37.2
    registry.k8s.io/kube-scheduler:v1.37.2
    registry.k8s.io/pause:3.10.2
    ---
    ");
}

#[test]
fn what_makes_no_sense_is_told() {
    let root = host();
    let told =
        |words: &[&str], input: &str| shown(&nodeadm_told(root.path(), words, input), root.path());
    let init = ["init", "--config", "-"];
    insta::assert_snapshot!(told(&["init", "phase", "fly", "--config", "-"], NODE), @r#"
    2
    ---
    usage error: there is no phase "fly" here
    hint: choose from: check-host, record-host, install-binaries, configure-kernel, start-containerd, import-images, install-kubelet-unit, write-pki, write-kubeadm-configuration, run-kubeadm-preflight, make-certificates, point-kubeconfigs, make-kubeconfigs, rotate-kubelet-certificate, write-vip-pod, write-manifests, start-kubelet, import-remaining-images, wait-for-api, apply-network, apply-kube-proxy, upload-configuration, allow-joining, label-node, apply-dns
    "#);
    insta::assert_snapshot!(told(&init, "apiVersion: klusterkit.dev/v1alpha1\nkind: NodeConfiguration\nlables: {}\n"), @r"
    2
    ---
    usage error: standard input is at fault
      because: unknown field `lables`, did you mean `labels`? (line 3, column 1)
    ");
    insta::assert_snapshot!(told(&init, "apiVersion: klusterkit.dev/v1alpha1\nkind: NodeConfiguration\nnetwork:\n   cni: none\n  podSubnet: x\n"), @r"
    2
    ---
    usage error: standard input is at fault
      because: did not find expected key (line 5, column 3)
    ");
    insta::assert_snapshot!(told(&["init", "--config", "missing.yaml"], ""), @r"
    2
    ---
    usage error: could not read missing.yaml
      because: No such file or directory (os error 2)
    ");
    insta::assert_snapshot!(told(&["init", "--cni", "weave"], ""), @r"
    2
    ---
    error: invalid value 'weave' for '--cni <NAME>': choose flannel or none

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(told(&["join", "--config", "-"], "apiVersion: klusterkit.dev/v1alpha1\nkind: NodeConfiguration\nrole: node\naddress: 10.77.0.14\n"), @r"
    2
    ---
    usage error: a worker needs controlPlaneEndpoint: where it reaches the API
    ");
    insta::assert_snapshot!(told(&["init", "--kubernetes-version", "v1.36.3", "--address", "10.77.0.11"], ""), @r"
    3
    ---
    preflight failed, nothing was changed: the store /var/cache/klusterkit lacks flannel, image registry.k8s.io/kube-apiserver:v1.36.3, image registry.k8s.io/kube-controller-manager:v1.36.3, image registry.k8s.io/kube-proxy:v1.36.3, image registry.k8s.io/kube-scheduler:v1.36.3, kubernetes v1.36.3
    hint: bring a bundle that holds it (cctl pushes one; `nodeadm download` fetches), or ask for what is there
    ");
    insta::assert_snapshot!(told(&["status"], ""), @r"
    2
    ---
    usage error: nodeadm has set up nothing on this host
    ");
    insta::assert_snapshot!(told(&["token", "create"], ""), @r"
    2
    ---
    usage error: tokens are made on a control plane; this host is none
    ");
    insta::assert_snapshot!(told(&["token", "delete", "x"], ""), @r#"
    2
    ---
    usage error: "x" is no token's id: six letters and digits
    "#);
    let reset = told(&["reset"], "");
    assert!(
        reset.starts_with("0\n") && reset.contains("there is nothing to take down"),
        "{reset}"
    );
}

/// A host's files out of one host and into another; a stream that was cut short or changed changes nothing.
#[test]
fn files_go_from_one_host_to_another() {
    let (from, to) = (host(), host());
    let put = |root: &Path, path: &str, text: &str| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    };
    let pod = "metadata: {name: own}\nspec:\n  containers: [{name: c, args: [--config=/c/own.yaml], volumeMounts: [{name: v, mountPath: /c}]}]\n  volumes: [{name: v, hostPath: {path: /srv/own}}]\n";
    put(from.path(), "etc/kubernetes/manifests/own.yaml", pod);
    put(from.path(), "srv/own/own.yaml", "a: b\n");
    let listed = nodeadm(from.path(), &["files", "list"]);
    assert!(listed.status.success());
    insta::assert_snapshot!(String::from_utf8(listed.stdout).unwrap(), @r"
    /etc/kubernetes/manifests/own.yaml (0644, 177 bytes): a static pod
    /srv/own/own.yaml (0644, 5 bytes): --config of own
    ");
    let saved = nodeadm(from.path(), &["files", "save"]);
    assert!(saved.status.success());
    let saved = String::from_utf8(saved.stdout).unwrap();

    let there = |path: &str| std::fs::read_to_string(to.path().join(path)).ok();
    for broken in [&saved[..saved.len() - 1024], &saved.replace("a: b", "a: c")] {
        let output = nodeadm_told(to.path(), &["files", "put-back"], broken);
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(there("etc/kubernetes/manifests/own.yaml"), None);
    }
    put(to.path(), "srv/own/own.yaml", "another\n");
    let put_back = |words: &[&str]| {
        let words: Vec<&str> = ["files", "put-back"].iter().chain(words).copied().collect();
        let output = nodeadm_told(to.path(), &words, &saved);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let said = [put_back(&["--dry-run"]), put_back(&[]), put_back(&[])];
    insta::assert_snapshot!(said.concat(), @r"
    6 changes would be made for 2 files
    2 files are there as they were: 6 changes
    2 files are there as they were, nothing was changed
    ");
    assert_eq!(there("etc/kubernetes/manifests/own.yaml").unwrap(), pod);
    assert_eq!(there("srv/own/own.yaml").unwrap(), "a: b\n");
    let aside = std::fs::read_dir(to.path().join("var/lib/nodeadm/aside")).unwrap();
    assert_eq!(aside.count(), 1);
}
