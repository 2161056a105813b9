//! The file from which `cctl apply` makes a cluster of lab hosts.

use std::fmt::Write;

use lab::{Host, Lab};

/// The last number of the address that the control planes hold together.
pub const VIP: u8 = 100;

/// What a cluster of lab hosts is to be.
#[derive(Debug, Clone)]
pub struct ClusterFile {
    text: String,
}

impl ClusterFile {
    /// The first `masters` of `hosts` as control planes, the others as workers, reached as `user`.
    #[must_use]
    pub fn new(lab: &Lab, hosts: &[Host], masters: usize, user: &str) -> Self {
        let endpoint = match masters {
            1 => hosts[0].address(),
            _ => lab.net().address(VIP),
        };
        let mut text = format!(
            "apiVersion: klusterkit.dev/v1alpha1\n\
             kind: ClusterConfiguration\n\
             metadata: {{name: lab}}\n\
             kubernetes: {{version: v1.37.2}}\n\
             etcd: {{version: v3.7.3}}\n\
             controlPlaneEndpoint: {endpoint}\n\
             network: {{podSubnet: 10.244.0.0/16, serviceSubnet: 10.96.0.0/12, cni: flannel}}\n\
             ssh: {{user: {user}, identityFile: {key}}}\n\
             {ignored}machines:\n",
            key = lab.key().display(),
            ignored = ignored(),
        );
        for (i, host) in hosts.iter().enumerate() {
            let role = if i < masters { "master" } else { "node" };
            // A cluster of one runs its pods on its one machine.
            let taints = if hosts.len() == 1 { ", taints: []" } else { "" };
            writeln!(
                text,
                "  - {{address: {}, roles: [{role}]{taints}}}",
                host.address()
            )
            .expect("a string takes all that is written");
        }
        text.push_str(LAB_DOCUMENTS);
        Self { text }
    }

    /// The same with further documents.
    #[must_use]
    pub fn with(mut self, documents: &str) -> Self {
        self.text.push_str(documents);
        self
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// kubeadm's check of the kernel's configuration fails where the kernel does not show it, and on cgroup v1.
fn ignored() -> &'static str {
    "ignorePreflightErrors: [SystemVerification]\n"
}

/// The rest of a node's document on a host of the lab: fields, and documents that are merged over nodeadm's own.
pub(crate) fn of_lab_nodes() -> String {
    // Of its three documents the last is the node's own kind, whose fields come first here.
    let (documents, node) = LAB_DOCUMENTS
        .rsplit_once("---\n")
        .unwrap_or((LAB_DOCUMENTS, ""));
    let fields: String = node
        .lines()
        .filter(|line| !line.starts_with("apiVersion:") && !line.starts_with("kind:"))
        .map(|line| format!("{line}\n"))
        .collect();
    format!("{}{fields}{documents}", ignored())
}

/// What hosts of the lab need and others do not: documents that the tools merge over their own.
const LAB_DOCUMENTS: &str = "\
---
# The lab's machine may have cgroup v1, which the kubelet only takes when told so.
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
---
# The machine's connection tracking table is not a host's to resize.
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
conntrack: {maxPerCore: 0, min: 0}
---
# Root on a lab host may lack the right to lower OOM scores.
apiVersion: klusterkit.dev/v1alpha1
kind: NodeConfiguration
containerdPatch: |
  [plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
";
