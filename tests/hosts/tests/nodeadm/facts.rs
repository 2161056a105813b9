//! Everything that makes up a control plane, as lines that can be compared: `where = what`. Files by kind, mode and owner,
//! and by what they say, not how they say it: certificates by their fields, manifests and kubeconfigs as the data they
//! are. Objects of the API without what the server adds. The host's own name and address stand as `HOST` and `ADDRESS`.

use std::collections::BTreeMap;
use std::time::SystemTime;

use hosts::Nodes;
use lab::Host;
use pki::Certificate;
use serde_json::Value;

/// The lines.
pub(crate) type Facts = BTreeMap<String, String>;

/// Below these is what runs, not what was set up.
const RESTLESS: [&str; 6] = [
    "/var/lib/kubelet/actuated_pods_state",
    "/var/lib/kubelet/allocated_pods_state",
    "/var/lib/kubelet/pods",
    "/var/lib/kubelet/plugins",
    "/var/lib/kubelet/device-plugins",
    "/var/lib/kubelet/checkpoints",
];

/// Objects that kubeadm makes, and what is looked at of each.
const OBJECTS: [(&[&str], &str); 9] = [
    (&["configmaps", "--namespace", "kube-system"], "data"),
    (&["configmaps", "--namespace", "kube-public"], "data"),
    (&["roles", "--all-namespaces"], "rules"),
    (&["rolebindings", "--all-namespaces"], ""),
    (&["clusterroles"], "rules"),
    (&["clusterrolebindings"], ""),
    (&["daemonsets", "--namespace", "kube-system"], "spec"),
    (&["deployments", "--namespace", "kube-system"], "spec"),
    (&["services", "--namespace", "kube-system"], "spec"),
];

/// Of a host with a control plane.
pub(crate) fn of(nodes: &Nodes, host: &Host) -> Facts {
    let mut facts = Collector {
        name: host.name().to_owned(),
        address: host.address().to_string(),
        facts: Facts::new(),
    };
    for top in ["/etc/kubernetes", "/var/lib/kubelet"] {
        facts.tree(host, top);
        let names = ["find", top, "-xdev", "-type", "f", "-size", "-256k"];
        for path in host.nsexec(names).unwrap().text().unwrap().lines() {
            if !RESTLESS.iter().any(|restless| path.starts_with(restless)) {
                let text = host.read(path).unwrap();
                facts.file(path, &text);
            }
        }
    }
    for (what, field) in OBJECTS {
        let list = nodes.get(host, what).unwrap();
        for object in list["items"].as_array().unwrap() {
            facts.object(object, field);
        }
    }
    let tokens = ["secrets", "--namespace", "kube-system"];
    let tokens = nodes.get(host, &tokens).unwrap();
    for secret in tokens["items"].as_array().unwrap() {
        facts.secret(secret);
    }
    let node = nodes.get(host, &["node", host.name()]).unwrap();
    for field in ["labels", "annotations"] {
        facts.value(&format!("Node {field}"), &node["metadata"][field]);
    }
    facts.value("Node spec", &node["spec"]);
    facts.facts
}

struct Collector {
    name: String,
    address: String,
    facts: Facts,
}

impl Collector {
    fn say(&mut self, place: &str, what: impl AsRef<str>) {
        let (place, what) = (self.plain(place), self.plain(what.as_ref()));
        self.facts.insert(place, what);
    }

    /// Without what is this host's alone. The name is replaced where it stands as a word.
    fn plain(&self, text: &str) -> String {
        let text = text.replace(&self.address, "ADDRESS");
        let mut plain = String::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find(&self.name) {
            let (before, after) = (&rest[..at], &rest[at + self.name.len()..]);
            let word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
            plain.push_str(before);
            let whole = !word(before.chars().next_back()) && !word(after.chars().next());
            plain.push_str(if whole { "HOST" } else { &self.name });
            rest = after;
        }
        plain + rest
    }

    fn tree(&mut self, host: &Host, top: &str) {
        let find = ["find", top, "-xdev", "-printf", "%p\\t%y %m %u:%g %l\\n"];
        let text = host.nsexec(find).unwrap().text().unwrap();
        for line in text.lines() {
            let (path, facts) = line.split_once('\t').unwrap();
            let below = |folder: &&str| path.len() > folder.len() && path.starts_with(*folder);
            if RESTLESS.iter().any(below) {
                continue;
            }
            // A certificate of the kubelet's is named by the time at which it was issued.
            let (path, facts) = (dated(path), dated(facts.trim_end()));
            self.say(&path, facts);
        }
    }

    fn file(&mut self, path: &str, text: &str) {
        let place = dated(path);
        let kubeconfig = path.ends_with(".conf") && text.contains("kind: Config");
        if text.contains("-----BEGIN") {
            self.pem(&place, text);
        } else if kubeconfig || path.ends_with(".yaml") {
            let value: Value = api::yaml::from_str(text).unwrap();
            self.value(&place, &value);
        } else if let Ok(value) = serde_json::from_str::<Value>(text) {
            self.value(&place, &value);
        } else {
            self.say(&format!("{place} text"), text.trim_end());
        }
    }

