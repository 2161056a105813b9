//! Where things lie on a host. Users' habits and kubeadm's own places; only what nodeadm alone knows is its own.

/// What only nodeadm knows: its lock, its journal, its record, receipts, what it found and set aside.
pub(crate) const FOLDER: &str = "/var/lib/nodeadm";
/// What nodeadm set this host up as; from it `reset` needs no flags.
pub(crate) const RECORD: &str = "/var/lib/nodeadm/node.json";
/// Receipts of installed components and of kubeadm's phases.
pub(crate) const RECEIPTS: &str = "/var/lib/nodeadm/receipts";
/// kubeadm's configuration.
pub(crate) const KUBEADM_CONFIG: &str = "/var/lib/nodeadm/kubeadm.json";
/// A worker's discovery file for kubeadm.
pub(crate) const DISCOVERY: &str = "/var/lib/nodeadm/discovery.json";
/// Patches that kubeadm lays over what it writes.
pub(crate) const PATCHES: &str = "/var/lib/nodeadm/patches";
/// What may hold data and was moved out of the way by `reset`.
pub(crate) const ASIDE: &str = "/var/lib/nodeadm/aside";

/// The kubelet's own link to the client certificate that it has now.
pub(crate) const KUBELET_CERTIFICATE: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";
/// kubeadm's folder.
pub(crate) const KUBERNETES: &str = "/etc/kubernetes";
/// Its certificates and keys.
pub(crate) const PKI: &str = "/etc/kubernetes/pki";
/// Static pods.
pub(crate) const MANIFESTS: &str = "/etc/kubernetes/manifests";
/// keepalived's configuration, seen by its pod.
pub(crate) const KEEPALIVED: &str = "/etc/kubernetes/keepalived";
/// The kubelet's folder.
pub(crate) const KUBELET: &str = "/var/lib/kubelet";
/// containerd's folder, which may be a mount point.
pub(crate) const CONTAINERD: &str = "/var/lib/containerd";
/// containerd's configuration.
pub(crate) const CONTAINERD_CONFIG: &str = "/etc/containerd/config.toml";
/// CNI plugins.
pub(crate) const CNI_BIN: &str = "/opt/cni/bin";
/// CNI configurations.
pub(crate) const CNI_CONF: &str = "/etc/cni/net.d";
/// The units.
pub(crate) const CONTAINERD_UNIT: &str = "/etc/systemd/system/containerd.service";
/// The units.
pub(crate) const KUBELET_UNIT: &str = "/etc/systemd/system/kubelet.service";
/// kubeadm's drop-in for the kubelet's unit.
pub(crate) const KUBELET_DROPIN: &str = "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf";
/// Modules to be loaded at boot.
pub(crate) const MODULES: &str = "/etc/modules-load.d/klusterkit.conf";
/// Kernel parameters to be set at boot.
pub(crate) const SYSCTLS: &str = "/etc/sysctl.d/99-klusterkit.conf";
/// What is removed at boot.
pub(crate) const TMPFILES: &str = "/etc/tmpfiles.d/klusterkit.conf";
/// A folder that is in every PATH, over SSH too.
pub(crate) const LINKS: &str = "/usr/local/bin";
