//! What all connections of a run share: a private folder with the known host keys and the control sockets.
#![expect(
    clippy::disallowed_methods,
    reason = "files of this run alone, in a private folder that goes with it"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use host::Lock;
use tempfile::TempDir;

use crate::{Connection, Error, check_option};

/// What the names of runs' folders begin with.
const PREFIX: &str = "cctl-";
/// Held while the folder is in use.
const LOCK: &str = "lock";
/// A unix socket's path has at most 107 bytes, and OpenSSH appends 17 while it makes one.
const LONGEST_FOLDER: usize = 107 - 17 - 24;

/// How all hosts are reached.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The pinned host keys, in known_hosts format.
    pub known_hosts: String,
    /// Whether the key that a host shows at first contact is taken and pinned. A changed key is refused all the same.
    pub accept_new_host_keys: bool,
    /// The socket of the admin's agent.
    pub agent_socket: Option<String>,
    /// Where the private folder is made; `/tmp` unless said, or when this is too long for a socket's path.
    pub runtime_folder: Option<PathBuf>,
}

/// How one host is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its address.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// Who logs in.
    pub user: String,
    /// The private key's path; OpenSSH's own choice (agent, default keys) unless said.
    pub identity_file: Option<String>,
    /// Options of OpenSSH's: see [`check_option`].
    pub options: BTreeMap<String, String>,
}

impl Target {
    /// As known_hosts names it.
    #[must_use]
    pub fn known_hosts_name(&self) -> String {
        if self.port == 22 {
            self.address.clone()
        } else {
            format!("[{}]:{}", self.address, self.port)
        }
    }
}

/// Connects to hosts.
#[derive(Debug)]
pub struct Client {
    folder: TempDir,
    /// Tells other runs that this one still lives.
    _lock: Lock,
    settings: Settings,
    next: AtomicU32,
}

impl Client {
    /// Makes the private folder.
    ///
    /// # Errors
    /// [`Error::Prepare`].
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let fits = |path: &PathBuf| path.as_os_str().len() + 10 <= LONGEST_FOLDER;
        let base = settings
            .runtime_folder
            .clone()
            .filter(fits)
            .unwrap_or_else(|| "/tmp".into());
        // What is in it is nobody else's from the moment of its creation.
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(&base)
            .map_err(|source| Error::Prepare {
                path: base.clone(),
                source,
            })?;
        let path = folder.path().join(LOCK);
        let lock = Lock::take(&path, "cctl").map_err(|error| Error::Prepare {
            path,
            source: std::io::Error::other(error),
        })?;
        forget_left(&base, folder.path());
        let client = Self {
            folder,
            _lock: lock,
            settings,
            next: AtomicU32::new(0),
        };
        client.write("known_hosts", &client.settings.known_hosts)?;
        Ok(client)
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.folder.path().join(name);
        fs::write(&path, text).map_err(|source| Error::Prepare {
            path: path.clone(),
            source,
        })?;
        Ok(path)
    }

    /// The host keys that are known by now, in known_hosts format: those given, and those taken at first contact.
    ///
    /// # Errors
    /// [`Error::Prepare`].
    pub fn known_hosts(&self) -> Result<String, Error> {
        let path = self.folder.path().join("known_hosts");
        fs::read_to_string(&path).map_err(|source| Error::Prepare { path, source })
    }

    /// Connects to a host, logs in, and becomes root once to see that it can.
    ///
    /// # Errors
    /// Every [`Error`] of connecting; nothing was run on the host but `/bin/cat`.
    pub fn connect(&self, target: &Target) -> Result<Connection, Error> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let text = self.configuration(target).map_err(|source| Error::Option {
            host: target.address.clone(),
            source,
        })?;
        let configuration = self.write(&format!("{number}.conf"), &text)?;
        let socket = self.folder.path().join(number.to_string());
        Connection::open(
            target.clone(),
            configuration,
            socket,
            self.settings.agent_socket.clone(),
        )
    }

    /// OpenSSH takes the first value that it meets: what must be so, then the admin's, then defaults. The file, other than
    /// options in arguments, also holds for jump hosts.
    fn configuration(&self, target: &Target) -> Result<String, crate::OptionError> {
        let mut text = String::from("Host *\n");
        let mut set = |name: &str, value: &str| {
            let _ = writeln!(text, "  {name} {value}");
        };
        let known_hosts = quoted(&self.folder.path().join("known_hosts"));
        set("BatchMode", "yes");
        set(
            "StrictHostKeyChecking",
            if self.settings.accept_new_host_keys {
                "accept-new"
            } else {
                "yes"
            },
        );
        set("UserKnownHostsFile", &known_hosts);
        set("GlobalKnownHostsFile", "none");
        for (name, value) in [
            ("UpdateHostKeys", "no"),
            ("HashKnownHosts", "no"),
            ("VerifyHostKeyDNS", "no"),
            ("CanonicalizeHostname", "no"),
            ("ForwardAgent", "no"),
            ("ForwardX11", "no"),
            ("ClearAllForwardings", "yes"),
            ("PermitLocalCommand", "no"),
            ("RequestTTY", "no"),
            ("EscapeChar", "none"),
            ("LogLevel", "ERROR"),
            ("AddKeysToAgent", "no"),
        ] {
            set(name, value);
        }
        if let Some(file) = &target.identity_file {
            let file = shell_free_path(file)?;
            set("IdentityFile", &quoted(Path::new(&file)));
            set("IdentitiesOnly", "yes");
        }
        for (name, value) in &target.options {
            set(check_option(name, value)?, &quoted(Path::new(value)));
        }
        set("ConnectTimeout", "10");
        set("ServerAliveInterval", "5");
        set("ServerAliveCountMax", "3");
        Ok(text)
    }
}

