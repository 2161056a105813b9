//! Bundles out of the real places: release files behind HTTP and images in upstream's own registry, both inside the lab's
//! network. `cctl` makes a bundle of them, a host that has nothing yet fills its store from them, and what is damaged or
//! replaced there is refused.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test: it runs a registry, damages its blobs and ends where things go wrong"
)]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hosts::Equipment;
use lab::{Base, HostSpec, Lab, LabConfig, Output, wait_until};
use parts::registry::Settings;
use parts::serve::{Fault, Server};
use serde_json::Value;

const PAUSE: &str = "registry.k8s.io/pause:3.10.2";
const RUNC: &str = "github.com/opencontainers/runc/releases/download/v1.5.2/runc.amd64";

/// Little enough to be made many times: one file and one image.
const SMALL: &str = "\
apiVersion: klusterkit.dev/v1alpha1
kind: BundleConfiguration
kubernetes: {version: v1.37.2}
runc: {version: v1.5.2}
images: [registry.k8s.io/pause:3.10.2]
without: [etcd, kubernetes, containerd, cni-plugins, flannel, etcdadm, nodeadm]
";

/// The registry's process, which ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A lab with a mirror and a registry in its network.
struct Places {
    equipment: Equipment,
    folder: tempfile::TempDir,
    server: Server,
    registry: SocketAddr,
    _running: Running,
    lab: Lab,
}

impl Places {
    fn new() -> Self {
        let equipment = Equipment::from_environment().unwrap();
        let folder = tempfile::Builder::new()
            .prefix("klusterkit-")
            .tempdir_in("/var/tmp")
            .unwrap();
        let base = Base::ensure().unwrap();
        let lab = Lab::create(LabConfig::new("bundle", folder.path().join("lab"), &base)).unwrap();
        let at = lab.address();
        let listener = lab.in_net(|| TcpListener::bind((at, 0)).unwrap()).unwrap();
        let server = Server::start(listener, &equipment.supplies.join("mirror")).unwrap();

        let registry = SocketAddr::from((at, 5000));
        let settings = Settings {
            listen: registry,
            storage: folder.path().join("registry"),
            tls: None,
            passwords: None,
        };
        let program = equipment.supplies.join("registry");
        let words = settings
            .arguments(&program, &folder.path().join("registry.yml"))
            .unwrap();
        let log = std::fs::File::create(folder.path().join("registry.log")).unwrap();
        let start = || {
            Command::new(&words[0])
                .args(&words[1..])
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .unwrap()
        };
        let running = Running(lab.in_net(start).unwrap());
        wait_until("the registry to listen", Duration::from_secs(20), || {
            lab.in_net(|| TcpStream::connect(registry).is_ok())
        })
        .unwrap();
        let places = Self {
            equipment,
            folder,
            server,
            registry,
            _running: running,
            lab,
        };
        let images = places.equipment.supplies.join("images.oci");
        for reference in places.images(&images) {
            places.push(&format!("oci:{}:{reference}", images.display()), &reference);
        }
        places
    }

    /// The references of a layout's images.
    fn images(&self, layout: &Path) -> Vec<String> {
        let inspected = self.inspect(layout);
        let images = inspected["images"].as_array().unwrap();
        let reference = |image: &Value| image["reference"].as_str().unwrap().to_owned();
        images.iter().map(reference).collect()
    }

    /// Puts an image into the registry, by a program that knows registries and not us.
    fn push(&self, from: &str, reference: &str) {
        let to = format!("docker://{}/all/{reference}", self.registry);
        let words = ["skopeo", "copy", "--insecure-policy", "--quiet"];
        let words = words.into_iter().chain([
            "--preserve-digests",
            "--dest-tls-verify=false",
            "--src-tls-verify=false",
            from,
            &to,
        ]);
        self.lab.run(words).check().unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn mirrors(&self) -> [String; 4] {
        let (server, registry) = (self.server.url(""), self.registry);
        let all = format!("oci+http://{registry}/all");
        ["--mirror".to_owned(), server, "--mirror".to_owned(), all]
    }

    fn cctl(&self, words: &[&str]) -> lab::Run {
        let cctl = self.equipment.tool("cctl").display().to_string();
        self.lab
            .run([cctl.as_str()])
            .args(words)
            .timeout(Duration::from_secs(300))
    }

    /// `cctl bundle create` out of the mirror and the registry.
    fn create(&self, versions: &str, bundle: &str, words: &[&str]) -> Output {
        let (versions, bundle) = (self.file(versions), self.file(bundle));
        let start = Instant::now();
        let output = self
            .cctl(&["bundle", "create", "--file"])
            .args([text(&versions), text(&bundle)])
            .args(self.mirrors())
            .args(words)
            .output()
            .unwrap();
        println!("create: {:.1} s", start.elapsed().as_secs_f32());
        output
    }

    /// The same, which must fail: what it says.
    fn refused(&self, words: &[&str]) -> String {
        let output = self.create("small.yaml", "refused.tar", words);
        assert!(!output.success(), "{}", output.text());
        assert!(!self.file("refused.tar").exists());
        let said = output.error_text();
        said.replace(&self.server.address().to_string(), "MIRROR")
            .replace(&self.registry.to_string(), "REGISTRY")
            .replace(&self.folder.path().display().to_string(), "FOLDER")
    }

    fn inspect(&self, bundle: &Path) -> Value {
        let words = ["bundle", "inspect", "--output", "json", text(bundle)];
        serde_json::from_str(&self.cctl(&words).text().unwrap()).unwrap()
    }

    /// Where the registry keeps a blob; `digest` as `sha256:…` or bare.
    fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.trim_start_matches("sha256:");
        let folder = self.file("registry/docker/registry/v2/blobs/sha256");
        folder.join(&hex[..2]).join(hex).join("data")
    }

