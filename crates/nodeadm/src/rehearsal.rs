//! The inside of a rehearsal: etcd and an API server on a backup's data, on a loopback that nobody else has.
//!
//! All it makes lies in a temporary folder of the unit's own. Certificates and keys are made for it and go with it; of the
//! backup it takes etcd's data, the EncryptionConfiguration, and what the API server was told about kinds and addresses.

mod listing;
mod server;

use std::io::{self, BufWriter, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use api::{HostFiles, Rehearsal};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use capsule::backup::{self, Whole};
use cli::{Context, Kind, ResultExt};
use host::{Change, Condition, Host, Inspect, Local, Pending, Run, process};
use pki::{Profile, San, Usage};
use serde_json::{Value, json};

use crate::cluster::{Cluster, ClusterError, Live};
use crate::{Error, paths};

/// In the unit's own temporary folder, which is on a disk.
const WORK: &str = "/var/tmp/rehearsal";
const API: &str = "127.0.0.1:6443";
const ETCD: &str = "http://127.0.0.1:2379";
/// How long restoring, loading and starting may take.
const LIMIT: Duration = Duration::from_secs(900);
/// So much of the disk stays free.
const MARGIN: u64 = 1 << 30;
/// How long an API server may say that it cannot read, before that is believed.
const PATIENCE: Duration = Duration::from_secs(15);
/// What an API server is told that decides what it finds in etcd, and how it answers.
const TAKEN: [&str; 6] = [
    "--etcd-prefix",
    "--feature-gates",
    "--runtime-config",
    "--service-account-issuer",
    "--service-cluster-ip-range",
    "--storage-media-type",
];

/// The image of the API server in a static pod's manifest.
pub(crate) fn image_of(manifest: &str) -> Option<String> {
    let manifest: Value = api::yaml::from_str(manifest).ok()?;
    let image = manifest.pointer("/spec/containers/0/image")?.as_str()?;
    (!image.starts_with('-')).then(|| image.to_owned())
}

/// Runs it, and prints what was seen.
///
/// # Errors
/// The backup is damaged; etcd or the API server does not come up on it.
pub(crate) fn run(
    context: &mut Context,
    api_server: &Path,
    etcd_dir: &Path,
) -> Result<(), cli::Error> {
    let mut host = Local::new("/");
    is_apart(&host)?;
    let work = Path::new(WORK);
    let path = work.to_owned();
    host.apply(&Change::MakeDir { path, mode: 0o700 })?;
    let snapshot = work.join("snapshot.db");
    let whole = receive(&snapshot)?;
    let told = Told::of(&whole)?;
    context.progress.note("restoring etcd's data");
    restore(&mut host, etcd_dir, &snapshot)?;
    let path = snapshot;
    host.apply(&Change::Remove { path })?;
    let mut etcd = server::etcd(etcd_dir, work)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 2379));
    etcd.wait(LIMIT, || {
        Ok(host.holds(&Condition::Listening(address))?.then_some(()))
    })?;
    write_credentials(&mut host, work)?;
    let arguments = told.arguments(&mut host, work)?;
    context.progress.note("starting an API server");
    let start = Instant::now();
    let mut server = server::api_server(api_server, work, &arguments)?;
    let live = Live::new(work, API.to_owned());
    server.wait(LIMIT, || {
        Ok(live.ready(API).ok().or_else(|| is_blind(&live, start)))
    })?;
    let ready_after = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    context.progress.note("listing every kind");
    let mut seen = listing::list(&live)?;
    seen.ready_after = ready_after;
    drop((server, etcd));
    context.print(&seen, as_text)
}

/// An API server that cannot read the Secrets waits for ever to have them before it calls itself ready: that it answers, and
/// answers so, is enough to see by each kind what it cannot read.
fn is_blind(live: &Live, start: Instant) -> Option<()> {
    if start.elapsed() < PATIENCE {
        return None;
    }
    match live.get("/api/v1/secrets?limit=1") {
        Err(ClusterError::Refused { status: 500, .. }) => Some(()),
        _ => None,
    }
}

/// Refuses to go on where somebody else could be reached: a unit's own network is nothing where the system gives none.
fn is_apart(seen: &dyn Inspect) -> Result<(), Error> {
    let read = |path: &str| seen.read_text(Path::new(path));
    let routes = read("/proc/self/net/route")?.unwrap_or_default();
    let more = read("/proc/self/net/ipv6_route")?.unwrap_or_default();
    let of_loopback = |line: &str| line.split_whitespace().last() == Some("lo");
    if routes.lines().skip(1).any(|line| !line.starts_with("lo\t"))
        || !more.lines().all(of_loopback)
    {
        return Err(Error::Untold(
            "systemd gives units no network of their own here: a rehearsal could reach others"
                .to_owned(),
        ));
    }
    Ok(())
}

