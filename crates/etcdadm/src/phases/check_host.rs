//! Whether this host can be a member at all: everything that must hold before anything is changed, told together.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use api::EtcdConfiguration;
use host::{Condition, Inspect, Phase, UnitActivity};

use crate::configuration::has_data;
use crate::phases::Begin;
use crate::phases::checks::{Finding, fault, judge};
use crate::phases::set_data_aside::is_data;
use crate::phases::set_unready_aside::never_ready;
use crate::runs::Runs;
use crate::{Configuration, Error, Machine, Record, View, facts, import, older, paths, pod};

/// What a member without any keys takes: two segments of its log, written to their full size at once, and some room.
const ROOM: u64 = 200 << 20;

/// Checks the host.
pub(crate) struct CheckHost<'c> {
    pub(crate) configuration: &'c Configuration,
    pub(crate) begin: Begin,
}

impl<'a> Phase<Machine<'a>> for CheckHost<'_> {
    fn name(&self) -> &'static str {
        "check-host"
    }

    fn about(&self) -> &'static str {
        "check that this host can be a member, before anything is changed"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<crate::Change>, Error> {
        let (host, configuration) = (seen.host(), self.configuration);
        judge(
            [
                ("root", root(host)),
                ("architecture", self.architecture()),
                ("systemd", systemd(host)),
                ("init-system", self.init_system(host)),
                ("kubelet", self.kubelet(host)),
                ("container-runtime", self.container_runtime(host)),
                ("address", self.address(host)),
                ("conflicting-units", conflicting_units(host)),
                ("ports", self.ports(host)),
                ("data-dir", self.data_dir(host)),
                ("same-member", self.same_member(host)),
                ("disk-room", disk_room(host, configuration)),
                ("noexec", noexec(host, configuration)),
            ],
            &configuration.document.ignore_preflight_errors,
        )?;
        Ok(Vec::new())
    }
}

impl CheckHost<'_> {
    fn architecture(&self) -> Result<Finding, Error> {
        let arch = self.configuration.arch;
        let known = ["amd64", "arm64"].contains(&arch);
        Ok((!known).then(|| (format!("etcd is not released for {arch}"), None)))
    }

    fn address(&self, seen: &dyn Inspect) -> Result<Finding, Error> {
        let own = facts::addresses(seen)?;
        let address = self.configuration.address;
        Ok((!own.contains(&address)).then(|| {
            let list = own
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ");
            (
                format!("{address} is not an address of this host (it has: {list})"),
                Some("choose one with --bind-address".to_owned()),
            )
        }))
    }

    fn ports(&self, seen: &dyn Inspect) -> Result<Finding, Error> {
        let (own, document) = (self.configuration.address, &self.configuration.document);
        // Who listens at another host's address, or beside a folder that stands for a host, says nothing about this one.
        if seen.root() != Path::new("/") || !facts::addresses(seen)?.contains(&own) {
            return Ok(None);
        }
        // Where a member's data is replaced, its own etcd may still be what listens; a dry run cannot even stop it.
        if self.begin == Begin::Restore && self.configuration.has_data(seen)? {
            return Ok(None);
        }
        let local = match own {
            IpAddr::V4(_) => IpAddr::from(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::from(Ipv6Addr::LOCALHOST),
        };
        for (ip, port) in [
            (own, document.client_port),
            (local, document.client_port),
            (own, document.peer_port),
        ] {
            let address = SocketAddr::new(ip, port);
            if seen.holds(&Condition::Listening(address))? {
                if self.configuration.runs().observe(seen)?.activity != UnitActivity::Inactive {
                    return Ok(None);
                }
                let hint = Some(
                    "stop it, or choose other ports with --client-port and --peer-port".to_owned(),
                );
                return Ok(Some((
                    format!("another program listens on {address}"),
                    hint,
                )));
            }
        }
        Ok(None)
    }

    /// What keeps a member running must end it, too: nobody else does.
    fn init_system(&self, seen: &dyn Inspect) -> Result<Finding, Error> {
        let known = match Record::read(seen)? {
            Some(record) => Some(record.configuration),
            None => older::configuration(seen)?,
        };
        let wanted = self.configuration.document.init_system;
        let other = known.map(|known| known.init_system);
        Ok(other.filter(|other| *other != wanted).and_then(|other| {
            fault(
                format!("this host's member was set up to be run by {other}, not by {wanted}"),
                format!("say --init-system {other}, or give this member up first: `etcdadm reset`"),
            )
        }))
    }

    fn kubelet(&self, seen: &dyn Inspect) -> Result<Finding, Error> {
        if self.configuration.runs() == Runs::Unit {
            return Ok(None);
        }
        if seen.unit("kubelet.service")?.activity != UnitActivity::Active {
            return Ok(fault(
                "kubelet.service does not run, which is to run the member",
                "start it: `systemctl enable --now kubelet.service`",
            ));
        }
        let without = pod::kubelet(seen)?.filter(|kubelet| kubelet.static_pods.is_none());
        Ok(without.and_then(|kubelet| {
            let config = kubelet.config.display();
            fault(
                format!("the kubelet has no folder of static pods: {config} does not name one"),
                format!(
                    "say `staticPodPath: /etc/kubernetes/manifests` in {config}, and restart it"
                ),
            )
        }))
    }

    fn container_runtime(&self, seen: &dyn Inspect) -> Result<Finding, Error> {
        if self.configuration.runs() == Runs::Unit
            || seen.holds(&import::answers()).unwrap_or(false)
        {
            return Ok(None);
        }
        Ok(fault(
            "containerd does not answer, which is to have the member's image",
            "start it: `systemctl start containerd.service`",
        ))
    }

    /// A member that has data stays who it is: with another name, address or folder it would be another member, or none.
    fn same_member(&self, seen: &dyn Inspect) -> Result<Finding, Error> {
        // What is restored may be another member than was here; the data of that one is set aside.
        if self.begin == Begin::Restore {
            return Ok(None);
        }
        let known = match Record::read(seen)? {
            Some(record) => Some(record.configuration),
            None => older::configuration(seen)?,
        };
        let Some(known) = known else {
            return Ok(None);
        };
        let wanted = &self.configuration.document;
        let is = |document: &EtcdConfiguration| {
            let address = document
                .address
                .map(|ip| SocketAddr::new(ip, document.peer_port).to_string());
            let folder = document.data_dir.display().to_string();
            format!(
                "{} at {} with data in {folder}",
                document.metadata.name,
                address.unwrap_or_default()
            )
        };
        // A URL that an older tool wrote may hold a name instead of an address, which tells nothing here.
        let same = known.metadata.name == wanted.metadata.name
            && known
                .address
                .is_none_or(|address| Some(address) == wanted.address)
            && known.peer_port == wanted.peer_port
            && known.data_dir.components().eq(wanted.data_dir.components());
        if same || !has_data(seen, &known.data_dir)? {
            return Ok(None);
        }
        let hint =
            "leave out what differs, or give this member up first: `etcdadm reset`".to_owned();
        Ok(Some((
            format!("this host's member is {}, not {}", is(&known), is(wanted)),
            Some(hint),
        )))
    }

    /// Data that is there must be this member's own.
    fn data_dir(&self, seen: &dyn Inspect) -> Result<Finding, Error> {
        let folder = self.configuration.data_dir();
        let mut entries = seen.list(folder)?.unwrap_or_default();
        entries.retain(|name| is_data(name));
        if entries.is_empty() {
            return Ok(None);
        }
        let recorded =
            Record::read(seen)?.is_some_and(|record| record.configuration.data_dir == folder);
        let environment = seen
            .read_text(Path::new(paths::ENVIRONMENT))?
            .unwrap_or_default();
        let written = systemd::parse_environment(&environment)
            .iter()
            .any(|(key, value)| {
                key == "ETCD_DATA_DIR" && Path::new(value.trim_end_matches('/')) == folder
            });
        if recorded || written {
            return Ok(None);
        }
        let verb = match self.begin {
            Begin::Init => "init",
            Begin::Join => "join",
            Begin::Restore => "restore",
        };
        let hint = format!(
            "move it away if nobody needs it, or choose another folder: `etcdadm {verb} --data-dir …`"
        );
        Ok(Some((
            format!(
                "{} holds data that is not this member's: {}",
                folder.display(),
                entries.join(", ")
            ),
            Some(hint),
        )))
    }
}

