//! Where this host resolves names, if anywhere: in an air gap often nowhere.

use std::net::IpAddr;
use std::path::Path;

use host::Inspect;

use crate::Error;

const USUAL: &str = "/etc/resolv.conf";
const OF_SYSTEMD: &str = "/run/systemd/resolve/resolv.conf";

/// The resolvers that pods can reach: not loopback ones. With systemd-resolved its stub is passed over and its real
/// file read, as kubeadm tells the kubelet to.
///
/// # Errors
/// When the files cannot be read.
pub(crate) fn upstream(seen: &dyn Inspect, said: Option<&str>) -> Result<Vec<IpAddr>, Error> {
    let files: &[&str] = match &said {
        Some(path) => std::slice::from_ref(path),
        None => &[USUAL, OF_SYSTEMD],
    };
    for file in files {
        let text = seen.read_text(Path::new(file))?.unwrap_or_default();
        let resolvers: Vec<IpAddr> = nameservers(&text)
            .filter(|address| !address.is_loopback())
            .collect();
        if !resolvers.is_empty() {
            return Ok(resolvers);
        }
    }
    Ok(Vec::new())
}

fn nameservers(text: &str) -> impl Iterator<Item = IpAddr> + '_ {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        // An IPv6 address may name its interface.
        let address = (words.next()? == "nameserver").then(|| words.next())??;
        address.split('%').next()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use host::{Change, Host, Memory, Nothing};

    #[test]
    fn the_stub_of_systemd_is_passed_over() {
        let mut host = Memory::new(Nothing);
        assert_eq!(upstream(&host, None).unwrap(), Vec::<IpAddr>::new());
        host.apply(&Change::file(
            USUAL,
            "# stub\nnameserver 127.0.0.53\noptions edns0\n",
        ))
        .unwrap();
        assert_eq!(upstream(&host, None).unwrap(), Vec::<IpAddr>::new());
        host.apply(&Change::file(
            OF_SYSTEMD,
            "nameserver 192.0.2.53\nnameserver fe80::1%eth0\n",
        ))
        .unwrap();
        assert_eq!(upstream(&host, None).unwrap().len(), 2);
        assert_eq!(
            upstream(&host, Some("/nowhere")).unwrap(),
            Vec::<IpAddr>::new()
        );
    }
}