    /// The names of all that waits in the working folder of a bundle that was refused.
    fn waiting(&self) -> Vec<String> {
        let listed = ["find", text(&self.file(".refused.tar.partial"))].map(str::to_owned);
        let words = listed.iter().map(String::as_str).chain(["-type", "f"]);
        let listed = self.lab.run(words).text().unwrap();
        let name = |line: &str| line.rsplit('/').next().unwrap_or_default().to_owned();
        listed.lines().map(name).collect()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn bundles_and_stores_are_filled_from_a_mirror_and_the_real_registry() {
    let places = Places::new();
    let supplies = &places.equipment.supplies;
    let own = std::fs::read_to_string(supplies.join("versions.yaml")).unwrap();
    let own = own.split("---").next().unwrap();
    std::fs::write(places.file("versions.yaml"), own).unwrap();

    // Pinned by the first run, taken by the second, to the byte.
    let first = places.create("versions.yaml", "first.tar", &["--update-pins"]);
    assert!(first.success(), "{}", first.error_text());
    let second = places.create("versions.yaml", "second.tar", &[]);
    assert!(second.success(), "{}", second.error_text());
    let (first, second) = (places.file("first.tar"), places.file("second.tar"));
    places
        .lab
        .run(["cmp", text(&first), text(&second)])
        .check()
        .unwrap();
    places
        .cctl(&["bundle", "verify", text(&first)])
        .check()
        .unwrap();
    let pinned = std::fs::read_to_string(places.file("versions.yaml")).unwrap();
    assert!(pinned.starts_with(own.trim_end()), "{pinned}");
    let there = std::fs::read_to_string(supplies.join("versions.yaml")).unwrap();
    assert_eq!(pinned, there, "the same digests as from folders");

    // The same content as out of folders, and what another program reads of it.
    let inspected = places.inspect(&first);
    assert_eq!(inspected, places.inspect(&places.equipment.bundle()));
    for image in inspected["images"].as_array().unwrap() {
        let reference = image["reference"].as_str().unwrap();
        let archive = format!("oci-archive:{}:{reference}", first.display());
        let shown = places
            .lab
            .run(["skopeo", "inspect", &archive])
            .text()
            .unwrap();
        let shown: Value = serde_json::from_str(&shown).unwrap();
        let digest = image["digest"]
            .as_str()
            .unwrap()
            .trim_start_matches("sha256:");
        assert_eq!(shown["Digest"], format!("sha256:{digest}"));
    }

    a_host_without_a_runtime_fills_its_store(&places);
    what_is_damaged_or_replaced_is_refused(&places);
}

fn a_host_without_a_runtime_fills_its_store(places: &Places) {
    let hosts = places.lab.up(1, HostSpec::default()).unwrap();
    let host = &hosts[0];
    for tool in ["nodeadm", "cctl"] {
        host.put(
            &places.equipment.tool(tool),
            &format!("/root/{tool}"),
            0o755,
        )
        .unwrap();
    }
    host.put(&places.file("versions.yaml"), "/root/versions.yaml", 0o644)
        .unwrap();
    let found = host
        .exec(["sh", "-c", "command -v containerd ctr; ls /opt/bin"])
        .output()
        .unwrap();
    assert_eq!(found.text(), "", "there is no runtime on it");
    let mirrors = places.mirrors();
    let download = || {
        let words = [
            "/root/nodeadm",
            "download",
            "--versions",
            "/root/versions.yaml",
        ];
        let words = words.into_iter().chain(mirrors.iter().map(String::as_str));
        host.exec(words).timeout(Duration::from_secs(300))
    };
    let start = Instant::now();
    let taken = download().text().unwrap();
    println!("nodeadm download: {:.1} s", start.elapsed().as_secs_f32());
    for wanted in ["kubernetes 1.37.2", "containerd 2.4.2", PAUSE] {
        assert!(taken.contains(wanted), "{wanted}: {taken}");
    }
    assert!(!taken.contains("etcd"), "{taken}");
    let store = "/var/cache/klusterkit";
    host.exec(["/root/cctl", "bundle", "verify", store])
        .check()
        .unwrap();
    let left = host.exec(["ls", "-A", "/var/cache"]).text().unwrap();
    assert!(!left.contains("klusterkit.download"), "{left}");

    // What is there is neither fetched nor written again.
    let list = ["find", store, "-type", "f", "-printf", "%p %T@\n"];
    let before = host.exec(list).text().unwrap();
    let requests = places.server.requests().len();
    download().check().unwrap();
    assert_eq!(places.server.requests().len(), requests);
    let blobs = |listed: &str| -> Vec<String> {
        let mut lines: Vec<String> = listed
            .lines()
            .filter(|line| line.contains("/blobs/"))
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(blobs(&host.exec(list).text().unwrap()), blobs(&before));
}

fn what_is_damaged_or_replaced_is_refused(places: &Places) {
    std::fs::write(places.file("small.yaml"), SMALL).unwrap();
    let unpinned = places.refused(&[]);
    assert!(unpinned.contains("is not pinned in"), "{unpinned}");
    let made = places.create("small.yaml", "small.tar", &["--update-pins"]);
    assert!(made.success(), "{}", made.error_text());
    let small = places.inspect(&places.file("small.tar"));
    let manifest = small["images"][0]["digest"].as_str().unwrap();
    let manifest = std::fs::read_to_string(places.blob(manifest)).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap().to_owned();

    // A blob in the registry loses a bit.
    let path = places.blob(&layer);
    let sound = std::fs::read(&path).unwrap();
    let mut damaged = sound.clone();
    damaged[1000] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let said = places.refused(&["--quiet"]);
    let expected = format!(
        "error: http://REGISTRY/v2/all/registry.k8s.io/pause/blobs/{layer} has the digest sha256:"
    );
    assert!(said.starts_with(&expected), "{said}");
    assert!(
        said.contains(&format!(", not {layer}; it is not kept\nhint: ")),
        "{said}"
    );
    let hex = layer.trim_start_matches("sha256:");
    let waiting = places.waiting();
    assert!(waiting.contains(&"runc.amd64".to_owned()), "{waiting:?}");
    assert!(
        !waiting.iter().any(|name| name.starts_with(hex)),
        "{waiting:?}"
    );

    // The registry's blob is cut short.
    std::fs::write(&path, &sound[..sound.len() / 2]).unwrap();
    let said = places.refused(&["--quiet"]);
    assert!(said.contains(&layer), "{said}");
    std::fs::write(&path, &sound).unwrap();

    // Another image under the name that was pinned.
    let coredns = places
        .images(&places.equipment.bundle())
        .into_iter()
        .find(|reference| reference.contains("coredns"))
        .unwrap();
    let at = |reference: &str| format!("docker://{}/all/{reference}", places.registry);
    places.push(&at(&coredns), PAUSE);
    let said = places.refused(&["--quiet"]);
    let expected = format!("error: image {PAUSE} for amd64 has the digest sha256:");
    assert!(said.starts_with(&expected), "{said}");
    let images = places.equipment.supplies.join("images.oci");
    places.push(&format!("oci:{}:{PAUSE}", images.display()), PAUSE);

    // A release file loses a bit on its way. (What was fetched before is not fetched again, hence another folder.)
    places.server.fault(RUNC, Fault::FlipAt(100_000), None);
    let work = places.file("work");
    let said = places.refused(&["--quiet", "--work", text(&work)]);
    assert!(
        said.starts_with(&format!(
            "error: http://MIRROR/{RUNC} has the digest sha256:"
        )),
        "{said}"
    );
    places.server.mend();

    // All is well again, and what was sound before is taken from where it waits.
    let requests = places.server.requests().len();
    let made = places.create("small.yaml", "refused.tar", &["--quiet"]);
    assert!(made.success(), "{}", made.error_text());
    assert_eq!(places.server.requests().len(), requests);
    assert!(!places.file(".refused.tar.partial").exists());
    let both = ["small.tar", "refused.tar"].map(|name| places.file(name));
    let words = ["cmp", text(&both[0]), text(&both[1])];
    places.lab.run(words).check().unwrap();
}