fn root(seen: &dyn Inspect) -> Result<Finding, Error> {
    // A dry run changes nothing, and a folder that stands for a host needs no rights.
    if seen.is_dry_run() || seen.root() != Path::new("/") {
        return Ok(None);
    }
    Ok((facts::uid(seen)? != Some(0)).then(|| {
        (
            "this is not run as root".to_owned(),
            Some("run it as root".to_owned()),
        )
    }))
}

fn systemd(seen: &dyn Inspect) -> Result<Finding, Error> {
    let runs = seen.stat(Path::new("/run/systemd/system"))?.is_some();
    Ok((!runs).then(|| ("systemd does not run here".to_owned(), None)))
}

fn conflicting_units(seen: &dyn Inspect) -> Result<Finding, Error> {
    for unit in ["etcd-member.service", "etcd2.service"] {
        let places = [
            "/etc/systemd/system",
            "/run/systemd/system",
            "/usr/lib/systemd/system",
            "/lib/systemd/system",
        ];
        let there = |place: &&str| {
            seen.stat(&Path::new(place).join(unit))
                .is_ok_and(|stat| stat.is_some())
        };
        if places.iter().any(there) && seen.unit(unit)?.activity == UnitActivity::Active {
            return Ok(Some((
                format!("{unit} runs, which is another etcd"),
                Some(format!("stop it: `systemctl disable --now {unit}`")),
            )));
        }
    }
    Ok(None)
}

/// A member that begins writes its log's segments to their full size, and dies of it where they do not fit.
fn disk_room(seen: &dyn Inspect, configuration: &Configuration) -> Result<Finding, Error> {
    let folder = configuration.data_dir();
    if configuration.has_data(seen)? && !never_ready(seen, configuration)? {
        return Ok(None);
    }
    let Some(found) = seen.file_system(folder)? else {
        return Ok(None);
    };
    if found.read_only {
        let what = format!(
            "{} lies on a file system that cannot be written",
            folder.display()
        );
        return Ok(fault(what, "choose another folder with --data-dir"));
    }
    Ok((found.free < ROOM)
        .then(|| {
            let (free, needed) = (found.free >> 20, ROOM >> 20);
            let what = format!(
                "{} has {free} MiB of room, a member needs {needed} MiB",
                folder.display()
            );
            fault(what, "make room, or choose another folder with --data-dir")
        })
        .flatten())
}

fn noexec(seen: &dyn Inspect, configuration: &Configuration) -> Result<Finding, Error> {
    let folder = configuration.install_dir();
    let found = seen.file_system(folder)?;
    Ok(found.filter(|found| found.no_exec).and_then(|_| {
        let what = format!(
            "programs in {} cannot be run: it is mounted noexec",
            folder.display()
        );
        fault(what, "choose another folder with --install-dir")
    }))
}
