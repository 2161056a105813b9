//! The yardsticks: how an admin who knows what they do makes the same cluster without Klusterkit.
//!
//! Each is one shell script, run on the admin's machine inside the lab's network, that reaches the hosts over ssh: the very
//! commands that a person would type, with nobody's typing counted. [`PRELUDE`] holds what they share, the files of
//! `by_hand_*.rs` one way each. They are written to be fast, not to lose: one kept connection a host, files packed
//! into one stream a host, ECDSA keys (RSA keys cost seconds), etcd's members begun at once, a keepalived that takes the
//! address in 0.7 s, waits that poll every 50 ms.
//!
//! What the lab's hosts need and others do not, all contenders get alike: `failCgroupV1: false`, no connection tracking
//! limits, `restrict_oom_score_adj`, `SystemVerification` ignored, and CoreDNS without `forward` where there is no resolver.

use std::path::{Path, PathBuf};

use hosts::VIP;
use lab::{Host, Lab};
use parts::catalog::NEWEST;
use parts::mirror::ARCH;

use super::cluster::LIMIT;
use crate::Outcome;

/// An admin with their files in a folder.
pub(crate) struct ByHand<'l> {
    pub(crate) lab: &'l Lab,
    pub(crate) hosts: &'l [Host],
    /// The admin's own folder.
    pub(crate) folder: PathBuf,
    /// Upstream's release files, laid out as upstream does.
    pub(crate) mirror: PathBuf,
    /// An archive of all images, for `ctr images import`.
    pub(crate) images: PathBuf,
}

impl ByHand<'_> {
    /// Runs one of the scripts.
    pub(crate) fn run(&self, script: &str) -> Outcome {
        let text = format!("{}{PRELUDE}{script}", self.variables());
        std::fs::write(self.folder.join("script.sh"), &text)?;
        self.lab
            .run(["bash", "-c", &text])
            .stdout_file(self.folder.join("log"))
            .timeout(LIMIT)
            .check()?;
        Ok(())
    }

    fn variables(&self) -> String {
        let addresses: Vec<String> = self
            .hosts
            .iter()
            .map(|host| host.address().to_string())
            .collect();
        let path = |path: &Path| path.display().to_string();
        let lines = [
            ("HERE", path(&self.folder)),
            ("KEY", path(&self.lab.key())),
            ("KNOWN_HOSTS", path(&self.lab.known_hosts())),
            ("VIP", self.lab.net().address(VIP).to_string()),
            ("MIRROR", path(&self.mirror)),
            ("IMAGES", path(&self.images)),
            ("ARCH", ARCH.to_owned()),
            ("K8S", format!("v{}", NEWEST.kubernetes)),
            ("ETCD", format!("v{}", NEWEST.etcd)),
            ("FLANNEL", format!("v{}", NEWEST.flannel)),
            ("CONTAINERD", NEWEST.containerd.to_owned()),
            ("RUNC", format!("v{}", NEWEST.runc)),
            ("CNI", format!("v{}", NEWEST.cni_plugins)),
            ("PAUSE", NEWEST.pause.to_owned()),
            ("KEEPALIVED", parts::images::KEEPALIVED.to_owned()),
        ];
        let mut text = format!("IP=(none {})\n", addresses.join(" "));
        for (name, value) in lines {
            text += &format!("{name}='{value}'\n");
        }
        text
    }
}

/// What all of them begin with.
const PRELUDE: &str = r#"
set -euo pipefail
cd "$HERE"
mkdir -p h1 h2 h3 h4 h5
KUBEADM=$MIRROR/dl.k8s.io/release/$K8S/bin/linux/$ARCH/kubeadm
MANIFEST=$MIRROR/github.com/flannel-io/flannel/releases/download/$FLANNEL/kube-flannel.yml
SOCKETS=$(mktemp -d)
trap 'for n in 1 2 3 4 5; do ssh -O exit -o ControlPath="$SOCKETS/%h" "${IP[n]}" 2>/dev/null || true; done; rm -rf "$SOCKETS"' EXIT

