//! The change "take a snapshot of what a member without its majority has": of a copy, which is made a cluster of its own
//! on loopback for that. The member's own data is only read.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcd::Cluster;
use host::{Change, Host, Run};
use serde::Serialize;

use crate::Error;
use crate::proof::{Proof, Subject};
use crate::save::Save;

/// How long copying a large data directory may take.
const COPY: Duration = Duration::from_secs(900);

/// Take a snapshot of a copy of a data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecoverData {
    /// The member's data, whose etcd does not run.
    pub data_dir: PathBuf,
    /// The folder that the copy is made in.
    pub folder: PathBuf,
    /// The capsule to write.
    pub to: PathBuf,
    /// The program.
    pub etcd: PathBuf,
    /// The member's name.
    pub name: String,
    /// Its peer URL.
    pub peer_url: String,
}

impl fmt::Display for RecoverData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "take a snapshot of a copy of {} into {}",
            self.data_dir.display(),
            self.to.display()
        )
    }
}

impl RecoverData {
    /// Makes the change.
    ///
    /// # Errors
    /// [`Error::Proof`] where etcd cannot use the data; nothing but the copy was touched.
    pub(crate) fn apply(
        &self,
        host: &mut dyn Host,
        etcd: &dyn Cluster,
        note: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        if host.is_dry_run() {
            return Ok(host.apply(&Change::private_file(&self.to, ""))?);
        }
        let copy = self.folder.join("copy");
        let path = self.folder.clone();
        host.apply(&Change::RemoveTree { path })?;
        let (path, mode) = (self.folder.clone(), 0o700);
        host.apply(&Change::MakeDir { path, mode })?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let words = [
            "-a",
            "--reflink=auto",
            "--",
            &text(&self.data_dir),
            &text(&copy),
        ];
        host.apply(&Change::Run(Run::new("cp", words).within(COPY)))?;
        let certificates = self.folder.join("certificates");
        let subject = Subject {
            etcd: &self.etcd,
            data_dir: &copy,
            folder: &certificates,
            name: &self.name,
            peer_url: &self.peer_url,
            // What it throws away, it tells at this level.
            arguments: &["--force-new-cluster", "--log-level", "info"],
        };
        let (proof, status) = Proof::start(host, &subject, etcd, note)?;
        note(&format!("its data goes up to revision {}", status.revision));
        match discarded(&proof.log()) {
            0 => {}
            n => note(&format!(
                "{n} entries of its log were never known to be agreed on and are left out; the data directory that is set aside has them"
            )),
        }
        let save = Save {
            endpoint: proof.endpoint.clone(),
            name: self.name.clone(),
            to: Some(self.to.clone()),
            raw: false,
        };
        save.apply(host, etcd, &proof.credentials, note)?;
        proof.stop()?;
        let path = self.folder.clone();
        Ok(host.apply(&Change::RemoveTree { path })?)
    }
}

/// How many entries etcd says that it threw away.
fn discarded(log: &str) -> u64 {
    let key = "\"number-of-discarded-entries\":";
    let told = log.lines().filter_map(|line| line.split_once(key));
    told.filter_map(|(_, rest)| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u64>().ok()
    })
    .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_etcd_throws_away_is_counted() {
        let log = "{\"msg\":\"starting\"}\n{\"level\":\"info\",\"msg\":\"discarding uncommitted WAL entries\",\"entry-index\":10,\"number-of-discarded-entries\":3}\n";
        assert_eq!(discarded(log), 3);
        assert_eq!(discarded("{\"msg\":\"starting\"}"), 0);
    }
}
