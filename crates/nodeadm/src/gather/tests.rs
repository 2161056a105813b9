//! What is taken of a control plane with everything that an API server can be told.

use std::path::Path;

use host::{Change, Host, Memory, Nothing, Overlay};

use super::*;

const API_SERVER: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: kube-apiserver, namespace: kube-system}
spec:
  containers:
  - name: kube-apiserver
    command:
    - kube-apiserver
    - --advertise-address=10.77.0.11
    - --encryption-provider-config=/etc/kubernetes/enc/enc.yaml
    - --audit-policy-file=/audit/policy.yaml
    - --audit-log-path=/var/log/audit/audit.log
    - --admission-control-config-file=/etc/kubernetes/admission/config.yaml
    - --oidc-ca-file=/etc/ssl/certs/corp.pem
    - --authentication-config=/etc/kubernetes/enc/missing.yaml
    - --client-ca-file=/etc/kubernetes/pki/ca.crt
    - --tls-private-key-file=/etc/kubernetes/pki/apiserver.key
    - --egress-selector-config-file=/image/egress.yaml
    volumeMounts:
    - {name: enc, mountPath: /etc/kubernetes/enc}
    - {name: audit, mountPath: /audit}
    - {name: admission, mountPath: /etc/kubernetes/admission}
    - {name: ssl, mountPath: /etc/ssl/certs}
    - {name: pki, mountPath: /etc/kubernetes/pki}
    - {name: log, mountPath: /var/log/audit}
  volumes:
  - {name: enc, hostPath: {path: /etc/kubernetes/enc}}
  - {name: audit, hostPath: {path: /srv/audit}}
  - {name: admission, hostPath: {path: /etc/kubernetes/admission}}
  - {name: ssl, hostPath: {path: /etc/ssl/certs}}
  - {name: pki, hostPath: {path: /etc/kubernetes/pki}}
  - {name: log, hostPath: {path: /var/log/audit}}
  - {name: data, hostPath: {path: /srv/data}}
  - {name: socket, hostPath: {path: /srv/none.sock}}
";

