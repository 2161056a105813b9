//! What a host tells of itself, read from /proc: nothing that is looked up by name, no program run.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use host::Inspect;

use crate::Error;

/// The host's name.
pub(crate) fn hostname(seen: &dyn Inspect) -> Result<Option<String>, Error> {
    let text = seen.read_text(Path::new("/proc/sys/kernel/hostname"))?;
    Ok(text.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()))
}

/// As release files name it.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The user that this process runs as.
pub(crate) fn uid(seen: &dyn Inspect) -> Result<Option<u32>, Error> {
    let text = seen
        .read_text(Path::new("/proc/self/status"))?
        .unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Uid:"));
    Ok(line.and_then(|ids| ids.split_whitespace().nth(1)?.parse().ok()))
}

/// When a process was started, in nanoseconds since 1970 by the clock of `now`; to a hundredth of a second.
pub(crate) fn started_at(
    seen: &dyn Inspect,
    pid: u32,
    now: SystemTime,
) -> Result<Option<i128>, Error> {
    let uptime = seen.read_text(Path::new("/proc/uptime"))?;
    let stat = seen.read_text(&PathBuf::from(format!("/proc/{pid}/stat")))?;
    let age = uptime.zip(stat).and_then(|(uptime, stat)| {
        let uptime: f64 = uptime.split_whitespace().next()?.parse().ok()?;
        // The program's name stands in brackets and may hold anything; 20 fields after it, in hundredths of a second.
        let (_, rest) = stat.rsplit_once(')')?;
        let started: f64 = rest.split_whitespace().nth(19)?.parse().ok()?;
        Some(uptime - started / 100.0)
    });
    let now = now.duration_since(UNIX_EPOCH).ok();
    Ok(age.zip(now).map(|(age, now)| {
        let age = (age.max(0.0) * 1e9) as i128;
        now.as_nanos().cast_signed() - age
    }))
}

/// All addresses of the host but loopback and link-local ones; IPv4 first, in the kernel's order.
pub(crate) fn addresses(seen: &dyn Inspect) -> Result<Vec<IpAddr>, Error> {
    let trie = seen
        .read_text(Path::new("/proc/net/fib_trie"))?
        .unwrap_or_default();
    let table = seen
        .read_text(Path::new("/proc/net/if_inet6"))?
        .unwrap_or_default();
    let mut all: Vec<IpAddr> = local_v4(&trie).into_iter().map(IpAddr::from).collect();
    all.extend(global_v6(&table).into_iter().map(IpAddr::from));
    Ok(all)
}

/// The address that the kernel would speak from to far-away hosts. Connecting a datagram socket sends nothing.
pub(crate) fn default_route_address(own: &[IpAddr]) -> Option<IpAddr> {
    // Addresses for documentation: nobody's, so only the default route leads there.
    for (from, far) in [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")] {
        let address = UdpSocket::bind(from)
            .and_then(|socket| socket.connect(far).and_then(|()| socket.local_addr()))
            .map(|local| local.ip());
        if let Ok(address) = address
            && own.contains(&address)
        {
            return Some(address);
        }
    }
    None
}

/// Addresses that the kernel's routing trie marks as the host's own.
fn local_v4(trie: &str) -> Vec<Ipv4Addr> {
    let mut found: Vec<Ipv4Addr> = Vec::new();
    let mut last = None;
    for line in trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if line.ends_with("host LOCAL")
            && let Some(address) = last
            && !Ipv4Addr::is_loopback(&address)
            && !address.is_link_local()
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

fn global_v6(table: &str) -> Vec<Ipv6Addr> {
    let global = |line: &str| {
        let mut fields = line.split_whitespace();
        let address = u128::from_str_radix(fields.next()?, 16).ok()?;
        // The fourth field is the scope: 00 is global.
        (fields.nth(2)? == "00").then(|| Ipv6Addr::from(address))
    };
    table.lines().filter_map(global).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_says_when_it_was_started() {
        let mut host = host::Memory::new(host::Nothing);
        let mut put = |path: &str, text: &str| {
            host::Host::apply(&mut host, &host::Change::file(path, text)).unwrap();
        };
        put("/proc/uptime", "1000.50 1900.00\n");
        let stat = "7 (a ) (b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 99950 1 2\n";
        put("/proc/7/stat", stat);
        let now = UNIX_EPOCH + std::time::Duration::from_secs(5000);
        let started = started_at(&host, 7, now).unwrap().unwrap();
        assert_eq!(started / 1_000_000, 4_999_000);
        assert_eq!(started_at(&host, 8, now).unwrap(), None);
    }

    #[test]
    fn addresses_are_read_from_the_kernels_tables() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\nLocal:\n           |-- 10.77.0.11\n              /32 host LOCAL\n           |-- 10.77.0.255\n              /32 link BROADCAST\n           |-- 127.0.0.1\n              /32 host LOCAL\n";
        assert_eq!(local_v4(&trie.repeat(2)), [Ipv4Addr::new(10, 77, 0, 11)]);
        let table = "00000000000000000000000000000001 01 80 10 80       lo\nfd000000000000000000000000000005 02 40 00 80     eth0\nfe800000000000000000000000000005 02 40 20 80     eth0\n";
        assert_eq!(global_v6(table), ["fd00::5".parse::<Ipv6Addr>().unwrap()]);
    }
}