    /// What a PEM text holds, block by block.
    fn pem(&mut self, place: &str, text: &str) {
        for (n, block) in text.split("-----BEGIN ").skip(1).enumerate() {
            let kind = block.split("-----").next().unwrap_or_default().to_owned();
            let what = if kind == "CERTIFICATE" {
                certificate(format!("-----BEGIN {block}").as_bytes())
            } else {
                kind
            };
            self.say(&format!("{place} PEM {n}"), what);
        }
    }

    fn object(&mut self, object: &Value, field: &str) {
        let text = |pointer: &str| {
            object
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let (kind, namespace, name) = (
            text("/kind"),
            text("/metadata/namespace"),
            text("/metadata/name"),
        );
        // What the API server itself makes at its start is no business of kubeadm's; nor is the network's.
        let own = object
            .pointer("/metadata/labels/kubernetes.io~1bootstrapping")
            .is_some();
        if own || namespace == "kube-flannel" || name.contains("flannel") {
            return;
        }
        let place = format!("{kind} {namespace}/{name}");
        if field.is_empty() {
            for field in ["roleRef", "subjects"] {
                self.value(&format!("{place} {field}"), &object[field]);
            }
            return;
        }
        let mut value = object[field].clone();
        // The one field of a Service that is drawn by lot where nobody says it.
        if let Some(fields) = value.as_object_mut() {
            fields.retain(|name, _| !name.starts_with("jws-kubeconfig-"));
        }
        self.value(&place, &value);
    }

    /// A bootstrap token, by all but what is drawn by lot.
    fn secret(&mut self, secret: &Value) {
        if secret["type"] != "bootstrap.kubernetes.io/token" {
            return;
        }
        let text = |name: &str| {
            let data = secret["data"][name].as_str().unwrap_or_default();
            String::from_utf8_lossy(&from_base64(data)).into_owned()
        };
        let what = [
            "usage-bootstrap-signing",
            "usage-bootstrap-authentication",
            "auth-extra-groups",
        ]
        .map(|name| format!("{name}={}", text(name)))
        .join(" ");
        let about = text("description");
        self.say(&format!("token {about:?}"), what);
    }

    /// A line for each leaf. Texts that are documents themselves are taken apart, too.
    fn value(&mut self, place: &str, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    self.value(&format!("{place}.{key}"), value);
                }
            }
            Value::Array(items) => {
                for (n, item) in items.iter().enumerate() {
                    let name = item.get("name").and_then(Value::as_str);
                    let name = name.map_or_else(|| n.to_string(), str::to_owned);
                    // A command's flags are told apart by their names.
                    if let Some((flag, value)) = item.as_str().and_then(|item| item.split_once('='))
                        && flag.starts_with("--")
                    {
                        self.say(&format!("{place}[{flag}]"), value);
                    } else {
                        self.value(&format!("{place}[{name}]"), item);
                    }
                }
            }
            Value::String(text) => self.text(place, text),
            other => self.say(place, other.to_string()),
        }
    }

    fn text(&mut self, place: &str, text: &str) {
        if place.ends_with("-data") {
            let bytes = from_base64(text);
            return self.pem(place, &String::from_utf8_lossy(&bytes));
        }
        if text.contains("-----BEGIN") {
            return self.pem(place, text);
        }
        if text.contains("\nkind: ")
            && let Ok(value) = api::yaml::from_str::<Value>(text)
        {
            return self.value(&format!("{place}>"), &value);
        }
        self.say(place, text);
    }
}

/// `kubelet-client-2026-11-23-10-00-00.pem` as `kubelet-client-DATE.pem`.
fn dated(text: &str) -> String {
    const START: &str = "kubelet-client-2";
    match text.find(START) {
        Some(at) => format!("{}kubelet-client-DATE.pem", &text[..at]),
        None => text.to_owned(),
    }
}

fn certificate(pem: &[u8]) -> String {
    let certificate = Certificate::parse(pem).unwrap();
    let mut names: Vec<String> = certificate.sans.iter().map(ToString::to_string).collect();
    names.sort();
    let left = certificate
        .not_after
        .duration_since(SystemTime::now())
        .unwrap_or_default();
    // To the month: what was issued a minute ago ends a minute earlier.
    let months = (left.as_secs() + 15 * 86_400) / (30 * 86_400);
    let said = format!(
        "CN={} O={} of {}, names {}, {}{:?}, {months} months",
        certificate.common_name,
        certificate.organizations.join(","),
        certificate.issuer,
        names.join(" "),
        if certificate.is_ca { "authority " } else { "" },
        certificate.usage,
    );
    undated(&said)
}

/// Without the time in the names of the kubelet's own authority: `h1-ca@1795437913`.
fn undated(text: &str) -> String {
    let mut parts = text.split('@');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| {
        plain + "@TIME" + part.trim_start_matches(|c: char| c.is_ascii_digit())
    })
}

fn from_base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for digit in text.bytes() {
        let Some(value) = DIGITS.iter().position(|known| *known == digit) else {
            continue;
        };
        bits = bits << 6 | u32::try_from(value).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).unwrap());
        }
    }
    bytes
}
