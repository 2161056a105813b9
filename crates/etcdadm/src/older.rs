//! Members that an older tool set up, or another program with etcd's usual environment file: what they are.
//!
//! Such hosts have no record. Their environment file tells name, URLs and folders, their unit where the program lies, and
//! the program its release: enough to take them over without a flag.

use std::path::{Path, PathBuf};

use api::{Endpoint, EtcdConfiguration, Version};
use host::{Inspect, Query};

use crate::{Error, paths};

/// What the member on this host is, if there is one.
pub(crate) fn configuration(seen: &dyn Inspect) -> Result<Option<EtcdConfiguration>, Error> {
    let Some(text) = seen.read_text(Path::new(paths::ENVIRONMENT))? else {
        return Ok(None);
    };
    let variables = systemd::parse_environment(&text);
    let get = |key: &str| {
        variables
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, value)| value.as_str())
    };
    let (Some(name), Some(peer_url)) = (get("ETCD_NAME"), get("ETCD_INITIAL_ADVERTISE_PEER_URLS"))
    else {
        return Ok(None);
    };
    let split = |url: &str| -> Option<Endpoint> {
        url.split(',')
            .next()?
            .trim_start_matches("https://")
            .trim_end_matches('/')
            .parse()
            .ok()
    };
    let peer = split(peer_url);
    let client = get("ETCD_ADVERTISE_CLIENT_URLS").and_then(split);
    let mut document = EtcdConfiguration::default();
    document.metadata.name = name.to_owned();
    document.address = peer.as_ref().and_then(Endpoint::address);
    document.peer_port = peer
        .and_then(|endpoint| endpoint.port)
        .unwrap_or(document.peer_port);
    document.client_port = client
        .and_then(|endpoint| endpoint.port)
        .unwrap_or(document.client_port);
    if let Some(data_dir) = get("ETCD_DATA_DIR") {
        document.data_dir = data_dir.into();
    }
    if let Some(certs_dir) = get("ETCD_TRUSTED_CA_FILE").and_then(|path| Path::new(path).parent()) {
        document.certs_dir = certs_dir.to_owned();
    }
    if let Some(program) = program(seen)? {
        document.version = release(seen, &program);
        document.install_dir = program
            .parent()
            .map_or(document.install_dir, Path::to_owned);
    }
    Ok(Some(document))
}

/// The program that the unit starts.
fn program(seen: &dyn Inspect) -> Result<Option<PathBuf>, Error> {
    let unit = seen
        .read_text(Path::new(paths::UNIT_FILE))?
        .unwrap_or_default();
    let line = unit
        .lines()
        .find_map(|line| line.trim().strip_prefix("ExecStart="));
    let word = line.and_then(|line| line.split_whitespace().next());
    Ok(word
        .map(PathBuf::from)
        .filter(|path| path.is_absolute() && path.file_name().is_some_and(|name| name == "etcd")))
}

/// The release of a program, if it tells.
pub(crate) fn release(seen: &(impl Inspect + ?Sized), program: &Path) -> Option<Version> {
    let output = seen
        .query(&Query::new(program.to_string_lossy(), ["--version"]))
        .ok()?;
    let text = output.text();
    text.lines()
        .find_map(|line| line.strip_prefix("etcd Version: "))?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use host::{Change, Host, Memory, Nothing, Output};

    use super::*;

    #[test]
    fn a_member_of_the_older_tool_is_known_by_its_files() {
        let mut host = Memory::new(Nothing);
        assert_eq!(configuration(&host).unwrap(), None);
        let environment = "ETCD_NAME=n1\nETCD_INITIAL_CLUSTER=n1=https://10.0.0.5:2380\n\
            ETCD_INITIAL_ADVERTISE_PEER_URLS=https://10.0.0.5:2380\nETCD_ADVERTISE_CLIENT_URLS=https://10.0.0.5:2379\n\
            ETCD_DATA_DIR=/data/etcd\nETCD_TRUSTED_CA_FILE=/etc/etcd/pki/ca.crt\nGOMAXPROCS=4\n";
        host.apply(&Change::private_file(paths::ENVIRONMENT, environment))
            .unwrap();
        host.apply(&Change::file(
            paths::UNIT_FILE,
            "[Service]\nExecStart=/usr/local/etcd/etcd\n",
        ))
        .unwrap();
        let stdout = b"etcd Version: 3.5.7\nGit SHA: 1\n".to_vec();
        host.answer(
            Query::new("/usr/local/etcd/etcd", ["--version"]),
            Output {
                code: Some(0),
                stdout,
                stderr: String::new(),
            },
        );
        let document = configuration(&host).unwrap().unwrap();
        assert_eq!(document.metadata.name, "n1");
        assert_eq!(document.address, Some([10, 0, 0, 5].into()));
        assert_eq!(document.version, Some(Version::new(3, 5, 7)));
        assert_eq!(document.data_dir, Path::new("/data/etcd"));
        assert_eq!(document.install_dir, Path::new("/usr/local/etcd"));
    }
}
