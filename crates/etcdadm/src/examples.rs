//! Examples for the help of each verb.

pub(crate) const INIT: &str = "\
Examples:
  etcdadm init                                   with the release that is the default
  etcdadm init --version v3.6.16 --name a --bind-address 10.0.0.1
  etcdadm init --config member.yaml --dry-run    say what would be changed
  etcdadm init --init-system kubelet             as a static pod, on a host that has a kubelet
  etcdadm init phase issue-certificates          a single phase";

pub(crate) const JOIN: &str = "\
Examples:
  etcdadm join https://10.0.0.1:2379             ca.crt and ca.key must be in /etc/etcd/pki
  etcdadm join 10.0.0.1 --expected-members 10.0.0.2,10.0.0.3
  etcdadm join 10.0.0.1 --ignore-preflight-errors clock,disk-room";

pub(crate) const RESET: &str = "\
Examples:
  etcdadm reset                                  leave the cluster, set the data aside, remove the rest
  etcdadm reset https://10.0.0.2:2379            ask this member, where the host's own cannot be asked
  etcdadm reset --skip-remove-member             the cluster is gone, or somebody else removes the member";

pub(crate) const INFO: &str = "\
Examples:
  etcdadm info -o json";

pub(crate) const STATUS: &str = "\
Examples:
  etcdadm status
  etcdadm status -o json";

pub(crate) const CONFIG: &str = "\
Examples:
  etcdadm config print > member.yaml
  etcdadm config diff --config member.yaml
  etcdadm config apply --config member.yaml      on one host after the other
  etcdadm config apply --client-port 3379 --dry-run";

pub(crate) const DOWNLOAD: &str = "\
Examples:
  etcdadm download --version v3.6.16
  etcdadm download --release-url https://mirror.example.org/etcd";

pub(crate) const COMPLETION: &str = "\
Examples:
  etcdadm completion bash > /etc/bash_completion.d/etcdadm";

pub(crate) const MEMBER: &str = "\
Examples:
  etcdadm member list
  etcdadm member remove c                        a dead member, from any other's host
  etcdadm member remove 8211f1d0f64f3269 --dry-run
  etcdadm member promote d                       a learner that a join left behind
  etcdadm member move-leader b --endpoint https://10.0.0.2:2379";

pub(crate) const COMPACT: &str = "\
Examples:
  etcdadm compact                                forget all history
  etcdadm compact --keep 10000                   but for the last revisions";

pub(crate) const DEFRAG: &str = "\
Examples:
  etcdadm defrag                                 every member that has much free space
  etcdadm defrag --member b
  etcdadm defrag --interrupt                     a cluster of one or two stands still meanwhile";

pub(crate) const ALARM: &str = "\
Examples:
  etcdadm alarm list
  etcdadm alarm disarm";

pub(crate) const MAINTAIN: &str = "\
Examples:
  etcdadm maintain                               compact, defragment, take quota alarms back
  etcdadm maintain --keep 10000 --dry-run";

pub(crate) const SNAPSHOT: &str = "\
Examples:
  etcdadm snapshot save /root/etcd.capsule
  etcdadm snapshot save /var/backups/etcd --keep-last 5 --keep-daily 14
  etcdadm snapshot save - | ssh backup 'cat > etcd.capsule'
  etcdadm snapshot save --raw /root/etcd.db      as etcdctl writes it
  etcdadm snapshot verify /root/etcd.capsule";

pub(crate) const RESTORE: &str = "\
Examples:
  etcdadm restore /root/etcd.capsule             then `etcdadm join` on the other hosts
  etcdadm restore /root/etcd.capsule --name d --bind-address 10.0.0.4
  etcdadm restore /root/etcd.db --etcd-version v3.6.16
  etcdadm restore /root/etcd.capsule --dry-run";

pub(crate) const RECOVER: &str = "\
Examples:
  etcdadm recover quorum --dry-run
  etcdadm recover quorum                         then `etcdadm join` on the other hosts
  etcdadm recover snapshot /root/etcd.capsule    for `etcdadm restore` or `cctl recover` elsewhere";

pub(crate) const CERTS: &str = "\
Examples:
  etcdadm certs check --days 60
  etcdadm certs renew                            those that have fewer than 120 days left
  etcdadm certs renew --all
  etcdadm certs csr                              requests for an authority elsewhere; then, with what it signed,
  etcdadm certs install /root/signed
  etcdadm certs rotate-ca trust                  then on the other hosts; then reissue on all, then finish on all";

pub(crate) const UPGRADE: &str = "\
Examples:
  etcdadm upgrade --version v3.7.3               on one host after the other
  etcdadm upgrade --version v3.7.3 --interrupt   a cluster of one";

pub(crate) const BACKUP: &str = "\
Examples:
  etcdadm backup schedule /var/backups/etcd --keep-last 24 --keep-daily 14
  etcdadm backup schedule /mnt/nas/etcd --every 15m --verify-every 6
  etcdadm backup cancel";

pub(crate) const DOWNGRADE: &str = "\
Examples:
  etcdadm downgrade --version v3.6.16            on one host after the other";
