//! `nodeadm rehearse`: a backup proven by the API server that a recovery would start: it is started on the backup's data, in
//! a network of its own, and asked for every object.
//!
//! This program begins itself again in a transient unit: a user that nobody else is, no network but loopback, folders that go
//! with it, bounds for memory and time. There it restores etcd's data, starts etcd and the API server, and lists. What it
//! reads is a backup, unsealed, on standard input; nothing of it is left.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use cli::{Context, Kind};
use host::{Change, Host, Inspect, Local, Query, process};

use crate::arguments::RehearseArgs;
use crate::record::Record;
use crate::settings::Settings;
use crate::verbs::tool;
use crate::{Error, paths, rehearsal};

/// Where the image of the API server is mounted meanwhile.
const FOLDER: &str = "/run/nodeadm-rehearsal";
/// The API server in its image.
const PROGRAM: &str = "usr/local/bin/kube-apiserver";
const UNIT: &str = "nodeadm-rehearsal.service";
/// How it is kept apart, and bounded: the cluster's own servers on this host go first.
const PROPERTIES: [&str; 17] = [
    "CPUWeight=20",
    "CapabilityBoundingSet=",
    "DynamicUser=yes",
    "IOWeight=20",
    "LimitNOFILE=65536",
    "MemoryMax=50%",
    "NoNewPrivileges=yes",
    "OOMScoreAdjust=900",
    "PrivateDevices=yes",
    "PrivateNetwork=yes",
    "PrivateTmp=yes",
    "ProtectHome=yes",
    "RestrictNamespaces=yes",
    "RestrictSUIDSGID=yes",
    "RuntimeMaxSec=1800",
    "TasksMax=1024",
    "UMask=0077",
];

/// Runs the verb.
///
/// # Errors
/// When this host has no API server's image, or the backup does not make one ready.
pub(crate) fn run(
    context: &mut Context,
    root: &Path,
    args: &RehearseArgs,
) -> Result<(), cli::Error> {
    if let Some(program) = &args.api_server {
        return rehearsal::run(context, program, &args.etcd_dir);
    }
    let _lock = context.lock(&tool(root), "nodeadm rehearse")?;
    let mut host = Local::new(root);
    let record = Record::read(&host)?;
    let settings = record.map(|record| Settings::recorded(&record, root));
    let none = || Error::Settings("nodeadm has set up no control plane on this host".to_owned());
    let settings = settings.ok_or_else(none)?;
    let manifest = Path::new(paths::MANIFESTS).join("kube-apiserver.yaml");
    let manifest = host.read_text(&manifest)?.ok_or_else(none)?;
    let image = rehearsal::image_of(&manifest).ok_or_else(none)?;
    let mut mount = Mount::new(&mut host, settings.program("ctr"))?;
    context
        .progress
        .note(&format!("take the API server out of {image}"));
    mount.mount(&image)?;
    let status = begin_again(context, &mount.path.join(PROGRAM), &args.etcd_dir);
    let cleared = mount.clear();
    let code = status?;
    cleared?;
    match code {
        0 => Ok(()),
        // It has said why itself.
        _ => Err(cli::Error::new(
            Kind::Failed,
            Error::Untold(
                "the backup makes no API server ready, or not all of it can be read".to_owned(),
            ),
        )),
    }
}

/// The image, mounted for as long as it is needed.
struct Mount<'h> {
    host: &'h mut Local,
    ctr: String,
    path: PathBuf,
}

impl<'h> Mount<'h> {
    /// What a run that was cut off left is taken away.
    fn new(host: &'h mut Local, ctr: String) -> Result<Self, Error> {
        let path = Path::new(FOLDER).join("image");
        let mut mount = Self { host, ctr, path };
        mount.clear()?;
        Ok(mount)
    }

    fn mount(&mut self, image: &str) -> Result<(), Error> {
        let path = self.path.clone();
        self.host.apply(&Change::MakeDir { path, mode: 0o755 })?;
        self.ctr(&["images", "mount", image, &self.path.display().to_string()])
    }

    fn clear(&mut self) -> Result<(), Error> {
        if self.host.stat(&self.path)?.is_none() {
            return Ok(());
        }
        let path = self.path.display().to_string();
        // What is not mounted cannot be unmounted: what is left is seen by the removal.
        drop(self.ctr(&["images", "unmount", "--rm", &path]));
        let path = PathBuf::from(FOLDER);
        Ok(self.host.apply(&Change::RemoveTree { path })?)
    }

    fn ctr(&self, args: &[&str]) -> Result<(), Error> {
        let words = ["--namespace", "k8s.io"].iter().chain(args);
        let query = Query::new(self.ctr.clone(), words.copied());
        let output = self.host.query(&query)?;
        if output.success() {
            return Ok(());
        }
        Err(host::Error::Output {
            argv: query.to_string(),
            detail: format!("exit code {:?}: {}", output.code, output.stderr),
        }
        .into())
    }
}

/// Runs this program again in its unit, with the same standard input, output and error; gives its exit code.
fn begin_again(context: &Context, api_server: &Path, etcd_dir: &Path) -> Result<i32, Error> {
    let own = std::env::current_exe().map_err(|source| Error::Io {
        what: "find this very program".to_owned(),
        source,
    })?;
    let mut command = process::command("systemd-run");
    command.args([
        "--quiet",
        "--pipe",
        "--wait",
        "--collect",
        "--service-type=exec",
    ]);
    command.arg(format!("--unit={UNIT}"));
    for property in PROPERTIES {
        command.arg(format!("--property={property}"));
    }
    command
        .arg(format!("--setenv=PATH={}", process::PATH))
        .arg("--")
        .arg(own)
        .args(["rehearse", "--etcd-dir"])
        .arg(etcd_dir)
        .arg("--api-server")
        .arg(api_server);
    if context.progress.is_json() {
        command.args(["--output", "json"]);
    }
    let argv = process::argv(&command);
    let mut child = command
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|source| host::Error::Spawn { argv, source })?;
    let ended = child.wait().map_err(|source| Error::Io {
        what: format!("wait for {UNIT}"),
        source,
    })?;
    Ok(ended.code().unwrap_or(1))
}

/// How long a look at the API server takes at most before the next.
pub(crate) const POLL: Duration = Duration::from_millis(100);
