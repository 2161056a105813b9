//! `cctl bundle` as a program runs it: a small upstream behind an HTTP server with faults, images in a layout.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "the test makes an upstream and runs the program"
)]

mod upstream;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use host::Digest;
use parts::serve::{Fault, Server};
use upstream::{FLANNEL, KUBELET, VERSIONS};

/// An admin's folder, and an upstream in small.
struct Place {
    folder: tempfile::TempDir,
    server: Server,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        upstream::lay_out(dir);
        let admin = dir.join("admin");
        std::fs::create_dir(&admin).unwrap();
        std::fs::write(admin.join("versions.yaml"), VERSIONS).unwrap();
        std::fs::rename(dir.join("dist"), admin.join("dist")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server::start(listener, &dir.join("upstream")).unwrap();
        Self { folder, server }
    }

    fn admin(&self) -> PathBuf {
        self.folder.path().join("admin")
    }

    fn cctl(&self, words: &[&str]) -> Output {
        self.run(Path::new(env!("CARGO_BIN_EXE_cctl")), words)
    }

    fn run(&self, program: &Path, words: &[&str]) -> Output {
        Command::new(program)
            .env_clear()
            .current_dir(self.admin())
            .args(words)
            .output()
            .unwrap()
    }

    /// `cctl bundle create` from the server and the layout, with these words besides.
    fn create(&self, words: &[&str]) -> Output {
        let server = self.server.url("");
        let mut all = vec!["bundle", "create", "-f", "versions.yaml"];
        all.extend(["--mirror", &server, "--mirror", "../images.tar"]);
        all.extend(words);
        self.cctl(&all)
    }

    /// Exit code, standard output and standard error; what differs from run to run is left out.
    fn shown(&self, output: &Output) -> String {
        let text = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes)
                .replace(&self.admin().display().to_string(), "ADMIN")
                .replace(&self.server.address().to_string(), "MIRROR")
        };
        let code = output.status.code().unwrap();
        format!(
            "{code}\n{}---\n{}",
            text(&output.stdout),
            text(&output.stderr)
        )
    }

    /// All files in the admin's folder, sorted.
    fn files(&self) -> Vec<String> {
        fn walk(folder: &Path, top: &Path, found: &mut Vec<String>) {
            for item in std::fs::read_dir(folder).unwrap() {
                let path = item.unwrap().path();
                if path.is_dir() {
                    walk(&path, top, found);
                } else {
                    found.push(path.strip_prefix(top).unwrap().display().to_string());
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.admin(), &self.admin(), &mut found);
        found.sort();
        found
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.admin().join(name)).unwrap()
    }
}

const BEFORE: [&str; 3] = ["dist/etcdadm", "dist/nodeadm", "versions.yaml"];

