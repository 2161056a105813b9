//! The documents as JSON schemas, under `docs/schema`, and the pages that tell of their fields.
//!
//! Schemas are made from the types when tests run, so that no tool carries them. `SNAPSHOTS=overwrite cargo test -p api
//! schema` writes them anew.

use std::borrow::Cow;
use std::path::Path;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use crate::{
    API_VERSION, ClusterConfiguration, Credentials, Endpoint, EtcdConfiguration, NodeConfiguration,
    Role, Secret, Version,
};

/// A type that is written as text.
macro_rules! text {
    ($type:ty, $name:literal, $schema:tt) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

text!(Version, "Version", {"type": "string", "pattern": "^v?[0-9]+\\.[0-9]+\\.[0-9]+$"});
text!(Endpoint, "Endpoint", {"type": "string", "pattern": "^[^-:/\\s][^/\\s]*$"});
text!(Secret, "Secret", {"type": "string"});
text!(Role, "Role", {"type": "string", "enum": ["etcd", "master", "control-plane", "node", "worker"]});

fn schema<T: JsonSchema>(kind: &str) -> Value {
    let mut schema = SchemaGenerator::default()
        .into_root_schema_for::<T>()
        .to_value();
    for (field, value) in [("apiVersion", API_VERSION), ("kind", kind)] {
        schema["properties"][field]["const"] = value.into();
    }
    schema
}

fn docs() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs"))
}

fn is_kept(schema: &Value, name: &str) {
    let text = serde_json::to_string_pretty(schema).unwrap() + "\n";
    let file = snapbox::Data::read_from(&docs().join("schema").join(name), None);
    snapbox::Assert::new()
        .action_env("SNAPSHOTS")
        .eq(text, file.raw());
}

/// Every field's name, wherever it stands.
fn fields(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(map) => {
            if let Some(properties) = map.get("properties").and_then(Value::as_object) {
                found.extend(properties.keys().cloned());
            }
            map.values().for_each(|value| fields(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| fields(value, found)),
        _ => {}
    }
}

/// That a page's section tells of every field.
fn is_told(schema: &Value, page: &str, section: &str) {
    let text = std::fs::read_to_string(docs().join(page)).unwrap();
    let (_, rest) = text
        .split_once(&format!("\n### {section}\n"))
        .unwrap_or_else(|| panic!("{page} has no section {section}"));
    let section_text = rest.split("\n### ").next().unwrap_or(rest);
    let mut names = Vec::new();
    fields(schema, &mut names);
    // What only annotations of documents use is told where they are.
    names.retain(|name| name != "annotations");
    let told = |name: &String| {
        [
            format!("`{name}`"),
            format!(".{name}`"),
            format!("`{name}."),
            format!("`{name}[]."),
        ]
        .iter()
        .any(|text| section_text.contains(text))
    };
    let missing: Vec<_> = names.iter().filter(|name| !told(name)).collect();
    assert!(
        missing.is_empty(),
        "{page}, {section}: nothing of {missing:?}"
    );
}

#[test]
fn the_cluster_s_schema_is_kept_and_told() {
    let schema = schema::<ClusterConfiguration>("ClusterConfiguration");
    is_told(&schema, "cctl.md", "ClusterConfiguration");
    is_kept(&schema, "cluster-configuration.json");
}

#[test]
fn the_member_s_schema_is_kept_and_told() {
    let schema = schema::<EtcdConfiguration>("EtcdConfiguration");
    is_told(&schema, "etcdadm.md", "EtcdConfiguration");
    is_kept(&schema, "etcd-configuration.json");
}

#[test]
fn the_node_s_schema_is_kept_and_told() {
    let schema = schema::<NodeConfiguration>("NodeConfiguration");
    is_told(&schema, "nodeadm.md", "NodeConfiguration");
    is_kept(&schema, "node-configuration.json");
}

#[test]
fn the_credentials_schema_is_kept_and_told() {
    let schema = schema::<Credentials>("Credentials");
    is_told(&schema, "etcdadm.md", "Credentials");
    is_told(&schema, "nodeadm.md", "Credentials");
    is_kept(&schema, "credentials.json");
}
