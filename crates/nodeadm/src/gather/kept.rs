//! What need not be saved: what a recovery makes anew, what is the system's, what pods write.

use std::path::Path;

use crate::paths;
use crate::phases::CONTROL_PLANE;
use crate::settings::CREDENTIALS;

/// What kubeadm makes of the authorities, below its folder of certificates.
const ISSUED: [&str; 8] = [
    "apiserver.crt",
    "apiserver.key",
    "apiserver-kubelet-client.crt",
    "apiserver-kubelet-client.key",
    "apiserver-etcd-client.crt",
    "apiserver-etcd-client.key",
    "front-proxy-client.crt",
    "front-proxy-client.key",
];
/// Kubeconfigs, in kubeadm's folder.
const KUBECONFIGS: [&str; 6] = [
    "admin.conf",
    "super-admin.conf",
    "controller-manager.conf",
    "scheduler.conf",
    "kubelet.conf",
    "bootstrap-kubelet.conf",
];
/// Folders of the system, and of programs that keep data in them.
const SYSTEM: [&str; 22] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc/ca-certificates",
    "/etc/hosts",
    "/etc/localtime",
    "/etc/machine-id",
    "/etc/pki",
    "/etc/ssl",
    "/lib",
    "/lib64",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/tmp",
    "/usr",
    "/var/lib/containerd",
    "/var/lib/etcd",
    "/var/lib/kubelet",
    "/var/log",
    "/var/run",
];

/// Whether a recovery makes what lies there, of the state and of the cluster's documents.
pub(super) fn is_made_anew(path: &Path) -> bool {
    let below = |folder: &str| path.strip_prefix(folder).ok();
    if below("/etc/etcd/pki").is_some() || below(paths::KEEPALIVED).is_some() {
        return true;
    }
    if let Some(name) = below(paths::MANIFESTS) {
        return CONTROL_PLANE.iter().any(|own| name == Path::new(own));
    }
    if let Some(name) = below(paths::PKI) {
        let mut known = ISSUED.into_iter().chain(CREDENTIALS);
        return name.starts_with("etcd") || known.any(|known| name == Path::new(known));
    }
    let kubeconfig = below(paths::KUBERNETES);
    kubeconfig.is_some_and(|name| KUBECONFIGS.iter().any(|known| name == Path::new(known)))
}

/// Whether what lies there belongs to the system: it is mounted by many, and configures nothing.
pub(super) fn is_the_system_s(path: &Path) -> bool {
    SYSTEM.iter().any(|folder| path.starts_with(folder))
}

/// Whether what lies there is written by who names it.
pub(super) fn is_written(path: &Path) -> bool {
    ["/dev", "/proc", "/sys", "/var/log"]
        .iter()
        .any(|folder| path.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_user_s_is_kept() {
        for made in [
            "/etc/kubernetes/pki/ca.key",
            "/etc/kubernetes/pki/etcd/ca.crt",
            "/etc/kubernetes/pki/apiserver.crt",
            "/etc/kubernetes/admin.conf",
            "/etc/kubernetes/manifests/kube-apiserver.yaml",
            "/etc/etcd/pki/server.key",
        ] {
            assert!(is_made_anew(Path::new(made)), "{made}");
        }
        for own in [
            "/etc/kubernetes/pki/oidc-ca.crt",
            "/etc/kubernetes/pki/encryption.yaml",
            "/etc/kubernetes/encryption.yaml",
            "/etc/kubernetes/manifests/mine.yaml",
            "/etc/kubernetes/webhook.conf",
        ] {
            assert!(!is_made_anew(Path::new(own)), "{own}");
            assert!(!is_the_system_s(Path::new(own)), "{own}");
        }
        assert!(is_the_system_s(Path::new("/usr/libexec/kubernetes")));
    }
}
