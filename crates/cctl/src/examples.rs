//! Examples for the help of each verb.

pub(crate) const APPLY: &str = "\
Examples:
  cctl apply -f cluster.yaml --bundle bundle.tar --accept-new-host-keys    the first time
  cctl apply -f cluster.yaml                     make it so again; changes nothing where all is right
  cctl apply                                     what the state says, on any machine that has it
  cctl apply -f cluster.yaml --dry-run           the same as cctl plan
  cctl apply -f cluster.yaml -o json 2> log      progress as one JSON object a line";

pub(crate) const PLAN: &str = "\
Examples:
  cctl plan -f cluster.yaml --bundle bundle.tar
  cctl plan -o json                              the steps, and what each waits for";

pub(crate) const CREATE: &str = "\
Examples:
  cctl create cluster -f cluster.yaml --bundle bundle.tar
  cctl create machine --ip 10.0.0.14 --role node --bundle bundle.tar";

pub(crate) const CREATE_CLUSTER: &str = "\
Examples:
  cctl create cluster -f cluster.yaml --bundle bundle.tar --accept-new-host-keys
  cctl create cluster --vip 10.0.0.100 --name prod --user admin    only its state; machines follow";

pub(crate) const CREATE_MACHINE: &str = "\
Examples:
  cctl create machine --ip 10.0.0.11 --role master --bundle bundle.tar --accept-new-host-keys
  cctl create machine --ip 10.0.0.14 --role node --label disk=ssd --dry-run";

pub(crate) const DELETE: &str = "\
Examples:
  cctl delete machine --ip 10.0.0.14
  cctl delete cluster --yes";

pub(crate) const DELETE_MACHINE: &str = "\
Examples:
  cctl delete machine --ip 10.0.0.14             its pods are evicted first
  cctl delete machine --ip 10.0.0.12 --force     it is gone for good: only the cluster forgets it
  cctl delete machine --ip 10.0.0.12 --dry-run";

pub(crate) const DELETE_CLUSTER: &str = "\
Examples:
  cctl delete cluster --dry-run
  cctl delete cluster --yes                      etcd's data stays on the hosts, set aside";

pub(crate) const GET: &str = "\
Examples:
  cctl get machine
  cctl get kubeconfig --file ~/.kube/config";

pub(crate) const GET_CLUSTER: &str = "\
Examples:
  cctl get cluster
  cctl get cluster -o yaml                       as objects of the Cluster API";

pub(crate) const GET_MACHINE: &str = "\
Examples:
  cctl get machine
  cctl get machine --ip 10.0.0.14 -o json";

pub(crate) const GET_KUBECONFIG: &str = "\
Examples:
  cctl get kubeconfig --file ~/.kube/config
  cctl get kubeconfig --identity ~/.ssh/id_ed25519 > kubeconfig";

pub(crate) const STATUS: &str = "\
Examples:
  cctl status                                    exits with 0 when all is well, with 4 when a host is not reached
  cctl status -o json";

pub(crate) const SNAPSHOT: &str = "\
Examples:
  cctl snapshot etcd etcd.snapshot               opens with the admins' keys, as the state does";

pub(crate) const BACKUP: &str = "\
Examples:
  cctl backup prod.backup                        etcd, the state, the files that static pods name and mount
  cctl backup prod.backup --include /etc/haproxy
  cctl backup verify prod.backup                 a backup that was never restored is a hope";

pub(crate) const BACKUP_VERIFY: &str = "\
Examples:
  cctl backup verify prod.backup
  cctl backup verify prod.backup --offline       the file alone; no host is asked";

pub(crate) const RESTORE: &str = "\
Examples:
  cctl restore prod.backup --identity ~/.ssh/id_ed25519
  cctl restore prod.backup --state elsewhere.yaml";

pub(crate) const STATE: &str = "\
Examples:
  cctl state pull --from admin@10.0.0.11 --identity ~/.ssh/id_ed25519 --accept-new-host-keys
  cctl state recipients add ~/colleague.pub";

pub(crate) const RECIPIENTS: &str = "\
Examples:
  cctl state recipients list
  cctl state recipients add ~/colleague.pub
  cctl state recipients add age1qxyz…                           a key on paper, in a safe
  cctl state recipients remove colleague@laptop";

pub(crate) const RECOVER: &str = "\
Examples:
  cctl recover --snapshot etcd.snapshot --dry-run               what would be done
  cctl recover --snapshot etcd.snapshot --yes                   on the same hosts
  cctl recover --snapshot etcd.snapshot --yes --bundle b.tar    on hosts that were installed anew
  cctl recover --snapshot etcd.snapshot --yes --bundle b.tar \\
      --replace 10.0.0.11=10.0.0.21 --dead 10.0.0.11            on another host
  cctl recover --snapshot etcd.snapshot --yes --endpoint 10.0.0.200
                                                                with another address for the API
  cctl recover --snapshot etcd.snapshot --yes --dead 10.0.0.12  without one that never comes back
  cctl recover --from-member 10.0.0.13 --yes --dead 10.0.0.11 --dead 10.0.0.12
                                                                of one member's disk, no snapshot
  cctl recover --from-backup prod.backup --yes --bundle b.tar   with the files of the control planes, too
  cctl recover machine 10.0.0.12 --bundle b.tar                 one host, while the others go on";

pub(crate) const FENCE: &str = "\
Examples:
  cctl fence --watch                             until every old control plane came back and was stopped
  cctl fence                                     those that are back now
  cctl fence --dry-run                           what would be done
  cctl fence --forget 10.0.0.12                  its disk is destroyed: it is looked for no more";

pub(crate) const RECOVER_MACHINE: &str = "\
Examples:
  cctl recover machine 10.0.0.12 --bundle b.tar --accept-new-host-keys   installed anew
  cctl recover machine 10.0.0.12                                         its disk and its keys are the same
  cctl recover machine 10.0.0.12 --replaced-by 10.0.0.22 --bundle b.tar --accept-new-host-keys";

pub(crate) const INSPECT: &str = "\
Examples:
  cctl bundle inspect bundle.tar
  cctl bundle inspect bundle.tar -o json";

pub(crate) const VERIFY: &str = "\
Examples:
  cctl bundle verify bundle.tar";

pub(crate) const UNPACK: &str = "\
Examples:
  cctl bundle unpack bundle.tar unpacked";

pub(crate) const FORGET: &str = "\
Examples:
  cctl forget-host-key 10.0.0.14 && cctl apply --accept-new-host-keys";

pub(crate) const VERSION: &str = "\
Examples:
  cctl version --short";

pub(crate) const COMPLETION: &str = "\
Examples:
  cctl completion bash > /etc/bash_completion.d/cctl";

pub(crate) const VERSIONS: &str = "\
Examples:
  cctl bundle versions --kubernetes-version v1.36.3 > versions.yaml";

pub(crate) const BUNDLE: &str = "\
Examples:
  cctl bundle create -f versions.yaml bundle.tar
  cctl bundle verify bundle.tar";
