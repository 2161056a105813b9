//! The best order by hand that is known to bring a lost control plane back from a snapshot, on hosts that were installed
//! anew with the same addresses, everything in place but what the cluster itself had.
//!
//! The admin has kept the snapshot and six files: both authorities and the service-account key. etcd gets an authority of
//! its own, since all of its members are new. Where it gains against what guides say (all members restored from a copy each,
//! then `kubeadm init` and `join`):
//! - the snapshot goes to one host alone; the two others join as learners, added together, so that neither waits for etcd's
//!   five seconds of health before it may catch up;
//! - certificates and kubeconfigs are made while the snapshot is on its way: they need no API;
//! - `kubeadm init phase …` over the saved keys instead of `kubeadm init`: nothing is applied that is in the snapshot;
//! - each API server speaks to its own host's member, so the first one waits for nobody;
//! - the revision is lifted above all that a client can have seen, and the older ones marked compacted: kubelets and
//!   controllers that stayed up list anew instead of waiting in silence. By the time, so that a second recovery from
//!   the same snapshot is above the first;
//! - the leases of dead leaders go as soon as the API answers (15 s), and workers' kubelets are restarted, which look again
//!   after half a minute otherwise.

/// See the module; on prepared hosts, with `snapshot.db` and `pki/` in the folder `kept` beside the admin's.
pub(crate) const RECOVERY: &str = r#"
on 1 'cat > /root/snapshot.db' < ../kept/snapshot.db & copying=$!

etcd_files
for n in 1 2 3; do
  sed -i 's/ --client-cert-auth/ --initial-cluster-state existing --max-learners 2 --quota-backend-bytes 8589934592&/' \
    "h$n/etc/systemd/system/etcd.service"
  cp -p ../kept/pki/* "h$n/etc/kubernetes/pki/"
  keepalived_files "$n"
  mkdir -p "h$n/root"
  init_configuration "$n" | sed 's|endpoints: .*|endpoints: ["https://127.0.0.1:2379"]|' > "h$n/root/init.yaml"
done
keys() {
  send "$1"
  on "$1" 'for phase in "certs all" "kubeconfig all"; do
      kubeadm init phase $phase --config /root/init.yaml || exit 1
    done'
}
jobs=()
for n in 1 2 3; do keys "$n" & jobs+=($!); done
all "${jobs[@]}" $copying

begin() {
  on "$1" 'for phase in "control-plane all" kubelet-start; do
      kubeadm init phase $phase --config /root/init.yaml || exit 1
    done'
}
answers() { until [ "$(curl -sk --max-time 1 "https://$1:6443/readyz")" = ok ]; do sleep 0.05; done; }

on 1 "/opt/bin/etcdutl snapshot restore /root/snapshot.db --data-dir /var/lib/etcd --name h1 \
  --initial-cluster h1=https://${IP[1]}:2380 --initial-advertise-peer-urls https://${IP[1]}:2380 \
  --bump-revision $(($(date +%s) * 100000)) --mark-compacted 2>&1"
start_etcd 1
begin 1
answers "$VIP"

# Now everything that needs an API, side by side.
ETCDCTL="/opt/bin/etcdctl --endpoints https://127.0.0.1:2379 --cacert /etc/kubernetes/pki/etcd/ca.crt \
  --cert /etc/kubernetes/pki/apiserver-etcd-client.crt --key /etc/kubernetes/pki/apiserver-etcd-client.key"
# In sync as soon as it has all data; and when the other one has just been promoted, etcd waits for its five seconds of health.
promote() {
  on 1 "id=\$($ETCDCTL member list | sed -n 's|^\([0-9a-f]*\), .*https://${IP[$1]}:2380.*|\1|p')
    until $ETCDCTL member promote \$id >/dev/null 2>&1; do sleep 0.1; done"
}
other() { start_etcd "$1"; promote "$1"; begin "$1"; answers "${IP[$1]}"; }
leases() {
  on 1 "kubectl --kubeconfig $KUBECONFIG --namespace kube-system delete lease kube-controller-manager kube-scheduler --ignore-not-found"
}
jobs=()
leases & jobs+=($!)
for n in 4 5; do on "$n" 'systemctl restart kubelet' & jobs+=($!); done
for n in 2 3; do on 1 "$ETCDCTL member add h$n --learner --peer-urls https://${IP[n]}:2380"; done
for n in 2 3; do other "$n" & jobs+=($!); done
all "${jobs[@]}"
"#;
