//! The private network: a bridge in the lab's network namespace, a cable from it to each host's.
//!
//! The bridge has the network's address .1, and there is nothing behind it: no way out.

use std::fs::File;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns};

use crate::error::Error;
use crate::files;
use crate::run::Run;
use crate::settings::{Site, number};

const BRIDGE: &str = "br0";

/// Where `ip netns` keeps a namespace.
pub(crate) fn netns(name: &str) -> PathBuf {
    Path::new("/run/netns").join(name)
}

fn ip(args: &[&str]) -> Result<(), Error> {
    Run::here(["ip"]).args(args).check().map(drop)
}

/// Makes the switch, if it is not there.
pub(crate) fn up(site: &Site) -> Result<(), Error> {
    let space = site.space();
    if netns(&space).exists() {
        return Ok(());
    }
    let address = format!("{}/24", site.settings.net.address(1));
    ip(&["netns", "add", &space])?;
    ip(&["-n", &space, "link", "set", "lo", "up"])?;
    ip(&[
        "-n",
        &space,
        "link",
        "add",
        BRIDGE,
        "type",
        "bridge",
        "stp_state",
        "0",
        "forward_delay",
        "0",
    ])?;
    ip(&["-n", &space, "address", "add", &address, "dev", BRIDGE])?;
    ip(&["-n", &space, "link", "set", BRIDGE, "up"])
}

/// Makes a host's namespace anew, with its card plugged in, or not if it is cut off.
pub(crate) fn plug(site: &Site, host: &str) -> Result<(), Error> {
    unplug(site, host)?;
    let (space, own) = (site.space(), site.host_space(host));
    let (address, gateway) = (site.host_address(host), site.settings.net.address(1));
    // The same hardware address at each boot, as a real card's: the others' ARP tables outlive a reboot.
    let [a, b, c, d] = address.octets();
    let mac = format!("02:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}");
    ip(&["netns", "add", &own])?;
    ip(&[
        "-n", &space, "link", "add", host, "type", "veth", "peer", "name", "eth0", "address", &mac,
        "netns", &own,
    ])?;
    ip(&["-n", &space, "link", "set", host, "master", BRIDGE])?;
    if !cut_mark(site, host).exists() {
        ip(&["-n", &space, "link", "set", host, "up"])?;
    }
    ip(&["-n", &own, "link", "set", "lo", "up"])?;
    ip(&[
        "-n",
        &own,
        "address",
        "add",
        &format!("{address}/24"),
        "dev",
        "eth0",
    ])?;
    ip(&["-n", &own, "link", "set", "eth0", "up"])?;
    ip(&[
        "-n",
        &own,
        "route",
        "add",
        "default",
        "via",
        &gateway.to_string(),
    ])
}

/// Takes a host's namespace away; both ends of the cable go with it.
pub(crate) fn unplug(site: &Site, host: &str) -> Result<(), Error> {
    let own = site.host_space(host);
    if netns(&own).exists() {
        ip(&["netns", "delete", &own])?;
    }
    // The namespace goes when its last process has gone; its cable must not be in the way of the next one.
    if netns(&site.space()).exists() && link_exists(&site.space(), host)? {
        drop(ip(&["-n", &site.space(), "link", "delete", host]));
    }
    Ok(())
}

fn link_exists(space: &str, link: &str) -> Result<bool, Error> {
    Ok(Run::here(["ip", "-n", space, "link", "show", "dev", link])
        .output()?
        .success())
}

/// Removes a lab's namespaces, the switch's and all hosts'.
pub(crate) fn remove(space: &str) -> Result<(), Error> {
    let hosts = format!("{space}.");
    for name in files::names(Path::new("/run/netns"))? {
        if name == space || name.starts_with(&hosts) {
            ip(&["netns", "delete", &name])?;
        }
    }
    Ok(())
}

/// Remembers over a reboot of the host that its cable is out.
fn cut_mark(site: &Site, host: &str) -> PathBuf {
    site.run_dir().join(format!("{host}.cut"))
}

/// Pulls a host's cable, or plugs it in again.
pub(crate) fn cut(site: &Site, host: &str, cut: bool) -> Result<(), Error> {
    let mark = cut_mark(site, host);
    if cut {
        files::write(&mark, "", 0o600)?;
    } else {
        files::remove(&mark)?;
    }
    if link_exists(&site.space(), host)? {
        ip(&[
            "-n",
            &site.space(),
            "link",
            "set",
            host,
            if cut { "down" } else { "up" },
        ])?;
    }
    Ok(())
}

/// Makes the switch forward nothing between two hosts, or forward again. It is the switch's doing: no program on a host can
/// undo it, and it holds for every address that a host may have.
pub(crate) fn cut_between(site: &Site, one: &str, other: &str, cut: bool) -> Result<(), Error> {
    // One table a pair, whichever way round it is named.
    let (a, b) = if number(one) <= number(other) {
        (one, other)
    } else {
        (other, one)
    };
    let table = format!("{a}-{b}");
    let mut rules = format!("add table bridge {table}\ndelete table bridge {table}\n");
    if cut {
        rules += &format!(
            "table bridge {table} {{\n chain apart {{\n  type filter hook forward priority 0;\n  \
             iifname {a} oifname {b} drop\n  iifname {b} oifname {a} drop\n }}\n}}\n"
        );
    }
    within(&site.space(), ["nft", "-f", "-"])
        .stdin(rules)
        .check()
        .map(drop)
}

/// A program in a network namespace. (`ip netns exec` would also hide the machine's cgroups from it.)
pub(crate) fn within<'a>(space: &str, argv: impl IntoIterator<Item = &'a str>) -> Run {
    let enter = format!("--net={}", netns(space).display());
    Run::here(["nsenter", &enter, "--"]).args(argv)
}

/// Moves the calling thread into a network namespace.
pub(crate) fn enter(space: &str) -> Result<(), Error> {
    let path = netns(space);
    let file = File::open(&path).map_err(Error::io("open", &path))?;
    setns(file, CloneFlags::CLONE_NEWNET).map_err(Error::sys("setns", space))
}
