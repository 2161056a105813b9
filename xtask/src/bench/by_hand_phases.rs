//! The best order by hand that is known: kubeadm's phases instead of its `init` and `join`, with the waits of one's own.
//!
//! Where it gains, each against the plain way on the same hosts:
//! - all authorities are made beforehand, so control planes need nothing from the first one: no upload of keys (0.4 s), no
//!   certificate key, no serial order;
//! - `kubeconfig kubelet` signs a control plane's client certificate at once, where `kubeadm join` has the kubelet
//!   bootstrap against its own API server, which is not up yet (8 s, 16 s when two share the processors);
//! - workers join with a discovery file: a token alone waits for the controller manager's signature (5 s);
//! - flannel gets the API's address, else it waits for kube-proxy (5-35 s); CoreDNS comes when the first node's network is
//!   up, else its sandbox fails and is tried again 10-15 s later;
//! - the other control planes start when the first API answers: on few processors three API servers that begin
//!   together take twice as long to the first answer as one alone. On hosts with processors of their own, all at once
//!   would be better still.

/// See the module; on prepared hosts.
pub(crate) const PHASES: &str = r#"
# All keys here, all files of a host in one stream, etcd at once.
authorities() {
  cat > authorities.yaml <<END
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: ${IP[1]}}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: $K8S
encryptionAlgorithm: ECDSA-P256
certificatesDir: $HERE/pki
END
  local jobs=()
  "$KUBEADM" init phase certs ca --config authorities.yaml & jobs+=($!)
  "$KUBEADM" init phase certs front-proxy-ca --config authorities.yaml & jobs+=($!)
  "$KUBEADM" init phase certs sa --config authorities.yaml & jobs+=($!)
  all "${jobs[@]}"
}
mkdir -p pki
authorities & a=$!
etcd_files & b=$!
all $a $b
CA=$(base64 -w0 < pki/ca.crt)
for n in 1 2 3; do
  cp -p pki/* "h$n/etc/kubernetes/pki/"
  keepalived_files "$n"
  mkdir -p "h$n/root"
  init_configuration "$n" > "h$n/root/init.yaml"
done
for n in 4 5; do
  mkdir -p "h$n/root"
  cat > "h$n/root/discovery.yaml" <<END
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://$VIP:6443", certificate-authority-data: $CA}}]
users: [{name: nobody, user: {}}]
contexts: [{name: c, context: {cluster: c, user: nobody}}]
current-context: c
END
  cat > "h$n/root/join.yaml" <<END
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery: {file: {kubeConfigPath: /root/discovery.yaml}, tlsBootstrapToken: $TOKEN}
nodeRegistration: {name: h$n, imagePullPolicy: IfNotPresent, ignorePreflightErrors: [SystemVerification]}
END
done
jobs=()
for n in 1 2 3; do { send "$n" && start_etcd "$n"; } & jobs+=($!); done
for n in 4 5; do send "$n" & jobs+=($!); done
all "${jobs[@]}"

# kubeadm's phases up to a running kubelet; what would be waited for inside is polled for here.
begin() {
  on "$1" 'for phase in "certs all" "kubeconfig all" "control-plane all" kubelet-start; do
      kubeadm init phase $phase --config /root/init.yaml || exit 1
    done'
}
answers() { until [ "$(curl -sk --max-time 1 "https://$1:6443/readyz")" = ok ]; do sleep 0.05; done; }
# A Node may be a moment later than its API server.
finish() {
  on "$1" 'until kubeadm init phase mark-control-plane --config /root/init.yaml; do sleep 0.2; done
    kubeadm init phase kubelet-finalize all --config /root/init.yaml'
}

begin 1
answers "$VIP"

# Now everything that needs an API, side by side.
jobs=()
other() { begin "$1"; answers "${IP[$1]}"; finish "$1"; }
network() {
  # The API's address, so that flannel does not wait for kube-proxy.
  sed "s/^\( *\)env:\$/&\n\1- {name: KUBERNETES_SERVICE_HOST, value: \"$VIP\"}\n\1- {name: KUBERNETES_SERVICE_PORT, value: \"6443\"}/" "$MANIFEST" |
    on 1 "kubectl --kubeconfig $KUBECONFIG apply -f -"
  on 1 'kubeadm init phase addon kube-proxy --config /root/init.yaml'
}
workers() {
  on 1 'kubeadm init phase upload-config all --config /root/init.yaml && kubeadm init phase bootstrap-token --config /root/init.yaml'
  on 4 'kubeadm join --config /root/join.yaml' & local four=$!
  on 5 'kubeadm join --config /root/join.yaml' & local five=$!
  all $four $five
}
dns() {
  on 1 "export KUBECONFIG=$KUBECONFIG
    until kubectl get nodes --no-headers 2>/dev/null | grep -qw Ready; do sleep 0.25; done"
  coredns
}
workers & jobs+=($!)
network & jobs+=($!)
other 2 & jobs+=($!)
other 3 & jobs+=($!)
finish 1 & jobs+=($!)
dns & jobs+=($!)
all "${jobs[@]}"
"#;
