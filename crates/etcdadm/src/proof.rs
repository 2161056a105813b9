//! A real etcd on loopback, beside whatever else runs: to prove that data can be served, and what it is.
//!
//! It shows certificates that nobody else has and takes none but its own client's, so nobody else on the host can read
//! what it serves. It dies with this process: by `setpriv` where that is there, by [`Background`] otherwise.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use etcd::{Credentials, MemberStatus, Observe};
use host::{Background, Change, Host};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pki::{Authority, Profile, San, Usage};

use crate::Error;

/// How long a large database may take to be loaded.
const LIMIT: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(50);
/// How long an orderly end may take.
const END: Duration = Duration::from_secs(20);

/// What to prove.
pub(crate) struct Subject<'s> {
    /// The program.
    pub(crate) etcd: &'s Path,
    /// The data directory, which it will write to.
    pub(crate) data_dir: &'s Path,
    /// A folder for its certificates and its log, made and removed here.
    pub(crate) folder: &'s Path,
    /// The member's name in the data.
    pub(crate) name: &'s str,
    /// Its peer URL in the data.
    pub(crate) peer_url: &'s str,
    /// Further arguments.
    pub(crate) arguments: &'s [&'s str],
}

/// An etcd that runs.
pub(crate) struct Proof {
    program: Background,
    /// Where it serves.
    pub(crate) endpoint: String,
    /// What is shown to it.
    pub(crate) credentials: Credentials,
}

impl Proof {
    /// Starts it and waits until it serves.
    ///
    /// # Errors
    /// [`Error::Proof`] with the end of its log.
    pub(crate) fn start(
        host: &mut dyn Host,
        subject: &Subject<'_>,
        etcd: &dyn Observe,
        note: &mut dyn FnMut(&str),
    ) -> Result<(Self, MemberStatus), Error> {
        let folder = subject.folder.to_owned();
        host.apply(&Change::RemoveTree {
            path: folder.clone(),
        })?;
        host.apply(&Change::MakeDir {
            path: folder.clone(),
            mode: 0o700,
        })?;
        let credentials = certificates(host, &folder)?;
        let (client, peer) = (free_port()?, free_port()?);
        let url = |port: u16| format!("https://127.0.0.1:{port}");
        let root = host.root().to_owned();
        let real = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
        let at = |name: &str| real(&folder.join(name)).to_string_lossy().into_owned();
        let log = real(&folder.join("log"));
        let mut command = host::process::command("setpriv");
        if Path::new(&command.get_program()).is_absolute() {
            command.args(["--pdeathsig", "KILL", "--"]);
            command.arg(subject.etcd);
        } else {
            command = host::process::command(&subject.etcd.to_string_lossy());
        }
        command
            .args(["--name", subject.name, "--data-dir"])
            .arg(real(subject.data_dir))
            .args(["--listen-client-urls", &url(client)])
            .args(["--advertise-client-urls", &url(client)])
            .args(["--listen-peer-urls", &url(peer)])
            .args(["--initial-advertise-peer-urls", subject.peer_url])
            .arg("--initial-cluster")
            .arg(format!("{}={}", subject.name, subject.peer_url))
            .args(["--client-cert-auth", "--peer-client-cert-auth"])
            .args(["--logger", "zap", "--log-level", "warn"])
            .args(subject.arguments);
        for side in ["", "peer-"] {
            for (flag, file) in [
                ("cert-file", "pair.crt"),
                ("key-file", "pair.key"),
                ("trusted-ca-file", "ca.crt"),
            ] {
                command.args([format!("--{side}{flag}"), at(file)]);
            }
        }
        let mut proof = Self {
            program: Background::start(command, log)?,
            endpoint: url(client),
            credentials,
        };
        let status = proof.wait(etcd, note)?;
        Ok((proof, status))
    }

    fn wait(
        &mut self,
        etcd: &dyn Observe,
        note: &mut dyn FnMut(&str),
    ) -> Result<MemberStatus, Error> {
        let (begun, mut told) = (Instant::now(), false);
        loop {
            if let Some(status) = self.program.ended() {
                return Err(self.failed(format!("ended with {status}")));
            }
            // Nobody is asked who does not listen yet: a failed connection costs more than a look.
            let serves = etcd.reaches(&self.endpoint).is_ok()
                && etcd.healthy(&self.endpoint, &self.credentials).is_ok();
            if serves {
                return Ok(etcd.status(&self.endpoint, &self.credentials)?);
            }
            if begun.elapsed() > LIMIT {
                return Err(self.failed(format!("did not serve within {} s", LIMIT.as_secs())));
            }
            if !told && begun.elapsed() > Duration::from_secs(5) {
                told = true;
                note("etcd is still loading the data");
            }
            std::thread::sleep(POLL);
        }
    }

    /// What it has said.
    pub(crate) fn log(&self) -> String {
        self.program.log()
    }

    fn failed(&self, what: String) -> Error {
        let log = self.program.end_of_log(6).join("\n");
        Error::Proof { what, log }
    }

    /// Ends it in order, so that all it wrote is on the disk.
    ///
    /// # Errors
    /// [`Error::Proof`], when it does not end.
    pub(crate) fn stop(mut self) -> Result<(), Error> {
        let pid = Pid::from_raw(self.program.id().cast_signed());
        let _ = kill(pid, Signal::SIGTERM);
        let begun = Instant::now();
        while begun.elapsed() < END {
            if self.program.ended().is_some() {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        Err(self.failed(format!("did not end within {} s", END.as_secs())))
    }
}

/// An authority that nobody keeps, and one pair of it for both sides.
fn certificates(host: &mut dyn Host, folder: &Path) -> Result<Credentials, Error> {
    let now = SystemTime::now();
    let issue = || {
        let authority = Authority::generate("etcdadm proof", now)?;
        let profile = Profile {
            common_name: "etcdadm proof".to_owned(),
            organization: None,
            usage: Usage::Both,
            sans: vec![San::Ip(Ipv4Addr::LOCALHOST.into())],
            validity: Duration::from_secs(24 * 3600),
        };
        Ok((
            authority.pair().certificate,
            authority.issue(&profile, now)?,
        ))
    };
    let (ca, pair) = issue().map_err(|source| Error::Authority {
        folder: folder.to_owned(),
        source,
    })?;
    host.apply(&Change::file(folder.join("ca.crt"), ca.as_str()))?;
    host.apply(&Change::file(
        folder.join("pair.crt"),
        pair.certificate.as_str(),
    ))?;
    let key = pair.key.expose().to_vec();
    host.apply(&Change::private_file(folder.join("pair.key"), key))?;
    Ok(Credentials {
        ca: ca.into_bytes(),
        certificate: pair.certificate.into_bytes(),
        key: pair.key,
    })
}

/// A port that nobody listens on now.
fn free_port() -> Result<u16, Error> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port());
    port.map_err(|e| Error::Configuration(format!("no free port on loopback: {e}")))
}
