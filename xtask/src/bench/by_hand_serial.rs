//! Plain kubeadm, one host after the other, as its guide to high availability has it: the commands an admin types in the
//! order in which they are read there.
//!
//! Why this is a fair best for that way: etcd's three members are begun at once, which is the fastest way to three of them
//! (nobody joins), and it saves kubeadm the growth of a stacked etcd; keys are uploaded by `--upload-certs`, so nothing is
//! copied between control planes; flannel is applied as soon as there is an API; and nobody waits for a host to be Ready
//! before joining the next.

/// See the module; on prepared hosts.
pub(crate) const SERIAL: &str = r#"
# etcd
etcd_files
for n in 1 2 3; do
  keepalived_files "$n"
  send "$n"
  start_etcd "$n"
done
etcd_is_healthy

# The first control plane
init_configuration 1 | on 1 'cat > /root/init.yaml'
on 1 'kubeadm init --config /root/init.yaml --upload-certs --skip-phases=addon/coredns' | tee init.log
HASH=$(grep -o 'sha256:[0-9a-f]*' init.log | head -1)
on 1 "kubectl --kubeconfig $KUBECONFIG apply -f -" < "$MANIFEST"
coredns

# The others, one after the other
for n in 2 3; do
  join_configuration "$n" control-plane | on "$n" 'cat > /root/join.yaml && kubeadm join --config /root/join.yaml'
done
for n in 4 5; do
  join_configuration "$n" | on "$n" 'cat > /root/join.yaml && kubeadm join --config /root/join.yaml'
done
"#;
