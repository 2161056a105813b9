//! etcd members on hosts of a lab, made with `etcdadm` as an admin makes them by hand: program and release copied to the
//! hosts, the authority from the first member to the others, then one command a host.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lab::{Host, Lab, Run, wait_until};
use serde_json::Value;

use crate::{Equipment, Error};

/// Where the program lies on hosts.
pub const ETCDADM: &str = "/usr/local/bin/etcdadm";
/// Certificates and keys of a member.
const PKI: &str = "/etc/etcd/pki";
/// What a client of the members shows and trusts.
const CLIENT: [&str; 3] = [
    "ca.crt",
    "etcdctl-etcd-client.crt",
    "etcdctl-etcd-client.key",
];
/// How long one run of etcdadm may take on a busy machine.
const RUN: Duration = Duration::from_secs(300);

/// Members of one cluster, and the admin's machine beside them.
#[derive(Debug)]
pub struct Members<'l> {
    lab: &'l Lab,
    equipment: Equipment,
    version: String,
    folder: PathBuf,
}

/// One line of the member list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberLine {
    /// Its name; empty until it has started.
    pub name: String,
    /// Whether it does not vote.
    pub learner: bool,
}

impl<'l> Members<'l> {
    /// Members that run this release (as `3.7.3`). The admin keeps files in `folder`.
    ///
    /// # Errors
    /// The folder cannot be made, or the release has no etcdctl for this machine.
    pub fn new(
        lab: &'l Lab,
        equipment: Equipment,
        version: &str,
        folder: PathBuf,
    ) -> Result<Self, Error> {
        std::fs::create_dir_all(&folder).map_err(|source| Error::File {
            action: "make",
            path: folder.clone(),
            source,
        })?;
        let members = Self {
            lab,
            equipment,
            version: version.to_owned(),
            folder,
        };
        let archive = members.archive();
        let folder = &members.folder;
        lab.run(["tar", "--extract", "--gzip", "--strip-components=1"])
            .args([
                Path::new("--file"),
                &archive,
                Path::new("--directory"),
                folder,
            ])
            .args([format!("{}/etcdctl", members.top())])
            .check()?;
        Ok(members)
    }

    /// What the hosts are equipped from.
    #[must_use]
    pub fn equipment(&self) -> &Equipment {
        &self.equipment
    }

    /// The release's archive, as upstream publishes it.
    #[must_use]
    pub fn archive(&self) -> PathBuf {
        self.equipment.etcd(&self.version)
    }

    /// Where older tools kept the release's archive on a host, and etcdadm still finds it.
    #[must_use]
    pub fn cache_path(&self) -> String {
        format!(
            "/var/cache/etcdadm/etcd/v{}/{}.tar.gz",
            self.version,
            self.top()
        )
    }

    fn top(&self) -> String {
        Equipment::etcd_name(&self.version)
    }

    /// Puts etcdadm on a host.
    ///
    /// # Errors
    /// The host is off.
    pub fn put_tool(&self, host: &Host) -> Result<(), Error> {
        Ok(host.put(&self.equipment.tool("etcdadm"), ETCDADM, 0o755)?)
    }

    /// Puts etcdadm and the release's archive on a host.
    ///
    /// # Errors
    /// The host is off.
    pub fn equip(&self, host: &Host) -> Result<(), Error> {
        self.put_tool(host)?;
        host.put(&self.archive(), &self.cache_path(), 0o644)?;
        sync(host)
    }

    /// Equips hosts side by side.
    ///
    /// # Errors
    /// One of them is off.
    pub fn equip_all(&self, hosts: &[Host]) -> Result<(), Error> {
        side_by_side(hosts, |host| self.equip(host))
            .into_iter()
            .collect()
    }

    /// Copies the authority from a member to hosts that are to join, and the client's pair to the admin's machine.
    ///
    /// # Errors
    /// One of the hosts is off, or the member has no authority.
    pub fn share_authority(&self, from: &Host, to: &[Host]) -> Result<(), Error> {
        for (name, mode) in [("ca.crt", 0o644), ("ca.key", 0o600)] {
            let path = format!("{PKI}/{name}");
            let text = from.read(&path)?;
            for host in to {
                host.write(&path, text.as_bytes(), mode)?;
            }
        }
        to.iter().try_for_each(sync)?;
        self.follow_authority(from)
    }

