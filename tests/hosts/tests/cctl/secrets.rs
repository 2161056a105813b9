//! No private key of a cluster lies open: not in what processes are told while the cluster is made and recovered, and
//! afterwards not in the state, the snapshot, the journal, the logs or any other file of the host or the admin, but in those
//! that are there to hold it, which nobody but their owner can read.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hosts::{ClusterFile, Content, Keys, Processes, Told, contents};
use lab::{Host, wait_until};

use crate::recovered::text;
use crate::{Ground, READY, timed};

/// A key of the test's own, which it tells everybody.
const PLANTED: &str = "planted";
/// Where the admin asked for a kubeconfig.
const KUBECONFIG: &str = "kubeconfig.kept";

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn no_private_key_lies_open() {
    let ground = Ground::new("secrets", 1);
    let (host, admin) = (&ground.hosts[0], ground.admin("admin"));
    let processes = Processes::default();
    let planted = pki::PrivateKey::generate().unwrap();
    let mut keys = Keys::default();
    assert_eq!(keys.add(PLANTED, planted.pem().expose()), 1);

    let said = processes.during(|| {
        let mut said = Vec::new();
        let mut run = |words: &[&str]| {
            let output = timed(words[0], || {
                admin.cctl(words.iter().copied()).check().unwrap()
            });
            said.push([output.stdout, output.stderr].concat());
        };
        // As another user than root: through sudo, which tells a journal what it ran.
        let file = ClusterFile::new(&ground.lab, &ground.hosts, 1, "admin");
        let words = admin.apply_words(&file).unwrap();
        run(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let snapshot = admin.file("etcd.snapshot");
        run(&["snapshot", "etcd", text(&snapshot)]);
        tell_everybody(host, planted.pem().expose(), &processes);
        run(&["recover", "--snapshot", text(&snapshot), "--yes"]);
        run(&["get", "kubeconfig", "--file", text(&admin.file(KUBECONFIG))]);
        said
    });
    let (told, looks) = (processes.told(), processes.looks());
    println!(
        "{looks} looks at all processes, which were told {} things",
        told.len()
    );
    for tool in ["cctl", "etcdadm", "nodeadm", "kubeadm", "kubectl"] {
        let heard = processes.heard(Told::Arguments, &format!("/{tool}\0"));
        assert!(heard, "no {tool} was seen: the looks are too seldom");
    }

    let files = contents(host).unwrap();
    let kept = admins(admin.file("").as_path());
    of_the_state(&mut keys, &admin.file("cctl-state.yaml"), &ground.lab.key());
    for file in files.iter().filter(|file| holds_keys(&file.path)) {
        keys.add(&format!("of {}", file.path), &file.bytes);
    }
    let journal = ["journalctl", "--no-pager", "--all", "--output=cat"];
    let journal = host.nsexec(journal).unwrap().check().unwrap().stdout;
    println!(
        "{} files and {} bytes of journal",
        files.len(),
        journal.len()
    );

    // Each place, what of it is there to hold keys, and its bytes.
    let mut places: Vec<(String, Option<u32>, &[u8])> = vec![("journal".into(), None, &journal)];
    for (told, bytes) in &told {
        places.push((format!("{told:?}: {}", shown(bytes)), None, bytes));
    }
    for bytes in &said {
        places.push(("what cctl said".to_owned(), None, bytes));
    }
    for file in files.iter().chain(&kept) {
        let mode = holds_keys(&file.path).then_some(file.mode);
        places.push((file.path.clone(), mode, &file.bytes));
    }
    let (mut open, mut held) = (Vec::new(), BTreeSet::new());
    for (place, mode, bytes) in &places {
        for key in keys.within(bytes) {
            match mode {
                Some(mode) if mode & 0o077 == 0 => drop(held.insert(key)),
                _ => open.push((key, place.as_str())),
            }
        }
    }

    // What was told to everybody is found wherever it was told; so what is not found is not there.
    let (known, open): (Vec<_>, Vec<_>) = open.into_iter().partition(|(key, _)| *key == PLANTED);
    for place in ["Arguments", "Environment", "journal", LOG, CONFIG] {
        let found = known.iter().any(|(_, found)| found.starts_with(place));
        assert!(found, "the planted key was not found in {place}: {known:?}");
    }
    assert!(open.is_empty(), "private keys lie open: {open:#?}");
    for key in ["kubernetes", "front-proxy", "service-account", "admin"] {
        assert!(held.contains(key), "{key} was found nowhere: {held:?}");
    }
    for key in ["etcd", "signing"] {
        assert!(!held.contains(key), "{key} is to be in the state alone");
    }
    admin.fetch_kubeconfig().unwrap();
    admin.wait_ready(1, READY).unwrap();
}

const LOG: &str = "/var/log/planted.log";
const CONFIG: &str = "/root/planted.json";

/// Tells this key in every way that a key must not be told, each time in another form.
fn tell_everybody(host: &Host, pem: &[u8], processes: &Processes) {
    let pem = std::str::from_utf8(pem).unwrap();
    let body: String = pem.lines().filter(|line| !line.contains("-----")).collect();
    let der = STANDARD.decode(&body).unwrap();
    let shifted = |by: &[u8]| STANDARD.encode([by, &der].concat());

    let words = shifted(b"a");
    let variable = format!("PLANTED={}", shifted(b"ab"));
    let argv = ["env", &variable, "sh", "-c", "read line", PLANTED, &words];
    let mut process = host.nsexec(argv).unwrap().spawn().unwrap();
    wait_until("the process to be seen", Duration::from_secs(30), || {
        Ok(processes.heard(Told::Arguments, &words)
            && processes.heard(Told::Environment, &variable))
    })
    .unwrap();
    // It reads to the end of its standard input.
    drop(process.stdin.take());
    process.wait().unwrap();

    let line = format!("a key: {body}\n");
    let logger = ["logger", "--tag", PLANTED];
    let logger = host.nsexec(logger).unwrap().stdin(line);
    logger.check().unwrap();
    host.nsexec(["journalctl", "--sync"])
        .unwrap()
        .check()
        .unwrap();
    host.write(LOG, pem.replace("\n", "\n\t"), 0o644).unwrap();
    let nested = format!("{{\"client-key-data\": \"{}\"}}", STANDARD.encode(pem));
    host.write(CONFIG, nested, 0o600).unwrap();
}

/// The keys that are sealed in the state.
fn of_the_state(keys: &mut Keys, state: &Path, key: &Path) {
    let identity = state::Identity::new(key, None, Arc::new(|_| None));
    let (_, secrets) = state::unseal(state, &identity).unwrap();
    let kubeconfig = secrets.admin_kubeconfig.unwrap();
    for (name, secret) in [
        ("kubernetes", &secrets.kubernetes_key),
        ("front-proxy", &secrets.front_proxy_key),
        ("etcd", &secrets.etcd_key),
        ("service-account", &secrets.service_account_key),
        ("signing", &secrets.signing_key),
        ("admin", &kubeconfig),
    ] {
        assert_eq!(keys.add(name, secret.reveal().as_bytes()), 1, "{name}");
    }
}

/// Whether a file is there to hold private keys.
fn holds_keys(path: &str) -> bool {
    let below = |folder: &str, end: &str| path.starts_with(folder) && path.ends_with(end);
    below("/etc/kubernetes/", ".key")
        || below("/etc/kubernetes/", ".conf")
        || below("/etc/etcd/pki/", ".key")
        || below("/var/lib/kubelet/pki/", ".pem")
        || path.ends_with(KUBECONFIG)
}

/// All files of the admin's.
fn admins(folder: &Path) -> Vec<Content> {
    use std::os::unix::fs::PermissionsExt;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let about = path.symlink_metadata().unwrap();
        if about.is_dir() {
            found.extend(admins(&path));
        } else if about.is_file() {
            found.push(Content {
                path: path.display().to_string(),
                mode: about.permissions().mode(),
                bytes: std::fs::read(&path).unwrap(),
            });
        }
    }
    found
}

/// The beginning of what a process was told.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).replace('\0', " ");
    text.chars().take(120).collect()
}
