//! What a machine needs to have for a lab.

use std::path::Path;

use crate::run::find_program;

/// Something that the machine lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// What is not there.
    pub what: String,
    /// The Debian package that brings it, where one does.
    pub package: Option<&'static str>,
}

const PROGRAMS: &[(&str, &str)] = &[
    ("mmdebstrap", "mmdebstrap"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("mkfs.ext4", "e2fsprogs"),
    ("mount", "mount"),
    ("nsenter", "util-linux"),
    ("chroot", "coreutils"),
    ("cp", "coreutils"),
    ("tar", "tar"),
    ("kill", "procps"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
];

/// All that is missing here; empty when a lab can be made.
#[must_use]
pub fn requirements() -> Vec<Missing> {
    let mut missing = Vec::new();
    for &(program, package) in PROGRAMS {
        if find_program(program).is_none() {
            missing.push(Missing {
                what: format!("the program {program}"),
                package: Some(package),
            });
        }
    }
    let mut lacks = |what: &str| {
        missing.push(Missing {
            what: what.to_owned(),
            package: None,
        })
    };
    if !nix::unistd::geteuid().is_root() {
        lacks("root's rights");
    }
    let kinds = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    for kind in ["overlay", "ext4"] {
        if !kinds
            .lines()
            .any(|line| line.split_whitespace().last() == Some(kind))
        {
            lacks(&format!(
                "the file system {kind} in the kernel (modprobe {kind})"
            ));
        }
    }
    if !Path::new("/dev/loop-control").exists() {
        lacks("loop devices (modprobe loop)");
    }
    missing
}