# One connection a host, kept open: a command costs 0.03 s over it, and 0.25 s over one of its own.
on() {
  local n=$1; shift
  ssh -F none -i "$KEY" -o IdentitiesOnly=yes -o BatchMode=yes -o LogLevel=ERROR \
    -o UserKnownHostsFile="$KNOWN_HOSTS" -o StrictHostKeyChecking=yes \
    -o ControlMaster=auto -o ControlPersist=60 -o ControlPath="$SOCKETS/%h" "root@${IP[n]}" "$*"
}

# All files of a host as one stream.
send() { tar -C "h$1" -c . | on "$1" 'tar -x -C / --no-overwrite-dir --no-same-owner'; }

# Waits for work that runs side by side; any failure is a failure.
all() { local job; for job in "$@"; do wait "$job"; done; }

# ---- etcd: a static cluster of three with TLS, as a unit

ETCD_URLS=https://${IP[1]}:2379,https://${IP[2]}:2379,https://${IP[3]}:2379

# kubeadm makes etcd's certificates, as its guide to external etcd does it: one folder a member, one authority for all.
etcd_files() {
  local n
  for n in 1 2 3; do
    mkdir -p "h$n/etc/kubernetes/pki/etcd" "h$n/etc/systemd/system"
    cat > "h$n.etcd-certs.yaml" <<END
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
nodeRegistration: {name: h$n}
localAPIEndpoint: {advertiseAddress: ${IP[n]}}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: $K8S
encryptionAlgorithm: ECDSA-P256
certificatesDir: $HERE/h$n/etc/kubernetes/pki
END
    cat > "h$n/etc/systemd/system/etcd.service" <<END
[Unit]
Description=etcd
[Service]
Type=notify
ExecStart=/opt/bin/etcd --name h$n --data-dir /var/lib/etcd \
 --listen-client-urls https://${IP[n]}:2379,https://127.0.0.1:2379 --advertise-client-urls https://${IP[n]}:2379 \
 --listen-peer-urls https://${IP[n]}:2380 --initial-advertise-peer-urls https://${IP[n]}:2380 \
 --initial-cluster h1=https://${IP[1]}:2380,h2=https://${IP[2]}:2380,h3=https://${IP[3]}:2380 \
 --client-cert-auth --trusted-ca-file /etc/kubernetes/pki/etcd/ca.crt \
 --cert-file /etc/kubernetes/pki/etcd/server.crt --key-file /etc/kubernetes/pki/etcd/server.key \
 --peer-client-cert-auth --peer-trusted-ca-file /etc/kubernetes/pki/etcd/ca.crt \
 --peer-cert-file /etc/kubernetes/pki/etcd/peer.crt --peer-key-file /etc/kubernetes/pki/etcd/peer.key
Restart=always
[Install]
WantedBy=multi-user.target
END
  done
  "$KUBEADM" init phase certs etcd-ca --config h1.etcd-certs.yaml
  for n in 2 3; do cp -p h1/etc/kubernetes/pki/etcd/ca.* "h$n/etc/kubernetes/pki/etcd/"; done
  local jobs=()
  for n in 1 2 3; do
    for certificate in etcd-server etcd-peer apiserver-etcd-client; do
      "$KUBEADM" init phase certs "$certificate" --config "h$n.etcd-certs.yaml" & jobs+=($!)
    done
  done
  all "${jobs[@]}"
  # The authority's key stays here.
  rm h?/etc/kubernetes/pki/etcd/ca.key
}

# The unit would wait for a quorum, which the members are only together.
start_etcd() { on "$1" 'systemctl daemon-reload && systemctl enable --quiet etcd && systemctl start --no-block etcd'; }

etcd_is_healthy() {
  on 1 "until /opt/bin/etcdctl --endpoints $ETCD_URLS --cacert /etc/kubernetes/pki/etcd/ca.crt \
    --cert /etc/kubernetes/pki/apiserver-etcd-client.crt --key /etc/kubernetes/pki/apiserver-etcd-client.key \
    endpoint health >/dev/null 2>&1; do sleep 0.05; done"
}

# ---- the API's address: keepalived as a static pod, as kubeadm's guide to high availability does it, with short adverts

