//! The units of the container runtime and of the kubelet.
//!
//! Both run and hold containers, so nothing is taken from them as from other services: what a pod may do is decided by
//! the cluster.

use std::path::Path;

use systemd::{Argument, Command, Unit, Value};

use crate::Error;

const COMMENT: &str = "Written by nodeadm; `nodeadm reset` takes it away.";

fn render(unit: &Unit, name: &'static str) -> Result<String, Error> {
    unit.render()
        .map_err(|source| Error::Unit { unit: name, source })
}

/// containerd.service.
///
/// # Errors
/// When the folder's name cannot stand in a unit.
pub(crate) fn containerd(install_dir: &Path) -> Result<String, Error> {
    let program = install_dir.join("containerd").display().to_string();
    // containerd looks its shim up in PATH.
    let path = format!(
        "PATH={}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        install_dir.display()
    );
    let unit = Unit::new(COMMENT)
        .with(
            "Unit",
            "Description",
            Value::line("containerd container runtime"),
        )
        .with("Unit", "Documentation", "https://containerd.io")
        .with("Unit", "After", "network.target local-fs.target")
        .with("Service", "Type", "notify")
        .with("Service", "Environment", Value::words([path]))
        .with(
            "Service",
            "ExecStart",
            Command::new(program, Vec::<Argument>::new()),
        )
        // Containers outlive their runtime's restart.
        .with("Service", "KillMode", "process")
        .with("Service", "Delegate", "yes")
        .with("Service", "Restart", "always")
        .with("Service", "RestartSec", "5")
        .with("Service", "LimitNPROC", "infinity")
        .with("Service", "LimitCORE", "infinity")
        .with("Service", "TasksMax", "infinity")
        .with("Service", "OOMScoreAdjust", "-999")
        .with("Install", "WantedBy", "multi-user.target");
    render(&unit, "containerd.service")
}

/// kubelet.service.
///
/// # Errors
/// When the folder's name cannot stand in a unit.
pub(crate) fn kubelet(install_dir: &Path) -> Result<String, Error> {
    let program = install_dir.join("kubelet").display().to_string();
    let unit = Unit::new(COMMENT)
        .with(
            "Unit",
            "Description",
            Value::line("kubelet: The Kubernetes Node Agent"),
        )
        .with("Unit", "Documentation", "https://kubernetes.io/docs/")
        .with("Unit", "Wants", "network-online.target")
        .with("Unit", "After", "network-online.target containerd.service")
        .with("Unit", "StartLimitIntervalSec", "0")
        .with(
            "Service",
            "ExecStart",
            Command::new(program, Vec::<Argument>::new()),
        )
        .with("Service", "Restart", "always")
        .with("Service", "RestartSec", "1")
        .with("Install", "WantedBy", "multi-user.target");
    render(&unit, "kubelet.service")
}

/// kubeadm's drop-in for it.
///
/// # Errors
/// When the folder's name cannot stand in a unit.
pub(crate) fn kubelet_drop_in(install_dir: &Path) -> Result<String, Error> {
    let program = install_dir.join("kubelet").display().to_string();
    let variables = [
        "KUBELET_KUBECONFIG_ARGS",
        "KUBELET_CONFIG_ARGS",
        "KUBELET_KUBEADM_ARGS",
        "KUBELET_EXTRA_ARGS",
    ];
    let unit = Unit::new(COMMENT)
        .with(
            "Service",
            "Environment",
            Value::words([
                "KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf \
                 --kubeconfig=/etc/kubernetes/kubelet.conf",
            ]),
        )
        .with(
            "Service",
            "Environment",
            Value::words(["KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"]),
        )
        .with("Service", "EnvironmentFile", "-/var/lib/kubelet/kubeadm-flags.env")
        .with("Service", "EnvironmentFile", "-/etc/default/kubelet")
        // The first one takes away what the unit itself says.
        .with("Service", "ExecStart", "")
        .with(
            "Service",
            "ExecStart",
            Command::new(program, variables.map(|name| Argument::Words(name.to_owned()))),
        );
    render(&unit, "10-kubeadm.conf")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_as_expected() {
        insta::assert_snapshot!(containerd(Path::new("/opt/bin")).unwrap(), @r"
        # Written by nodeadm; `nodeadm reset` takes it away.

        [Unit]
        Description=containerd container runtime
        Documentation=https://containerd.io
        After=network.target local-fs.target

        [Service]
        Type=notify
        Environment=PATH=/opt/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
        ExecStart=/opt/bin/containerd
        KillMode=process
        Delegate=yes
        Restart=always
        RestartSec=5
        LimitNPROC=infinity
        LimitCORE=infinity
        TasksMax=infinity
        OOMScoreAdjust=-999

        [Install]
        WantedBy=multi-user.target
        ");
        insta::assert_snapshot!(kubelet(Path::new("/opt/bin")).unwrap(), @r"
        # Written by nodeadm; `nodeadm reset` takes it away.

        [Unit]
        Description=kubelet: The Kubernetes Node Agent
        Documentation=https://kubernetes.io/docs/
        Wants=network-online.target
        After=network-online.target containerd.service
        StartLimitIntervalSec=0

        [Service]
        ExecStart=/opt/bin/kubelet
        Restart=always
        RestartSec=1

        [Install]
        WantedBy=multi-user.target
        ");
        insta::assert_snapshot!(kubelet_drop_in(Path::new("/opt/bin")).unwrap(), @r#"
        # Written by nodeadm; `nodeadm reset` takes it away.

        [Service]
        Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
        Environment=KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml
        EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
        EnvironmentFile=-/etc/default/kubelet
        ExecStart=
        ExecStart=/opt/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
        "#);
    }
}
