//! What a network daemon that only serves files of its own can do without.
//!
//! `systemd-analyze security` weighs these; each is a no-op on a systemd that does not know it. Nothing here is meant for
//! units that run containers: the kubelet and containerd need most of what is taken away.

use crate::{Unit, Value};

/// Takes from a service's process what it does not need; only `writable` paths (which must exist) can be written.
pub fn harden(unit: Unit, writable: &[&str]) -> Unit {
    let yes = [
        "NoNewPrivileges",
        "PrivateTmp",
        "PrivateDevices",
        "ProtectHome",
        "ProtectKernelTunables",
        "ProtectKernelModules",
        "ProtectKernelLogs",
        "ProtectControlGroups",
        "ProtectClock",
        "ProtectHostname",
        "LockPersonality",
        "RestrictRealtime",
        "RestrictSUIDSGID",
        "RestrictNamespaces",
        "MemoryDenyWriteExecute",
    ];
    let unit = yes
        .iter()
        .fold(unit, |unit, setting| unit.with("Service", setting, "yes"));
    unit.with("Service", "ProtectSystem", "strict")
        .with(
            "Service",
            "ReadWritePaths",
            Value::words(writable.iter().copied()),
        )
        .with(
            "Service",
            "RestrictAddressFamilies",
            "AF_UNIX AF_INET AF_INET6",
        )
        .with("Service", "SystemCallArchitectures", "native")
        .with("Service", "SystemCallFilter", "@system-service")
        .with("Service", "SystemCallFilter", "~@privileged @resources")
        .with("Service", "SystemCallErrorNumber", "EPERM")
        .with("Service", "CapabilityBoundingSet", "")
        .with("Service", "AmbientCapabilities", "")
        .with("Service", "DevicePolicy", "closed")
        .with("Service", "KeyringMode", "private")
        .with("Service", "UMask", "0077")
}