/// The backup on standard input: etcd's data into a file, all else into memory.
fn receive(snapshot: &Path) -> Result<Whole, cli::Error> {
    let careful = Careful::new(Pending::new(snapshot, 0o600)?);
    let mut file = BufWriter::with_capacity(1 << 20, careful);
    let whole = backup::read_to(&mut std::io::stdin().lock(), &mut file).kind(Kind::Preflight)?;
    file.flush().kind(Kind::Failed)?;
    let file = file.into_inner().map_err(|error| error.into_error());
    file.kind(Kind::Failed)?.file.commit()?;
    Ok(whole)
}

/// Stops before the disk is full: the cluster's own etcd may lie on it. What is written here is there twice for a while.
struct Careful {
    file: Pending,
    written: u64,
}

impl Careful {
    fn new(file: Pending) -> Self {
        Self { file, written: 0 }
    }

    fn has_room(&self) -> io::Result<()> {
        let seen = Local::new("/").file_system(self.file.target());
        let free = seen
            .map_err(io::Error::other)?
            .map_or(u64::MAX, |seen| seen.free);
        if free < MARGIN + self.written {
            return Err(io::Error::other("the disk would be full"));
        }
        Ok(())
    }
}

impl Write for Careful {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.has_room()?;
        let n = self.file.write(bytes)?;
        self.written += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn restore(host: &mut Local, etcd_dir: &Path, snapshot: &Path) -> Result<(), Error> {
    let text = |path: PathBuf| path.display().to_string();
    let run = Run::new(
        text(etcd_dir.join("etcdutl")),
        [
            "snapshot".to_owned(),
            "restore".to_owned(),
            snapshot.display().to_string(),
            "--data-dir".to_owned(),
            text(Path::new(WORK).join("data")),
        ],
    );
    Ok(host.apply(&Change::Run(run.within(LIMIT)))?)
}

/// What the backup says of its API servers.
struct Told {
    arguments: Vec<String>,
    encryption: Option<Vec<u8>>,
}

impl Told {
    /// Of the first control plane that the backup has an EncryptionConfiguration of, else the first.
    fn of(whole: &Whole) -> Result<Self, Error> {
        let hosts = &whole.index.hosts;
        let encrypting = hosts.iter().find(|host| !host.files.encryption.is_empty());
        let Some(chosen) = encrypting.or(hosts.first()) else {
            return Err(Error::Settings(
                "the backup has no control plane's files".to_owned(),
            ));
        };
        let damaged = |error: &dyn std::error::Error| Error::File {
            path: PathBuf::from(&chosen.part),
            what: error.to_string(),
        };
        let part = whole.parts.get(&chosen.part).map_or(&[][..], Vec::as_slice);
        let (index, contents) = capsule::files::read(&mut &part[..]).map_err(|e| damaged(&e))?;
        let manifest = Path::new(paths::MANIFESTS).join("kube-apiserver.yaml");
        let manifest = content(&index, &contents, &manifest).unwrap_or_default();
        let manifest: Value =
            api::yaml::from_str(&String::from_utf8_lossy(manifest)).map_err(|e| damaged(&e))?;
        let words = manifest
            .pointer("/spec/containers/0/command")
            .and_then(Value::as_array);
        let words = words.into_iter().flatten().filter_map(Value::as_str);
        let is_taken = |word: &&str| {
            TAKEN
                .iter()
                .any(|flag| word.split_once('=').is_some_and(|(name, _)| name == *flag))
        };
        let encryption = index.encryption.first();
        Ok(Self {
            arguments: words.filter(is_taken).map(str::to_owned).collect(),
            encryption: encryption
                .and_then(|path| content(&index, &contents, path))
                .map(<[u8]>::to_vec),
        })
    }

    fn arguments(&self, host: &mut Local, work: &Path) -> Result<Vec<String>, Error> {
        let mut arguments = self.arguments.clone();
        if let Some(encryption) = &self.encryption {
            let path = work.join("encryption.yaml");
            host.apply(&Change::private_file(&path, encryption.clone()))?;
            arguments.push(format!("--encryption-provider-config={}", path.display()));
        }
        Ok(arguments)
    }
}

fn content<'c>(index: &HostFiles, contents: &'c [Vec<u8>], path: &Path) -> Option<&'c [u8]> {
    let at = index.files.iter().position(|file| file.path == path)?;
    contents.get(at).map(Vec::as_slice)
}