const ENCRYPTION: &str = "\
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - secretbox: {keys: [{name: k, secret: c2VjcmV0}]}
  - kms: {apiVersion: v2, name: vault, endpoint: unix:///run/kms.sock}
";

fn control_plane() -> Memory {
    let mut host: Memory = Overlay::new(Nothing);
    let mut put = |path: &str, mode: u32, content: &str| {
        let (path, content) = (path.into(), content.into());
        host.apply(&Change::WriteFile {
            path,
            mode,
            content,
        })
        .unwrap();
    };
    put(
        "/etc/kubernetes/manifests/kube-apiserver.yaml",
        0o600,
        API_SERVER,
    );
    put("/etc/kubernetes/manifests/.hidden.yaml", 0o600, "hidden");
    put(
        "/etc/kubernetes/manifests/mine.yaml",
        0o644,
        "metadata: {name: mine}\nspec: {containers: [{name: c, args: [/x]}]}\n",
    );
    put(
        "/etc/kubernetes/manifests/broken.yaml",
        0o644,
        "metadata: {name: [\n",
    );
    put("/etc/kubernetes/enc/enc.yaml", 0o600, ENCRYPTION);
    put("/etc/kubernetes/enc/old/enc.yaml", 0o640, "old");
    put("/srv/audit/policy.yaml", 0o644, "rules: []\n");
    put(
        "/etc/kubernetes/admission/config.yaml",
        0o600,
        "kind: AdmissionConfiguration\nplugins: [{name: W, path: webhook.yaml}]\n",
    );
    put(
        "/etc/kubernetes/admission/webhook.yaml",
        0o600,
        "kubeConfigFile: /etc/kubernetes/enc/webhook.conf\n",
    );
    put("/etc/kubernetes/enc/webhook.conf", 0o600, "a kubeconfig");
    put("/etc/ssl/certs/real.pem", 0o644, "corp");
    put("/etc/ssl/certs/other.pem", 0o644, "other");
    put("/etc/kubernetes/pki/ca.crt", 0o644, "ca");
    put("/etc/kubernetes/pki/apiserver.key", 0o600, "key");
    put("/etc/kubernetes/pki/mine.crt", 0o644, "mine");
    put("/var/log/audit/audit.log", 0o600, "said");
    put("/var/lib/nodeadm/kubeadm.json", 0o600, "{}");
    for number in 0..=FOLDER_COUNT {
        put(&format!("/srv/data/{number}"), 0o600, "x");
    }
    let link = Change::Link {
        path: "/etc/ssl/certs/corp.pem".into(),
        target: "real.pem".into(),
    };
    host.apply(&link).unwrap();
    host
}

#[test]
fn all_that_is_named_or_mounted_is_taken_or_told() {
    let host = control_plane();
    let found = gather(&host, "h1", &[]).unwrap();
    let mut text = String::new();
    for file in &found.index.files {
        let back = if file.put_back { "" } else { ", made anew" };
        text += &format!(
            "{} {:04o}: {}{back}\n",
            file.path.display(),
            file.mode,
            file.why
        );
    }
    text += "--\n";
    for left in &found.index.left_out {
        text += &format!("{}: {} ({})\n", left.path, left.what, left.why);
    }
    insta::assert_snapshot!(text, @r"
    /etc/kubernetes/manifests/broken.yaml 0644: a static pod
    /etc/kubernetes/manifests/kube-apiserver.yaml 0600: a control plane's static pod, made anew
    /etc/kubernetes/enc/enc.yaml 0600: --encryption-provider-config of kube-apiserver
    /srv/audit/policy.yaml 0644: --audit-policy-file of kube-apiserver
    /etc/kubernetes/admission/config.yaml 0600: --admission-control-config-file of kube-apiserver
    /etc/kubernetes/admission/webhook.yaml 0600: named in /etc/kubernetes/admission/config.yaml
    /etc/kubernetes/enc/webhook.conf 0600: named in /etc/kubernetes/admission/webhook.yaml
    /etc/ssl/certs/corp.pem 0644: --oidc-ca-file of kube-apiserver
    /etc/kubernetes/enc/old/enc.yaml 0640: mounted by kube-apiserver
    /etc/kubernetes/pki/mine.crt 0644: mounted by kube-apiserver
    /etc/kubernetes/manifests/mine.yaml 0644: a static pod
    /var/lib/nodeadm/kubeadm.json 0600: kubeadm's configuration, made anew
    --
    /etc/kubernetes/manifests/broken.yaml: what it names is not known: did not find expected node content (line 2, column 1) (a static pod)
    unix:///run/kms.sock: the key is with the KMS plugin vault: what it encrypted can be read with it alone (named in /etc/kubernetes/enc/enc.yaml)
    /etc/kubernetes/enc/missing.yaml: it is not there (--authentication-config of kube-apiserver)
    /srv/data: it holds more than configuration: above 500 files, or 16 MiB (mounted by kube-apiserver)
    ");
    assert_eq!(
        found.index.encryption,
        [Path::new("/etc/kubernetes/enc/enc.yaml")]
    );
    let of = |path: &str| {
        let at = found
            .index
            .files
            .iter()
            .position(|file| file.path == Path::new(path));
        found.contents[at.unwrap()].clone()
    };
    assert_eq!(of("/etc/ssl/certs/corp.pem"), b"corp");
    assert_eq!(of("/etc/kubernetes/enc/enc.yaml"), ENCRYPTION.as_bytes());
}

#[test]
fn what_the_admin_wants_is_taken_too() {
    let mut host: Memory = Overlay::new(Nothing);
    host.apply(&Change::file("/opt/own/a", "a")).unwrap();
    host.apply(&Change::file("/opt/own/b/c", "c")).unwrap();
    let found = gather(&host, "h1", &["/opt/own".into()]).unwrap();
    let paths: Vec<_> = found
        .index
        .files
        .iter()
        .map(|file| file.path.display().to_string())
        .collect();
    assert_eq!(paths, ["/opt/own/a", "/opt/own/b/c"]);
    let folders: Vec<_> = found
        .index
        .folders
        .iter()
        .map(|folder| folder.path.display().to_string())
        .collect();
    assert_eq!(folders, ["/opt", "/opt/own", "/opt/own/b"]);
    for missing in ["/opt/none", "opt/own", "/opt/../etc"] {
        assert!(gather(&host, "h1", &[missing.into()]).is_err(), "{missing}");
    }
}