keepalived_files() {
  local n=$1 peers
  peers=$(for m in 1 2 3; do [ "$m" = "$n" ] || echo "    ${IP[m]}"; done)
  mkdir -p "h$n/etc/keepalived" "h$n/etc/kubernetes/manifests"
  cat > "h$n/etc/keepalived/check.sh" <<'END'
#!/bin/sh
exec timeout 1 bash -c '</dev/tcp/127.0.0.1/6443'
END
  chmod 755 "h$n/etc/keepalived/check.sh"
  cat > "h$n/etc/keepalived/keepalived.conf" <<END
global_defs {
  vrrp_version 3
  script_user root
  enable_script_security
}
vrrp_script api {
  script "/etc/keepalived/check.sh"
  interval 1
  fall 2
  rise 1
  weight 50
}
vrrp_instance api {
  state BACKUP
  interface eth0
  virtual_router_id 51
  priority 100
  advert_int 0.2
  unicast_src_ip ${IP[n]}
  unicast_peer {
$peers
  }
  virtual_ipaddress {
    $VIP/32 dev eth0
  }
  track_script {
    api
  }
}
END
  cat > "h$n/etc/kubernetes/manifests/keepalived.yaml" <<END
apiVersion: v1
kind: Pod
metadata: {name: keepalived, namespace: kube-system}
spec:
  hostNetwork: true
  priorityClassName: system-node-critical
  containers:
  - name: keepalived
    image: klusterkit.dev/keepalived:$KEEPALIVED
    imagePullPolicy: IfNotPresent
    command: [/usr/sbin/keepalived, --dont-fork, --log-console, --use-file, /etc/keepalived/keepalived.conf]
    securityContext: {capabilities: {add: [NET_ADMIN, NET_BROADCAST, NET_RAW]}}
    volumeMounts: [{name: config, mountPath: /etc/keepalived, readOnly: true}]
  volumes: [{name: config, hostPath: {path: /etc/keepalived, type: Directory}}]
END
}

# ---- kubeadm's configuration

# Of control plane $1; the first tokens are good for both ways of discovery.
init_configuration() {
  cat <<END
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: ${IP[$1]}}
certificateKey: $CERTIFICATE_KEY
bootstrapTokens: [{token: $TOKEN}]
nodeRegistration: {name: h$1, imagePullPolicy: IfNotPresent, ignorePreflightErrors: [SystemVerification]}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: $K8S
encryptionAlgorithm: ECDSA-P256
controlPlaneEndpoint: $VIP:6443
networking: {podSubnet: 10.244.0.0/16, serviceSubnet: 10.96.0.0/12}
etcd:
  external:
    endpoints: [${ETCD_URLS//,/, }]
    caFile: /etc/kubernetes/pki/etcd/ca.crt
    certFile: /etc/kubernetes/pki/apiserver-etcd-client.crt
    keyFile: /etc/kubernetes/pki/apiserver-etcd-client.key
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: systemd
failCgroupV1: false
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
conntrack: {maxPerCore: 0, min: 0}
END
}

# `kubeadm join` of host $1, a control plane if $2 says so, found by the token and the authority's digest $HASH.
join_configuration() {
  cat <<END
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery: {bootstrapToken: {token: $TOKEN, apiServerEndpoint: "$VIP:6443", caCertHashes: ["$HASH"]}}
nodeRegistration: {name: h$1, imagePullPolicy: IfNotPresent, ignorePreflightErrors: [SystemVerification]}
END
  if [ "${2-}" = control-plane ]; then
    echo "controlPlane: {certificateKey: $CERTIFICATE_KEY, localAPIEndpoint: {advertiseAddress: ${IP[$1]}}}"
  fi
}

random() { head -c "$1" /dev/urandom | od -An -tx1 | tr -d ' \n'; }
TOKEN=$(random 3).$(random 8)
CERTIFICATE_KEY=$(random 32)

# kubeadm keeps a Corefile that it finds; its own would make CoreDNS crash on hosts without a resolver.
COREFILE='.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    cache 30
    loop
    reload
    loadbalance
}'
export KUBECONFIG=/etc/kubernetes/admin.conf
coredns() {
  printf '%s\n' "$COREFILE" | on 1 "export KUBECONFIG=$KUBECONFIG
    kubectl --namespace kube-system create configmap coredns --from-file=Corefile=/dev/stdin &&
    kubeadm init phase addon coredns --config /root/init.yaml"
}
"#;