#[test]
fn unpinned_is_refused_then_pinned_then_made_the_same_again() {
    let place = Place::new();
    let refused = place.create(&["bundle.tar"]);
    insta::assert_snapshot!(place.shown(&refused), @r"
    2
    ---
    usage error: github.com/etcd-io/etcd/releases/download/v3.7.3/etcd-v3.7.3-linux-amd64.tar.gz is not pinned in ADMIN/versions.yaml
    hint: take over the digests of what upstream has now with --update-pins, or take it without pins with --trust-upstream
    ");
    assert_eq!(place.files(), BEFORE);
    assert_eq!(place.server.requests(), [], "nothing was fetched");

    let trusting = place.create(&["--trust-upstream", "-q", "trusted"]);
    insta::assert_snapshot!(place.shown(&trusting), @r"
    0
    component etcd v3.7.3 (amd64)
    component kubernetes v1.37.2 (amd64)
    component containerd v2.4.2 (amd64)
    component runc v1.5.2 (amd64)
    component cni-plugins v1.9.1 (amd64)
    component flannel v0.28.10 (any)
    component etcdadm v0.1.0 (amd64)
    component nodeadm v0.1.0 (amd64)
    image registry.k8s.io/pause:3.10.2
    image registry.k8s.io/kube-apiserver:v1.37.2
    image registry.k8s.io/kube-controller-manager:v1.37.2
    image registry.k8s.io/kube-scheduler:v1.37.2
    image registry.k8s.io/kube-proxy:v1.37.2
    image registry.k8s.io/coredns/coredns:v1.14.6
    image klusterkit.dev/keepalived:2.2.7
    image ghcr.io/flannel-io/flannel:v0.28.10
    trusted: 2.6 MB
    ---
    ");
    assert_eq!(place.read("versions.yaml"), VERSIONS.as_bytes());

    let pinned = place.create(&["--update-pins", "-q", "bundle.tar"]);
    let last = place
        .shown(&pinned)
        .lines()
        .rev()
        .take(3)
        .collect::<Vec<_>>()
        .join("\n");
    insta::assert_snapshot!(last, @r"
    ---
    bundle.tar: 2.6 MB
    ADMIN/versions.yaml: digests written
    ");
    let text = String::from_utf8(place.read("versions.yaml")).unwrap();
    let own = text
        .strip_prefix(VERSIONS)
        .expect("the admin's part is as it was");
    let kubelet = Digest::of("kubelet".repeat(20_000).as_bytes()).to_oci();
    assert!(
        own.contains(&format!("  {KUBELET}: \"{kubelet}\"\n")),
        "{own}"
    );
    assert!(
        own.contains(&format!("  \"{FLANNEL} linux/amd64\": \"sha256:")),
        "{own}"
    );

    let first = place.read("bundle.tar");
    let again = place.create(&["--output", "json", "bundle.tar"]);
    assert!(again.status.success(), "{}", place.shown(&again));
    let made: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(made["entries"].as_array().unwrap().len(), 16);
    assert_eq!(made["changed"], serde_json::json!([]));
    for line in String::from_utf8(again.stderr).unwrap().lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["event"], "note");
    }
    assert!(
        place.read("bundle.tar") == first,
        "the same pins give the same bytes"
    );
    assert_eq!(
        String::from_utf8(place.read("versions.yaml")).unwrap(),
        text
    );
    let verified = place.cctl(&["bundle", "verify", "-q", "bundle.tar"]);
    assert!(verified.status.success(), "{}", place.shown(&verified));
}

#[test]
fn a_redirect_and_a_broken_connection_are_gone_through() {
    let place = Place::new();
    let elsewhere = format!("/{KUBELET}d");
    let upstream = place.folder.path().join("upstream");
    std::fs::rename(upstream.join(KUBELET), upstream.join(&elsewhere[1..])).unwrap();
    place
        .server
        .fault(KUBELET, Fault::Redirect(elsewhere.clone()), None);
    place
        .server
        .fault(&elsewhere, Fault::CutAfter(50_000), Some(2));
    let made = place.create(&["--update-pins", "bundle.oci"]);
    assert!(made.status.success(), "{}", place.shown(&made));
    let ranges: Vec<String> = place
        .server
        .requests()
        .into_iter()
        .filter(|request| request.path == elsewhere)
        .filter_map(|request| request.range)
        .collect();
    assert_eq!(ranges, ["bytes=50000-", "bytes=100000-"]);
}

#[test]
fn what_is_not_what_it_should_be_is_refused_and_nothing_is_left_of_it() {
    let place = Place::new();
    let made = place.create(&["--update-pins", "bundle.tar"]);
    assert!(made.status.success(), "{}", place.shown(&made));
    let (bundle, versions) = (place.read("bundle.tar"), place.read("versions.yaml"));

    place.server.fault(KUBELET, Fault::FlipAt(70_000), None);
    let refused = place.create(&["-q", "bundle.tar"]);
    insta::assert_snapshot!(place.shown(&refused), @r"
    1
    ---
    error: http://MIRROR/dl.k8s.io/release/v1.37.2/bin/linux/amd64/kubelet has the digest sha256:2664a11f582518b5ac5730d1fc6196f2d8da878a6c1ceebf581cfea827dcc2e3, not sha256:98435939cc55022ed9b20c0d4cce3a87e6e66f306d4f1bb1541a6a0b6f7736c7; it is not kept
    hint: it was damaged or replaced: try another mirror; only where you know why it is another now, take it over with --update-pins
    hint: run it again after that: what was fetched waits in .bundle.tar.partial
    ");
    assert!(
        place.read("bundle.tar") == bundle,
        "the bundle of before is as it was"
    );
    let kept = |file: &String| file.contains("kubelet") && !file.contains("kubeadm");
    assert_eq!(place.files().iter().find(|file| kept(file)), None);
    place.server.mend();

    // Another image than the pinned one. What is sound waits, and the next run goes on from it.
    let text = String::from_utf8(versions.clone()).unwrap();
    let pin = format!("  \"{FLANNEL} linux/amd64\": ");
    let other = Digest::of(b"other").to_oci();
    let repinned = |line: &str| match line.starts_with(&pin) {
        true => format!("{pin}\"{other}\"\n"),
        false => format!("{line}\n"),
    };
    let other_pins: String = text.lines().map(repinned).collect();
    std::fs::write(place.admin().join("versions.yaml"), other_pins).unwrap();
    let refused = place.create(&["-q", "bundle.tar"]);
    let shown = place.shown(&refused);
    assert!(
        shown.contains(&format!(
            "error: image {FLANNEL} for amd64 has the digest sha256:"
        )),
        "{shown}"
    );
    assert!(
        shown.contains(&format!(", not the pinned {other}\nhint: ")),
        "{shown}"
    );
    std::fs::write(place.admin().join("versions.yaml"), &versions).unwrap();
    let before = place.server.requests().len();
    let made = place.create(&["bundle.tar"]);
    assert!(made.status.success(), "{}", place.shown(&made));
    assert_eq!(place.server.requests()[before..], []);
    assert!(place.read("bundle.tar") == bundle);
    assert_eq!(
        place.files(),
        [
            "bundle.tar",
            "dist/etcdadm",
            "dist/nodeadm",
            "versions.yaml"
        ]
    );

    // Published anew under the same name, checksum and all: only the pin knows.
    let upstream = place.folder.path().join("upstream").join(KUBELET);
    std::fs::write(&upstream, "another").unwrap();
    let sum = Digest::of(b"another").to_string();
    std::fs::write(upstream.with_extension("sha256"), sum).unwrap();
    let refused = place.create(&["-q", "bundle.tar"]);
    insta::assert_snapshot!(place.shown(&refused), @r"
    1
    ---
    error: http://MIRROR/dl.k8s.io/release/v1.37.2/bin/linux/amd64/kubelet has the digest sha256:ae448ac86c4e8e4dec645729708ef41873ae79c6dff84eff73360989487f08e5, not sha256:98435939cc55022ed9b20c0d4cce3a87e6e66f306d4f1bb1541a6a0b6f7736c7; it is not kept
    hint: it was damaged or replaced: try another mirror; only where you know why it is another now, take it over with --update-pins
    hint: run it again after that: what was fetched waits in .bundle.tar.partial
    ");
    assert_eq!(place.read("versions.yaml"), versions);
    let taken = place.create(&["-q", "--update-pins", "bundle.tar"]);
    let shown = place.shown(&taken);
    assert!(
        shown.contains(&format!("changed since it was pinned: {KUBELET}\n")),
        "{shown}"
    );
}

#[test]
fn mistakes_are_named_before_anything_is_fetched() {
    let place = Place::new();
    let with = |text: &str, words: &[&str]| {
        std::fs::write(place.admin().join("versions.yaml"), text).unwrap();
        let refused = place.create(&[words, &["-q"]].concat());
        std::fs::write(place.admin().join("versions.yaml"), VERSIONS).unwrap();
        assert_eq!(place.files(), BEFORE);
        place.shown(&refused)
    };
    insta::assert_snapshot!(with(&VERSIONS.replace("vip:", "vipp:"), &["b.tar"]), @r"
    2
    ---
    usage error: ADMIN/versions.yaml cannot be understood
      because: unknown field `vipp`, did you mean `vip`? (line 5, column 1)
    ");
    insta::assert_snapshot!(with(&VERSIONS.replace("{version: v1.37.2}", "v1.37.2"), &["b.tar"]), @r#"
    2
    ---
    usage error: ADMIN/versions.yaml cannot be understood
      because: kubernetes: invalid type: string "v1.37.2", expected a version, as in {version: v1.37.2} (line 4, column 13)
    "#);
    insta::assert_snapshot!(with(&VERSIONS.replace("v1.37.2", "v1.30.0"), &["b.tar", "--trust-upstream"]), @r"
    2
    ---
    usage error: v1.30.0: CoreDNS and pause are known for Kubernetes 1.34 to 1.37 only; say `coredns` and `pause`
    ");
    insta::assert_snapshot!(with(&VERSIONS.replace("dist", "elsewhere"), &["b.tar", "--trust-upstream"]), @r"
    2
    ---
    usage error: ADMIN/elsewhere/etcdadm does not exist: the node tools for amd64 are wanted there
    hint: name the folder that has etcdadm and nodeadm, `nodeTools: {amd64: FOLDER}`, or leave them out, `without: [etcdadm, nodeadm]`
    ");
    let arm = VERSIONS.replace("nodeTools: {amd64: dist}", "architectures: [riscv64]");
    insta::assert_snapshot!(with(&arm, &["b.tar", "--trust-upstream"]), @r"
    2
    ---
    usage error: no folder is known that has the node tools for riscv64
    hint: name the folder that has etcdadm and nodeadm, `nodeTools: {riscv64: FOLDER}`, or leave them out, `without: [etcdadm, nodeadm]`
    ");
    insta::assert_snapshot!(with(VERSIONS, &["dist"]), @r"
    2
    ---
    usage error: dist is already there
    hint: name a folder that is not there yet, or a file that ends in .tar
    ");
    insta::assert_snapshot!(with(VERSIONS, &["none/b.tar"]), @r"
    2
    ---
    usage error: the folder none does not exist
    hint: make it first
    ");
    insta::assert_snapshot!(with(VERSIONS, &["b.tar", "--mirror", "ftp://x"]), @r#"
    2
    ---
    usage error: "ftp://x" is no mirror: a URL (https://…), a registry (oci://HOST, registry.k8s.io=oci://HOST) or a path
    "#);
    let none = place.cctl(&["bundle", "create", "-f", "none.yaml", "b.tar"]);
    insta::assert_snapshot!(place.shown(&none), @r"
    2
    ---
    usage error: ADMIN/none.yaml does not exist
    hint: write one to start from: cctl bundle versions > ADMIN/none.yaml
    ");
    assert_eq!(place.server.requests(), []);
}

#[test]
fn what_no_mirror_has_is_named() {
    let place = Place::new();
    let kubelet = place.folder.path().join("upstream").join(KUBELET);
    std::fs::remove_file(&kubelet).unwrap();
    let refused = place.create(&["-q", "--trust-upstream", "b.tar"]);
    insta::assert_snapshot!(place.shown(&refused), @r"
    1
    ---
    error: no mirror has dl.k8s.io/release/v1.37.2/bin/linux/amd64/kubelet
    hint: check the version, or name a further place that has it: --mirror may be given more than once
    hint: run it again after that: what was fetched waits in .b.tar.partial
    ");
    let text = VERSIONS.replace("keepalived:2.2.7", "keepalived:3");
    std::fs::write(place.admin().join("versions.yaml"), text).unwrap();
    std::fs::write(kubelet, "kubelet".repeat(20_000)).unwrap();
    let refused = place.create(&["-q", "--trust-upstream", "b.tar"]);
    insta::assert_snapshot!(place.shown(&refused), @r"
    1
    ---
    error: no mirror has klusterkit.dev/keepalived:3
    hint: check the version, or name a further place that has it: --mirror may be given more than once
    hint: run it again after that: what was fetched waits in .b.tar.partial
    ");
}

#[test]
fn the_file_to_start_from_is_one() {
    let place = Place::new();
    let example = place.cctl(&["bundle", "versions", "--kubernetes-version", "v1.36.3"]);
    std::fs::write(place.admin().join("versions.yaml"), &example.stdout).unwrap();
    // Where cctl's own folder, in which the node tools are looked for, has none.
    let alone = place.folder.path().join("cctl");
    std::fs::copy(env!("CARGO_BIN_EXE_cctl"), &alone).unwrap();
    let words = ["bundle", "create", "-f", "versions.yaml", "b.tar"];
    let shown = place.shown(&place.run(&alone, &words));
    let told = "/etcdadm does not exist: the node tools for amd64 are wanted there\n";
    assert!(shown.contains(told), "{shown}");
}