/// Authorities that nobody keeps, a certificate for the API server, one for who asks it, a key for service accounts; where
/// [`Live`] and [`server::api_server`] look for them.
fn write_credentials(host: &mut Local, work: &Path) -> Result<(), Error> {
    let failed = |source: &dyn std::error::Error| {
        Error::Untold(format!("no certificate can be made: {source}"))
    };
    let now = SystemTime::now();
    let made = pki::kubernetes::Authorities::generate(now).map_err(|e| failed(&e))?;
    let profile = Profile {
        common_name: "rehearsal".to_owned(),
        organization: None,
        usage: Usage::Server,
        sans: vec![San::Ip(Ipv4Addr::LOCALHOST.into())],
        validity: Duration::from_secs(24 * 3600),
    };
    let user = pki::kubernetes::user("rehearsal", "system:masters");
    let serving = made
        .kubernetes
        .issue(&profile, now)
        .map_err(|e| failed(&e))?;
    let asking = made.kubernetes.issue(&user, now).map_err(|e| failed(&e))?;
    let ca = made.kubernetes.pair().certificate;
    let config = json!({
        "clusters": [{"cluster": {"certificate-authority-data": STANDARD.encode(&ca)}}],
        "users": [{"user": {
            "client-certificate-data": STANDARD.encode(&asking.certificate),
            "client-key-data": STANDARD.encode(asking.key.expose()),
        }}],
    });
    let below = |path: &str| work.join(path.trim_start_matches('/'));
    let pki = below(paths::PKI);
    for (path, content) in [
        (pki.join("ca.crt"), ca.into_bytes()),
        (pki.join("apiserver.crt"), serving.certificate.into_bytes()),
        (pki.join("apiserver.key"), serving.key.expose().to_vec()),
        (
            pki.join("sa.key"),
            made.service_account.private.expose().to_vec(),
        ),
        (pki.join("sa.pub"), made.service_account.public.into_bytes()),
        (
            below(paths::KUBERNETES).join("admin.conf"),
            config.to_string().into_bytes(),
        ),
    ] {
        host.apply(&Change::private_file(path, content))?;
    }
    Ok(())
}

fn as_text(seen: &Rehearsal) -> String {
    let objects: u64 = seen.kinds.values().sum();
    let mut text = format!(
        "{} served it after {:.1} s: {objects} objects of {} kinds, {} nodes\n",
        seen.kubernetes_version,
        seen.ready_after as f64 / 1e3,
        seen.kinds.len(),
        seen.nodes.len(),
    );
    for (kind, what) in &seen.failed {
        text += &format!("CANNOT BE READ: {kind}: {what}\n");
    }
    text
}

/// A program of the rehearsal's, as it is started.
fn program(path: &Path) -> std::process::Command {
    process::command(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use host::{Memory, Nothing, Overlay};

    use super::*;

    #[test]
    fn nothing_is_started_where_somebody_can_be_reached() {
        let routes = |ipv4: &str, ipv6: &str| {
            let mut host: Memory = Overlay::new(Nothing);
            let header = "Iface\tDestination\tGateway\n";
            let change = Change::file("/proc/self/net/route", format!("{header}{ipv4}"));
            host.apply(&change).unwrap();
            host.apply(&Change::file("/proc/self/net/ipv6_route", ipv6))
                .unwrap();
            is_apart(&host)
        };
        let own = "00000000000000000000000000000001 80 00000000 00000001 00000002 00000000 80200001       lo\n";
        assert!(routes("", "").is_ok());
        assert!(routes("", own).is_ok());
        assert!(routes("eth0\t00000000\t0100000A\n", own).is_err());
        assert!(routes("", &own.replace("lo", "eth0")).is_err());
    }

    #[test]
    fn the_image_stands_in_the_manifest() {
        let of = |image: &str| image_of(&format!("spec: {{containers: [{{image: {image}}}]}}\n"));
        assert_eq!(
            of("registry.k8s.io/kube-apiserver:v1.37.2").as_deref(),
            Some("registry.k8s.io/kube-apiserver:v1.37.2")
        );
        assert_eq!(of("--privileged"), None);
        assert_eq!(image_of("{"), None);
    }
}
