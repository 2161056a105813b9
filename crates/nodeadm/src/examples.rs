//! Examples for the help of each verb.

pub(crate) const INIT: &str = "\
Examples:
  nodeadm init                                   this host alone, with the release that is in the store
  nodeadm init --config node.yaml --dry-run      say what would be changed
  nodeadm init --control-plane-endpoint 10.0.0.100 --cni none
  nodeadm init phase apply-dns                   a single phase";

pub(crate) const JOIN: &str = "\
Examples:
  nodeadm join --config -                        with the document that `nodeadm init` printed
  nodeadm join --config node.yaml --dry-run      say what would be changed
  nodeadm join --config - --ignore-preflight-errors swap,firewall";

pub(crate) const PREPARE: &str = "\
Examples:
  nodeadm prepare --config node.yaml             what init and join find done then";

pub(crate) const RESET: &str = "\
Examples:
  nodeadm reset                                  no flags: what is to be undone stands on the host
  nodeadm reset --dry-run                        say what would be changed";

pub(crate) const FENCE: &str = "\
Examples:
  nodeadm fence                                  the API server of this host never answers again, until init or join
  nodeadm fence --dry-run                        say what would be changed";

pub(crate) const STATUS: &str = "\
Examples:
  nodeadm status
  nodeadm status -o json";

pub(crate) const PREFLIGHT: &str = "\
Examples:
  nodeadm preflight --config node.yaml
  nodeadm preflight --ignore-preflight-errors swap,clock -o json";

pub(crate) const FACTS: &str = "\
Examples:
  nodeadm facts -o json";

pub(crate) const LIST: &str = "\
Examples:
  nodeadm list                                   components and images
  nodeadm list --images -o json";

pub(crate) const DOWNLOAD: &str = "\
Examples:
  nodeadm download --kubernetes-version v1.37.2 --trust-upstream
  nodeadm download --versions versions.yaml --mirror https://mirror.example.org";

pub(crate) const CONFIG: &str = "\
Examples:
  nodeadm config print --name a > node.yaml
  nodeadm config print --config node.yaml -o json";

pub(crate) const STORE: &str = "\
Examples:
  tar --create --directory bundle.oci . | nodeadm store receive
  nodeadm store missing < descriptors.json";

pub(crate) const FILES: &str = "\
Examples:
  nodeadm files list                             what a backup takes of this host, and what it does not
  nodeadm files save > h1.tar                    all Secrets can be read with it: keep it as a key
  nodeadm files put-back --dry-run < h1.tar";

pub(crate) const REHEARSE: &str = "\
Examples:
  age --decrypt --identity key prod.backup | ssh h1 nodeadm rehearse
  nodeadm rehearse -o json < opened.backup       as cctl backup verify has it done";

pub(crate) const TOKEN: &str = "\
Examples:
  nodeadm token create --ttl 15m                 a token alone
  nodeadm token create --print-join              the document for `nodeadm join --config -`
  nodeadm token delete abcdef";

pub(crate) const VERSION: &str = "\
Examples:
  nodeadm version --short";

pub(crate) const COMPLETION: &str = "\
Examples:
  nodeadm completion bash > /etc/bash_completion.d/nodeadm";
