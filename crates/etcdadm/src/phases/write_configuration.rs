//! etcd's environment, its data directory, and what starts it: a unit, or the pod that is to be.
//!
//! How a member begins (alone, or as one of these) is told by the environment only until it has data; from then on what
//! stands there is kept as it is.

use std::path::Path;

use etcd::Settings;
use etcd::settings::{Beginning, INITIAL};
use host::{Inspect, Kind, Phase};

use crate::phases::{Begin, file, folder};
use crate::restore_data::Marker;
use crate::{Change, Configuration, Error, Machine, View, paths};

/// Writes the member's configuration.
pub(crate) struct WriteConfiguration<'c> {
    pub(crate) configuration: &'c Configuration,
    pub(crate) begin: Begin,
}

impl<'a> Phase<Machine<'a>> for WriteConfiguration<'_> {
    fn name(&self) -> &'static str {
        "write-configuration"
    }

    fn about(&self) -> &'static str {
        "write etcd's environment and its unit or pod, make its data directory"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        self.changes(seen)
    }
}

impl WriteConfiguration<'_> {
    /// What makes all of it right.
    pub(super) fn changes(&self, seen: &dyn View) -> Result<Vec<Change>, Error> {
        let host = seen.host();
        let mut plan = self.data_dir(host)?;
        plan.extend(self.environment(seen)?);
        // Asking systemd costs more than all the rest: it is asked when there is nothing left to write.
        let settled = plan.is_empty();
        plan.extend(
            self.configuration
                .runs()
                .files(host, self.configuration, settled)?,
        );
        Ok(plan)
    }

    /// The data directory, for root alone: etcd runs as root, but without the right to pass over permissions. One that a
    /// distribution's package made for a user of its own is made anew while it is empty.
    fn data_dir(&self, seen: &dyn Inspect) -> Result<Vec<Change>, Error> {
        let path = self.configuration.data_dir();
        let make = || host::Change::MakeDir {
            path: path.to_owned(),
            mode: 0o700,
        };
        // Who works in a folder of his own instead of a host's is no such user.
        let around = seen.stat(path.parent().unwrap_or(path))?;
        let others = |uid: u32| uid != 0 && around.as_ref().is_none_or(|stat| stat.uid != uid);
        match seen.stat(path)? {
            Some(stat)
                if stat.kind == Kind::Dir
                    && others(stat.uid)
                    && seen.list(path)?.is_some_and(|names| names.is_empty()) =>
            {
                Ok(vec![
                    host::Change::Remove {
                        path: path.to_owned(),
                    }
                    .into(),
                    make().into(),
                ])
            }
            Some(stat) if stat.kind == Kind::Dir && stat.mode & 0o077 != 0 => Ok(vec![
                host::Change::SetMode {
                    path: path.to_owned(),
                    mode: 0o700,
                }
                .into(),
            ]),
            _ => folder(seen, path, 0o700),
        }
    }

    /// What makes etcd's environment right.
    pub(crate) fn environment(&self, seen: &dyn View) -> Result<Vec<Change>, Error> {
        written(seen.host(), &self.variables(seen)?)
    }

    /// etcd's variables as they are to be.
    pub(crate) fn variables(&self, seen: &dyn View) -> Result<Vec<(String, String)>, Error> {
        let configuration = self.configuration;
        let written = seen
            .host()
            .read_text(Path::new(paths::ENVIRONMENT))?
            .unwrap_or_default();
        let written = systemd::parse_environment(&written);
        let had = |key: &str| {
            written
                .iter()
                .find(|(k, _)| k == key)
                .map(|(_, value)| value.clone())
        };
        let begun = configuration.has_data(seen.host())?;
        let beginning = match self.begin {
            Begin::Init => Beginning::New {
                token: had("ETCD_INITIAL_CLUSTER_TOKEN")
                    .unwrap_or_else(|| configuration.token.clone()),
            },
            // etcd reads all this from its data; so that what stands here is true, it says the same.
            Begin::Restore => Beginning::New {
                token: Marker::read(seen.host(), configuration.data_dir())
                    .ok()
                    .flatten()
                    .map_or_else(|| configuration.token.clone(), |marker| marker.token),
            },
            Begin::Join if begun => Beginning::Existing {
                members: Vec::new(),
            },
            Begin::Join => Beginning::Existing {
                members: self.members(seen)?,
            },
        };
        let utf8 = |path: &Path| path.to_string_lossy().into_owned();
        let settings = Settings {
            name: configuration.name.clone(),
            peer_url: configuration.peer_url(),
            client_url: configuration.client_url(),
            local_client_url: configuration.local_url(),
            data_dir: utf8(configuration.data_dir()),
            certs_dir: utf8(configuration.certs_dir()),
            beginning,
            extra: configuration.document.extra_environment.clone(),
        };
        let mut variables = etcd::environment(configuration.version, &settings)?;
        if begun && self.begin != Begin::Restore {
            let at = variables
                .iter()
                .position(|(key, _)| key == INITIAL[0])
                .unwrap_or(0);
            variables.retain(|(key, _)| !INITIAL.contains(&key.as_str()));
            let kept = INITIAL
                .iter()
                .filter_map(|key| Some(((*key).to_owned(), had(key)?)));
            variables.splice(at..at, kept);
        }
        Ok(variables)
    }

    /// Name and peer URL of all members. Those that have not been started have no name yet: etcd compares URLs only, so
    /// their URL serves as one.
    fn members(&self, seen: &dyn View) -> Result<Vec<(String, String)>, Error> {
        let configuration = self.configuration;
        let credentials = crate::machine::credentials(seen.host(), configuration.certs_dir())?;
        let list = seen
            .etcd()
            .members(&configuration.endpoints, &credentials)?;
        let own = configuration.peer_url();
        let mut members = Vec::new();
        for member in &list.members {
            for peer_url in &member.peer_urls {
                let name = match &member.name {
                    _ if *peer_url == own => configuration.name.clone(),
                    name if name.is_empty() => peer_url
                        .trim_start_matches("https://")
                        .replace([':', '[', ']', '.'], "-"),
                    name => name.clone(),
                };
                members.push((name, peer_url.clone()));
            }
        }
        Ok(members)
    }
}

/// What makes these variables etcd's environment.
pub(super) fn written(
    seen: &dyn Inspect,
    variables: &[(String, String)],
) -> Result<Vec<Change>, Error> {
    let pairs = variables
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    let text = systemd::environment("", pairs).map_err(|source| Error::Environment {
        path: paths::ENVIRONMENT,
        source,
    })?;
    let text = format!("# Written by etcdadm.\n{text}");
    file(seen, Path::new(paths::ENVIRONMENT), 0o600, &text)
}
