//! From hosts that have only sshd: copy, install, import, then kubeadm's init and all joins at once.
//!
//! That is what most admins with several hosts and no registry do: one archive of all images for every host, made once with
//! `ctr images export`, and kubeadm with its defaults. Five hosts are copied to and installed side by side; etcd and the first
//! control plane do not wait for the other hosts, each host joins when it has its images and the first API answers, all
//! side by side, by the token that `kubeadm init` printed.

/// See the module; on hosts with nothing on them.
pub(crate) const BARE: &str = r#"
GITHUB=$MIRROR/github.com
etcd_files
for n in 1 2 3; do keepalived_files "$n"; done
for n in 1 2 3 4 5; do
  mkdir -p "h$n/etc/containerd" "h$n/etc/systemd/system/kubelet.service.d" "h$n/etc/sysctl.d" "h$n/etc/modules-load.d"
  cat > "h$n/etc/containerd/config.toml" <<END
version = 3
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = 'registry.k8s.io/pause:$PAUSE'
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
SystemdCgroup = true
END
  cat > "h$n/etc/systemd/system/containerd.service" <<'END'
[Unit]
Description=containerd container runtime
After=network.target
[Service]
Type=notify
ExecStart=/usr/local/bin/containerd
KillMode=process
Delegate=yes
Restart=always
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
[Install]
WantedBy=multi-user.target
END
  cat > "h$n/etc/systemd/system/kubelet.service" <<'END'
[Unit]
Description=kubelet
After=containerd.service
[Service]
ExecStart=/usr/local/bin/kubelet
Restart=always
RestartSec=10
[Install]
WantedBy=multi-user.target
END
  cat > "h$n/etc/systemd/system/kubelet.service.d/10-kubeadm.conf" <<'END'
[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
ExecStart=
ExecStart=/usr/local/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS
END
  printf 'net.ipv4.ip_forward = 1\nnet.bridge.bridge-nf-call-iptables = 1\n' > "h$n/etc/sysctl.d/kubernetes.conf"
  printf 'overlay\nbr_netfilter\n' > "h$n/etc/modules-load.d/kubernetes.conf"
done

copy() {
  local etcd=()
  [ "$1" -gt 3 ] || etcd=(-C "$GITHUB/etcd-io/etcd/releases/download/$ETCD" "etcd-$ETCD-linux-$ARCH.tar.gz")
  tar -c \
    -C "$MIRROR/dl.k8s.io/release/$K8S/bin/linux/$ARCH" kubeadm kubelet kubectl \
    -C "$GITHUB/containerd/containerd/releases/download/v$CONTAINERD" "containerd-$CONTAINERD-linux-$ARCH.tar.gz" \
    -C "$GITHUB/opencontainers/runc/releases/download/$RUNC" "runc.$ARCH" \
    -C "$GITHUB/containernetworking/plugins/releases/download/$CNI" "cni-plugins-linux-$ARCH-$CNI.tgz" \
    "${etcd[@]}" -C "$(dirname "$IMAGES")" "$(basename "$IMAGES")" |
    on "$1" 'tar -x -C /root --no-same-owner'
  send "$1"
}

# etcd first: it has its quorum while images are imported.
install() {
  if [ "$1" -le 3 ]; then
    on "$1" "mkdir -p /opt/bin && tar -xzf /root/etcd-*.tar.gz -C /opt/bin --strip-components=1 --no-same-owner"
    start_etcd "$1"
  fi
  on "$1" "set -e
    cd /root
    chmod 755 kubeadm kubelet kubectl && mv kubeadm kubelet kubectl /usr/local/bin/
    tar -xzf containerd-*.tar.gz -C /usr/local
    install -m 755 runc.$ARCH /usr/local/sbin/runc
    mkdir -p /opt/cni/bin && tar -xzf cni-plugins-*.tgz -C /opt/cni/bin --no-same-owner
    modprobe -a overlay br_netfilter
    sysctl --quiet --load /etc/sysctl.d/kubernetes.conf
    systemctl daemon-reload
    systemctl enable --quiet --now containerd
    systemctl enable --quiet kubelet
    ctr --namespace k8s.io images import $(basename "$IMAGES") >/dev/null"
}

installs=(none)
for n in 1 2 3 4 5; do { copy "$n"; install "$n"; } & installs+=($!); done

wait "${installs[1]}"
etcd_is_healthy
init_configuration 1 | on 1 'cat > /root/init.yaml'
on 1 'kubeadm init --config /root/init.yaml --upload-certs --skip-phases=addon/coredns' | tee init.log
HASH=$(grep -o 'sha256:[0-9a-f]*' init.log | head -1)
all "${installs[@]:2}"

jobs=()
join() {
  local role=; [ "$1" -gt 3 ] || role=control-plane
  join_configuration "$1" "$role" | on "$1" 'cat > /root/join.yaml && kubeadm join --config /root/join.yaml'
}
for n in 2 3 4 5; do join "$n" & jobs+=($!); done
on 1 "kubectl --kubeconfig $KUBECONFIG apply -f -" < "$MANIFEST"
coredns
all "${jobs[@]}"
"#;
