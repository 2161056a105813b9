//! The two servers of a rehearsal: they end with the value that stands for them.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use host::Background;

use super::{API, ETCD, program};
use crate::rehearse::POLL;
use crate::{Error, paths};

/// A server that runs.
pub(super) struct Server {
    name: &'static str,
    program: Background,
}

/// etcd on the restored data. Nothing that it writes is to last.
pub(super) fn etcd(folder: &Path, work: &Path) -> Result<Server, Error> {
    let mut command = program(&folder.join("etcd"));
    let data = work.join("data").display().to_string();
    command
        .args(["--data-dir", &data, "--unsafe-no-fsync"])
        .args([
            "--listen-client-urls",
            ETCD,
            "--advertise-client-urls",
            ETCD,
        ])
        .args(["--listen-peer-urls", "http://127.0.0.1:2380"])
        .args(["--logger", "zap", "--log-level", "warn"]);
    Server::start("etcd", command, work)
}

/// An API server on it. Its reconcilers leave the endpoints alone, and the address that it would tell is nobody's.
pub(super) fn api_server(path: &Path, work: &Path, told: &[String]) -> Result<Server, Error> {
    let pki = work.join(paths::PKI.trim_start_matches('/'));
    let file = |name: &str| pki.join(name).display().to_string();
    let (address, port) = API.split_once(':').unwrap_or((API, "6443"));
    let mut command = program(path);
    command.args([
        format!("--etcd-servers={ETCD}"),
        format!("--bind-address={address}"),
        format!("--secure-port={port}"),
        "--advertise-address=192.0.2.1".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        format!("--client-ca-file={}", file("ca.crt")),
        format!("--tls-cert-file={}", file("apiserver.crt")),
        format!("--tls-private-key-file={}", file("apiserver.key")),
        format!("--service-account-key-file={}", file("sa.pub")),
        format!("--service-account-signing-key-file={}", file("sa.key")),
    ]);
    command.args(told);
    Server::start("the API server", command, work)
}

impl Server {
    fn start(name: &'static str, command: Command, work: &Path) -> Result<Self, Error> {
        let log = work.join(format!("{}.log", name.replace(' ', "-")));
        let program = Background::start(command, log)?;
        Ok(Self { name, program })
    }

    /// Waits until `check` sees something.
    ///
    /// # Errors
    /// The server ended, or not within `limit`; with the end of its log.
    pub(super) fn wait<T>(
        &mut self,
        limit: Duration,
        mut check: impl FnMut() -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        let begun = Instant::now();
        loop {
            if let Some(seen) = check()? {
                return Ok(seen);
            }
            let what = match self.program.ended() {
                Some(status) => format!("it ended with {status}"),
                None if begun.elapsed() > limit => "it runs".to_owned(),
                None => {
                    std::thread::sleep(POLL);
                    continue;
                }
            };
            return Err(Error::Deadline {
                reason: format!("{} to be ready on the backup's data", self.name),
                seconds: begun.elapsed().as_secs(),
                last: what,
                log: self.end_of_log(),
            });
        }
    }

    fn end_of_log(&self) -> String {
        let last = self.program.end_of_log(8);
        let short = last
            .iter()
            .map(|line| line.chars().take(400).collect::<String>());
        let short: Vec<String> = short.collect();
        format!("\nthe end of its log:\n{}", short.join("\n"))
    }
}
