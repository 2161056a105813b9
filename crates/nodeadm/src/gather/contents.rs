//! What a file of configuration names: other files, and a KMS that has a key.

use std::path::PathBuf;

use api::yaml;
use serde_json::Value;

/// No file of configuration that names others is larger.
const LIMIT: usize = 1 << 20;

/// Something that a file names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// What may be a path, as whoever reads the file sees it.
    Absolute(PathBuf),
    /// What may be a file beside this one.
    Relative(PathBuf),
    /// A KMS plugin of an EncryptionConfiguration.
    Kms {
        /// Its name.
        name: String,
        /// Where it listens.
        endpoint: String,
    },
}

/// All that `bytes` may name; nothing where they are neither YAML nor JSON.
pub(super) fn named(bytes: &[u8]) -> Vec<Named> {
    let mut found = Vec::new();
    let Ok(text) = std::str::from_utf8(bytes) else {
        return found;
    };
    if text.len() > LIMIT {
        return found;
    }
    for part in yaml::split(text) {
        let Ok(document) = part.parse::<Value>() else {
            continue;
        };
        if document["kind"] == "EncryptionConfiguration" {
            kms(&document, &mut found);
        }
        words(&document, &mut found);
    }
    found
}

fn kms(document: &Value, found: &mut Vec<Named>) {
    let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
    for resources in list(document, "resources") {
        for provider in list(&resources, "providers") {
            let text = |name: &str| {
                provider["kms"][name]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            if provider["kms"].is_object() {
                let (name, endpoint) = (text("name"), text("endpoint"));
                found.push(Named::Kms { name, endpoint });
            }
        }
    }
}

fn words(value: &Value, found: &mut Vec<Named>) {
    match value {
        Value::String(text) if text.len() <= 4096 && !text.contains(['\n', ' ']) => {
            let path = PathBuf::from(text);
            if path.is_absolute() {
                found.push(Named::Absolute(path));
            } else if text.contains(['.', '/']) && !text.contains("..") && !text.contains(':') {
                let plain = path.components().all(|part| part.as_os_str() != ".");
                if plain {
                    found.push(Named::Relative(path));
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| words(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| words(field, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_a_kms_are_found_wherever_they_stand() {
        let text = "\
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - kms: {apiVersion: v2, name: vault, endpoint: unix:///run/kms.sock}
  - identity: {}
---
plugins: [{name: x, path: other.yaml}, {path: /etc/a b}, {path: /etc/a}, {path: ../up.yaml}]
";
        let kms = Named::Kms {
            name: "vault".to_owned(),
            endpoint: "unix:///run/kms.sock".to_owned(),
        };
        let expected = [
            kms,
            Named::Relative("other.yaml".into()),
            Named::Absolute("/etc/a".into()),
        ];
        assert_eq!(named(text.as_bytes()), expected);
        assert!(named(b"\xff").is_empty());
        assert!(named(b"key: [").is_empty());
    }
}
