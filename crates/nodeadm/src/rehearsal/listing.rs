//! Every object of every kind, asked of an API server: what it cannot read of etcd's data shows here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use api::Rehearsal;
use serde_json::Value;

use crate::Error;
use crate::cluster::{Cluster, ClusterError};
use crate::rehearse::POLL;

/// As many objects are asked for at once.
const AT_ONCE: usize = 200;
/// Written by the controller manager of the cluster, and by nobody in a rehearsal.
const ROOT_CA: &str = "/api/v1/namespaces/kube-system/configmaps/kube-root-ca.crt";
/// What is no kind in etcd: it is asked of the components as they run.
const OF_NOW: &str = "componentstatuses";
/// How long kinds that the cluster defines may take to be served.
const SERVED: Duration = Duration::from_secs(20);

/// Lists all.
///
/// # Errors
/// When the API server does not say which kinds there are.
pub(super) fn list(cluster: &dyn Cluster) -> Result<Rehearsal, Error> {
    let version = get(cluster, "/version")?;
    let mut seen = Rehearsal {
        kubernetes_version: text(&version, "/gitVersion"),
        ..Rehearsal::default()
    };
    let mut kinds = discover(cluster, &mut seen)?;
    kinds.extend(defined(cluster)?);
    if let Some(root) = cluster.get(ROOT_CA)? {
        seen.root_ca = text(&root, "/data/ca.crt");
    }
    for (kind, path) in kinds {
        match count(cluster, &path, (kind == "nodes").then_some(&mut seen.nodes)) {
            Ok(count) => drop(seen.kinds.insert(kind, count)),
            Err(error) => drop(seen.failed.insert(kind, error)),
        }
    }
    Ok(seen)
}

/// Paths by kind.
type Kinds = BTreeMap<String, String>;

fn discover(cluster: &dyn Cluster, seen: &mut Rehearsal) -> Result<Kinds, Error> {
    let mut kinds = Kinds::new();
    let elsewhere = elsewhere(cluster)?;
    let mut groups = vec![(String::new(), "/api/v1".to_owned())];
    for group in items(&get(cluster, "/apis")?, "/groups") {
        let version = text(&group, "/preferredVersion/groupVersion");
        groups.push((text(&group, "/name"), format!("/apis/{version}")));
    }
    for (group, path) in groups {
        if elsewhere.contains(&group) {
            seen.elsewhere.push(group);
            continue;
        }
        let resources = match get(cluster, &path) {
            Ok(list) => items(&list, "/resources"),
            Err(error) => {
                seen.failed.insert(group, error.to_string());
                continue;
            }
        };
        for resource in resources {
            let name = text(&resource, "/name");
            let listed = items(&resource, "/verbs").iter().any(|verb| verb == "list");
            if listed && !name.contains('/') && name != OF_NOW {
                kinds.insert(kind(&name, &group), format!("{path}/{name}"));
            }
        }
    }
    Ok(kinds)
}

fn kind(name: &str, group: &str) -> String {
    match group {
        "" => name.to_owned(),
        group => format!("{name}.{group}"),
    }
}

/// Groups that another server serves, through this one.
fn elsewhere(cluster: &dyn Cluster) -> Result<BTreeSet<String>, Error> {
    let services = get(cluster, "/apis/apiregistration.k8s.io/v1/apiservices")?;
    let other = |service: &&Value| {
        service
            .pointer("/spec/service")
            .is_some_and(Value::is_object)
    };
    let services = items(&services, "/items");
    Ok(services
        .iter()
        .filter(other)
        .map(|service| text(service, "/spec/group"))
        .collect())
}

/// The kinds that the cluster defines itself: they are served a moment later than others.
fn defined(cluster: &dyn Cluster) -> Result<Kinds, Error> {
    let list = get(
        cluster,
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    )?;
    let mut kinds = Kinds::new();
    let deadline = Instant::now() + SERVED;
    for definition in items(&list, "/items") {
        let (group, name) = (
            text(&definition, "/spec/group"),
            text(&definition, "/spec/names/plural"),
        );
        let served = items(&definition, "/spec/versions");
        let version = served.iter().find(|version| version["served"] == true);
        let Some(version) = version.map(|version| text(version, "/name")) else {
            continue;
        };
        let path = format!("/apis/{group}/{version}/{name}");
        while !matches!(cluster.get(&format!("{path}?limit=1")), Ok(Some(_)))
            && Instant::now() < deadline
        {
            std::thread::sleep(POLL);
        }
        kinds.insert(kind(&name, &group), path);
    }
    Ok(kinds)
}