/// Removes what killed runs of the same user left behind: folders like `own` whose lock nobody holds. That it fails is no
/// reason not to connect.
fn forget_left(base: &Path, own: &Path) {
    let Ok(uid) = own.symlink_metadata().map(|meta| meta.uid()) else {
        return;
    };
    let left = |path: &Path| {
        let meta = path.symlink_metadata().ok()?;
        let ours = meta.is_dir() && meta.uid() == uid && meta.mode() & 0o777 == 0o700;
        // One that was made just now is about to be locked.
        let settled = meta.modified().ok()?.elapsed().ok()? > Duration::from_secs(60);
        (path != own && ours && settled && path.join(LOCK).exists()).then_some(())
    };
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let path = entry.path();
        let named = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if named && left(&path).is_some() && Lock::take(&path.join(LOCK), "cctl").is_ok() {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

fn shell_free_path(file: &str) -> Result<String, crate::OptionError> {
    check_option("IdentityFile", file)?;
    Ok(file.to_owned())
}

fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display())
}

/// How long a connection may take beyond OpenSSH's own limit: login, PAM, sudo.
pub(crate) const LOGIN_LIMIT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target {
            address: "10.77.0.11".into(),
            port: 22,
            user: "admin".into(),
            identity_file: Some("/home/a b/.ssh/id".into()),
            options: BTreeMap::from([
                ("serveraliveinterval".into(), "9".into()),
                ("ProxyJump".into(), "bastion".into()),
            ]),
        }
    }

    #[test]
    fn host_keys_are_checked_whatever_the_admin_sets() {
        let client = Client::new(Settings::default()).unwrap();
        let text = client.configuration(&target()).unwrap();
        let text = text.replace(&client.folder.path().display().to_string(), "DIR");
        insta::assert_snapshot!(text, @r#"
        Host *
          BatchMode yes
          StrictHostKeyChecking yes
          UserKnownHostsFile "DIR/known_hosts"
          GlobalKnownHostsFile none
          UpdateHostKeys no
          HashKnownHosts no
          VerifyHostKeyDNS no
          CanonicalizeHostname no
          ForwardAgent no
          ForwardX11 no
          ClearAllForwardings yes
          PermitLocalCommand no
          RequestTTY no
          EscapeChar none
          LogLevel ERROR
          AddKeysToAgent no
          IdentityFile "/home/a b/.ssh/id"
          IdentitiesOnly yes
          ProxyJump "bastion"
          ServerAliveInterval "9"
          ConnectTimeout 10
          ServerAliveInterval 5
          ServerAliveCountMax 3
        "#);
    }

    #[test]
    fn what_is_refused_connects_to_nothing() {
        let client = Client::new(Settings::default()).unwrap();
        let mut target = target();
        target
            .options
            .insert("ProxyCommand".into(), "touch /tmp/x".into());
        let error = client.connect(&target).unwrap_err();
        assert!(matches!(error, Error::Option { .. }), "{error}");
        target.options.clear();
        target.identity_file = Some("/k\"\nProxyCommand id".into());
        assert!(matches!(client.connect(&target), Err(Error::Option { .. })));
    }

    #[test]
    fn what_killed_runs_left_goes() {
        let base = tempfile::tempdir().unwrap();
        let make = |name: &str, lock: bool, old: bool| {
            let path = base.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
            if lock {
                fs::write(path.join(LOCK), "").unwrap();
            }
            let ago = std::time::SystemTime::now() - Duration::from_secs(if old { 90 } else { 0 });
            fs::File::open(&path).unwrap().set_modified(ago).unwrap();
            path
        };
        let own = make("cctl-own", true, true);
        let gone = make("cctl-left", true, true);
        let stay = [
            make("cctl-other", false, true),
            make("cctl-new", true, false),
            make("another", true, true),
            make("cctl-lives", true, true),
        ];
        let _lives = Lock::take(&stay[3].join(LOCK), "cctl").unwrap();
        forget_left(base.path(), &own);
        assert!(!gone.exists());
        assert!(own.exists() && stay.iter().all(|path| path.exists()));
    }

    #[test]
    fn the_folder_is_private_and_goes_with_the_client() {
        let long = PathBuf::from(format!("/tmp/{}", "x".repeat(80)));
        let client = Client::new(Settings {
            known_hosts: "h key\n".into(),
            runtime_folder: Some(long),
            ..Settings::default()
        })
        .unwrap();
        let folder = client.folder.path().to_owned();
        assert_eq!(
            fs::metadata(&folder).unwrap().permissions().mode() & 0o777,
            0o700
        );
        assert_eq!(client.known_hosts().unwrap(), "h key\n");
        drop(client);
        assert!(!folder.exists());
    }
}