    /// Copies what a client trusts and shows from a member to the admin's machine, each file whole at any moment.
    ///
    /// # Errors
    /// The host is off.
    pub fn follow_authority(&self, from: &Host) -> Result<(), Error> {
        for name in CLIENT {
            let (path, new) = (self.folder.join(name), self.folder.join("new"));
            from.get(&format!("{PKI}/{name}"), &new)?;
            std::fs::rename(&new, &path).map_err(|source| Error::File {
                action: "rename",
                path,
                source,
            })?;
        }
        Ok(())
    }

    /// `etcdadm` with these words on a host.
    pub fn etcdadm<'a>(&self, host: &Host, words: impl IntoIterator<Item = &'a str>) -> Run {
        host.exec([ETCDADM].into_iter().chain(words)).timeout(RUN)
    }

    /// `etcdadm init` on a host.
    pub fn init(&self, host: &Host) -> Run {
        self.etcdadm(host, ["init", "--version", &format!("v{}", self.version)])
    }

    /// The words of `etcdadm join` through the member on this host.
    #[must_use]
    pub fn join_words(&self, through: &Host) -> Vec<String> {
        let version = format!("v{}", self.version);
        ["join", &client_url(through), "--version", &version]
            .map(str::to_owned)
            .to_vec()
    }

    /// `etcdadm join` on a host, through the member on another one.
    pub fn join(&self, host: &Host, through: &Host) -> Run {
        self.etcdadm(host, self.join_words(through).iter().map(String::as_str))
    }

    /// `etcdadm join` with a document that tells of all hosts that join at the same time, as one who sets up several does.
    pub fn join_beside(&self, host: &Host, through: &Host, all: &[Host]) -> Run {
        let expected: Vec<Value> = all
            .iter()
            .map(|other| serde_json::json!({"name": other.name(), "peerUrl": peer_url(other)}))
            .collect();
        let document = serde_json::json!({
            "apiVersion": "klusterkit.dev/v1alpha1",
            "kind": "EtcdConfiguration",
            "version": format!("v{}", self.version),
            "endpoints": [client_url(through)],
            "expectedMembers": expected,
        });
        self.etcdadm(host, ["join", "--config", "-"])
            .stdin(document.to_string())
    }

    /// A cluster on all these hosts: the first begins it, the others join it at once.
    ///
    /// # Errors
    /// It does not come about.
    pub fn form(&self, hosts: &[Host]) -> Result<(), Error> {
        let (first, others) = hosts.split_first().ok_or(Error::NoHosts)?;
        self.init(first).check()?;
        self.share_authority(first, others)?;
        side_by_side(others, |host| self.join_beside(host, first, others).check())
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?;
        Ok(())
    }

    /// `etcdctl` on the admin's machine, with the members on these hosts.
    pub fn etcdctl<'a>(&self, hosts: &[Host], words: impl IntoIterator<Item = &'a str>) -> Run {
        let urls: Vec<String> = hosts.iter().map(client_url).collect();
        self.etcdctl_at(&urls.join(","), words)
    }

    pub(crate) fn etcdctl_at<'a>(
        &self,
        urls: &str,
        words: impl IntoIterator<Item = &'a str>,
    ) -> Run {
        let at = |name: &str| self.folder.join(name).to_string_lossy().into_owned();
        let [ca, certificate, key] = CLIENT.map(at);
        self.lab
            .run([at("etcdctl").as_str(), "--endpoints", urls])
            .args(["--cacert", &ca, "--cert", &certificate, "--key", &key])
            .args(words)
            .timeout(Duration::from_secs(20))
    }

    /// What a data directory on a host holds under `key`: read by an etcd of its own, which serves on loopback alone.
    ///
    /// # Errors
    /// etcd cannot read it.
    pub fn read_data_dir(&self, host: &Host, data_dir: &str, key: &str) -> Result<String, Error> {
        let (url, folder) = ("http://127.0.0.1:12379", "/run/etcd-reader");
        let archive = self.cache_path();
        host.exec(["mkdir", folder]).check()?;
        host.exec([
            "tar",
            "-xzf",
            &archive,
            "-C",
            folder,
            "--strip-components=1",
        ])
        .check()?;
        let etcd = format!("{folder}/etcd");
        let data = format!("{folder}/data");
        host.exec(["cp", "-a", data_dir, &data]).check()?;
        host.exec([
            "systemd-run",
            "--unit=etcd-reader",
            "--service-type=notify",
            &etcd,
            "--force-new-cluster",
            "--data-dir",
            &data,
            "--listen-client-urls",
            url,
            "--advertise-client-urls",
            url,
            "--listen-peer-urls",
            "http://127.0.0.1:12380",
        ])
        .check()?;
        let etcdctl = format!("{folder}/etcdctl");
        let value = host
            .exec([
                etcdctl.as_str(),
                "--endpoints",
                url,
                "get",
                "--print-value-only",
                key,
            ])
            .text();
        host.exec(["systemctl", "stop", "etcd-reader.service"])
            .check()?;
        host.exec(["rm", "-r", folder]).check()?;
        Ok(value?)
    }

    /// The member list as the member on this host tells it, by name.
    ///
    /// # Errors
    /// It does not answer.
    pub fn list(&self, host: &Host) -> Result<Vec<MemberLine>, Error> {
        let words = ["member", "list", "--write-out", "json"];
        let text = self.etcdctl(std::slice::from_ref(host), words).text()?;
        let printed = || Error::Printed {
            argv: words.join(" "),
            text: text.clone(),
        };
        let list: Value = serde_json::from_str(&text).map_err(|_| printed())?;
        let members = list["members"].as_array().ok_or_else(printed)?;
        let line = |member: &Value| MemberLine {
            name: member["name"].as_str().unwrap_or_default().to_owned(),
            learner: member["isLearner"].as_bool().unwrap_or(false),
        };
        let mut lines: Vec<MemberLine> = members.iter().map(line).collect();
        lines.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(lines)
    }

    /// Whether the cluster has exactly these hosts as voters, and each of them serves reads.
    ///
    /// # Errors
    /// What is otherwise, in words.
    pub fn check_healthy(&self, hosts: &[Host]) -> Result<(), Error> {
        let mut wanted: Vec<MemberLine> = hosts
            .iter()
            .map(|host| MemberLine {
                name: host.name().to_owned(),
                learner: false,
            })
            .collect();
        wanted.sort_by(|a, b| a.name.cmp(&b.name));
        for host in hosts {
            let found = self.list(host)?;
            if found != wanted {
                let (host, found) = (host.name().to_owned(), format!("{found:?}"));
                return Err(Error::Members { host, found });
            }
        }
        self.etcdctl(hosts, ["endpoint", "health"]).check()?;
        Ok(())
    }

    /// Waits until [`Members::check_healthy`] is content.
    ///
    /// # Errors
    /// Not in time.
    pub fn wait_healthy(&self, hosts: &[Host], limit: Duration) -> Result<(), Error> {
        let names: Vec<&str> = hosts.iter().map(Host::name).collect();
        let what = format!("members on {} to be healthy voters", names.join(", "));
        Ok(wait_until(&what, limit, || {
            Ok(self.check_healthy(hosts).is_ok())
        })?)
    }
}

/// What the admin has put there is there, also when the host loses power soon after.
fn sync(host: &Host) -> Result<(), Error> {
    host.nsexec(["sync", "--file-system", "/"])?.check()?;
    Ok(())
}

/// Where clients reach the member on a host.
#[must_use]
pub fn client_url(host: &Host) -> String {
    format!("https://{}:2379", host.address())
}

/// Where other members reach the member on a host.
#[must_use]
pub fn peer_url(host: &Host) -> String {
    format!("https://{}:2380", host.address())
}

/// Does one thing to several hosts at once, and waits for all.
///
/// # Panics
/// When `work` does.
pub fn side_by_side<T: Send>(hosts: &[Host], work: impl Fn(&Host) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = hosts
            .iter()
            .map(|host| scope.spawn(move || work(host)))
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    })
}