/// How many there are of a kind; their names, where they are wanted.
fn count(
    cluster: &dyn Cluster,
    path: &str,
    mut names: Option<&mut Vec<String>>,
) -> Result<u64, String> {
    let (mut count, mut next) = (0, String::new());
    loop {
        let page = get(cluster, &format!("{path}?limit={AT_ONCE}&continue={next}"));
        let page = page.map_err(|error| error.to_string())?;
        let found = items(&page, "/items");
        count += found.len() as u64;
        if let Some(names) = &mut names {
            names.extend(found.iter().map(|item| text(item, "/metadata/name")));
        }
        next = text(&page, "/metadata/continue");
        if next.is_empty() {
            return Ok(count);
        }
    }
}

fn get(cluster: &dyn Cluster, path: &str) -> Result<Value, Error> {
    let missing = || ClusterError::Refused {
        method: "GET",
        url: path.to_owned(),
        status: 404,
        message: "not found".to_owned(),
    };
    Ok(cluster.get(path)?.ok_or_else(missing)?)
}

fn text(value: &Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default().to_owned()
}

fn items(value: &Value, pointer: &str) -> Vec<Value> {
    let found = value.pointer(pointer).and_then(Value::as_array);
    found.cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::change::ClusterChange;

    /// An API server with three kinds of its own, one that the cluster defines, and a group of another server's.
    struct Told;

    impl Cluster for Told {
        fn ready(&self, _: &str) -> Result<(), String> {
            Ok(())
        }

        fn get(&self, path: &str) -> Result<Option<Value>, ClusterError> {
            let (path, query) = path.split_once('?').unwrap_or((path, ""));
            let listed = |name: &str| json!({"name": name, "verbs": ["get", "list"]});
            let named = |name: &str| json!({"metadata": {"name": name}});
            Ok(Some(match (path, query.contains("continue=more")) {
                ("/version", _) => json!({"gitVersion": "v1.37.2"}),
                ("/api/v1", _) => {
                    json!({"resources": [listed("nodes"), listed("componentstatuses"), listed("secrets"), listed("pods/status"),
                    {"name": "bindings", "verbs": ["create"]}]})
                }
                ("/apis", _) => json!({"groups": [
                    {"name": "apps", "preferredVersion": {"groupVersion": "apps/v1"}},
                    {"name": "metrics.k8s.io", "preferredVersion": {"groupVersion": "metrics.k8s.io/v1"}}]}),
                ("/apis/apps/v1", _) => json!({"resources": [listed("deployments")]}),
                ("/apis/apiregistration.k8s.io/v1/apiservices", _) => json!({"items": [
                    {"spec": {"group": "apps"}}, {"spec": {"group": "metrics.k8s.io", "service": {"name": "m"}}}]}),
                ("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", _) => json!({"items": [
                    {"spec": {"group": "own.example", "names": {"plural": "things"},
                        "versions": [{"name": "v0", "served": false}, {"name": "v1", "served": true}]}}]}),
                ("/api/v1/nodes", false) => {
                    json!({"items": [named("h1")], "metadata": {"continue": "more"}})
                }
                ("/api/v1/nodes", true) => json!({"items": [named("h2")], "metadata": {}}),
                ("/api/v1/secrets", _) => {
                    return Err(ClusterError::Refused {
                        method: "GET",
                        url: path.to_owned(),
                        status: 500,
                        message: "no matching prefix found".to_owned(),
                    });
                }
                ("/apis/apps/v1/deployments" | "/apis/own.example/v1/things", _) => {
                    json!({"items": [{}, {}, {}]})
                }
                (ROOT_CA, _) => json!({"data": {"ca.crt": "PEM"}}),
                _ => return Ok(None),
            }))
        }

        fn change(&mut self, _: &ClusterChange) -> Result<(), ClusterError> {
            Ok(())
        }

        fn assume(&mut self, _: &str) {}

        fn assume_ready(&mut self, _: &str) {}
    }

    #[test]
    fn every_kind_is_counted_and_what_cannot_be_read_is_told() {
        let seen = list(&Told).unwrap();
        insta::assert_snapshot!(serde_json::to_string(&seen).unwrap(), @r#"{"kubernetesVersion":"v1.37.2","readyAfter":0,"kinds":{"deployments.apps":3,"nodes":2,"things.own.example":3},"nodes":["h1","h2"],"rootCa":"PEM","failed":{"secrets":"GET /api/v1/secrets was refused (500): no matching prefix found"},"elsewhere":["metrics.k8s.io"]}"#);
    }
}
