//! flannel's manifest, edited as data.
//!
//! Upstream's objects stay what they are but for three things: the pod network; the API's address, since without it
//! flannel waits for kube-proxy, up to a minute; and a readiness probe that looks at once and often, since every pod
//! network that is up but not looked at costs seconds.

use std::net::IpAddr;

use api::yaml::{YamlError, split};
use serde_json::{Value, json};

use crate::cluster;

/// The manifest's objects in their order.
///
/// # Errors
/// When it is not YAML.
pub(crate) fn objects(text: &str) -> Result<Vec<Value>, YamlError> {
    split(text).iter().map(|part| part.parse()).collect()
}

/// The images that its DaemonSets run, in the order in which they are started, each once.
#[must_use]
pub(crate) fn images(objects: &[Value]) -> Vec<String> {
    let mut images = Vec::new();
    for object in objects.iter().filter(|object| is(object, "DaemonSet")) {
        for list in ["initContainers", "containers"] {
            let containers = object
                .pointer("/spec/template/spec")
                .and_then(|spec| spec.get(list));
            for container in containers.and_then(Value::as_array).into_iter().flatten() {
                if let Some(image) = container.get("image").and_then(Value::as_str)
                    && !images.iter().any(|known| known == image)
                {
                    images.push(image.to_owned());
                }
            }
        }
    }
    images
}

/// The objects for this cluster: `pod_subnet` as one network or two (IPv4 and IPv6, with a comma), the API at
/// `host` and `port`.
///
/// # Errors
/// What the manifest lacks, in words.
pub(crate) fn adapt(
    objects: &[Value],
    pod_subnet: &str,
    host: &str,
    port: u16,
) -> Result<Vec<Value>, String> {
    let mut objects = objects.to_vec();
    let mut networks = 0;
    for object in &mut objects {
        if let Some(text) = object
            .pointer("/data/net-conf.json")
            .and_then(Value::as_str)
        {
            let mut conf: Value = serde_json::from_str(text)
                .map_err(|error| format!("its net-conf.json is no JSON: {error}"))?;
            set_network(&mut conf, pod_subnet);
            object["data"]["net-conf.json"] = json!(format!("{conf:#}\n"));
            networks += 1;
        }
        if is(object, "DaemonSet") {
            set_api(object, host, port);
        }
    }
    if networks == 1 {
        Ok(objects)
    } else {
        Err(format!("it has {networks} net-conf.json, not one"))
    }
}

fn is(object: &Value, kind: &str) -> bool {
    object.get("kind").and_then(Value::as_str) == Some(kind)
}

fn set_network(conf: &mut Value, pod_subnet: &str) {
    for subnet in pod_subnet.split(',').map(str::trim) {
        let address: Option<IpAddr> = subnet
            .split('/')
            .next()
            .and_then(|address| address.parse().ok());
        if address.is_some_and(|address| address.is_ipv6()) {
            conf["IPv6Network"] = json!(subnet);
            conf["EnableIPv6"] = json!(true);
        } else {
            conf["Network"] = json!(subnet);
        }
    }
    if !pod_subnet.split(',').any(|subnet| !subnet.contains(':')) {
        conf["EnableIPv4"] = json!(false);
        if let Some(fields) = conf.as_object_mut() {
            fields.remove("Network");
        }
    }
}

fn set_api(daemon_set: &mut Value, host: &str, port: u16) {
    let containers = daemon_set
        .pointer_mut("/spec/template/spec/containers")
        .and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten() {
        let Some(container) = container.as_object_mut() else {
            continue;
        };
        let env = container.entry("env").or_insert_with(|| json!([]));
        if let Some(env) = env.as_array_mut() {
            for variable in cluster::api_environment(host, port) {
                env.retain(|known| known.get("name") != variable.get("name"));
                env.push(variable);
            }
        }
        if let Some(probe) = container
            .get_mut("readinessProbe")
            .and_then(Value::as_object_mut)
        {
            probe.insert("initialDelaySeconds".to_owned(), json!(0));
            probe.insert("periodSeconds".to_owned(), json!(1));
            probe.insert("failureThreshold".to_owned(), json!(30));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "\
---
kind: ConfigMap
apiVersion: v1
metadata: {name: kube-flannel-cfg, namespace: kube-flannel}
data:
  cni-conf.json: '{}'
  net-conf.json: |
    {\"Network\": \"10.244.0.0/16\", \"Backend\": {\"Type\": \"vxlan\"}}
---
kind: DaemonSet
apiVersion: apps/v1
metadata: {name: kube-flannel-ds, namespace: kube-flannel}
spec:
  template:
    spec:
      initContainers:
      - {name: install-cni-plugin, image: 'a:1'}
      - {name: install-cni, image: 'b:2'}
      containers:
      - name: kube-flannel
        image: 'b:2'
        env: [{name: KUBERNETES_SERVICE_HOST, value: old}]
        readinessProbe: {httpGet: {path: /readyz}, periodSeconds: 10}
";

    #[test]
    fn only_the_network_the_api_and_the_probe_are_changed() {
        let objects = objects(MANIFEST).unwrap();
        assert_eq!(images(&objects), ["a:1", "b:2"]);
        let adapted = adapt(&objects, "10.99.0.0/16,fd00:99::/56", "10.77.0.100", 6443).unwrap();
        insta::assert_snapshot!(api::yaml::to_string(&adapted[0]["data"]), @r#"
        cni-conf.json: "{}"
        net-conf.json: "{\n  \"Network\": \"10.99.0.0/16\",\n  \"Backend\": {\n    \"Type\": \"vxlan\"\n  },\n  \"IPv6Network\": \"fd00:99::/56\",\n  \"EnableIPv6\": true\n}\n"
        "#);
        let container = &adapted[1]["spec"]["template"]["spec"]["containers"][0];
        insta::assert_snapshot!(container["env"], @r#"[{"name":"KUBERNETES_SERVICE_HOST","value":"10.77.0.100"},{"name":"KUBERNETES_SERVICE_PORT","value":"6443"}]"#);
        insta::assert_snapshot!(container["readinessProbe"], @r#"{"httpGet":{"path":"/readyz"},"periodSeconds":1,"initialDelaySeconds":0,"failureThreshold":30}"#);
    }

    #[test]
    fn pods_may_have_ipv6_alone() {
        let objects = objects(MANIFEST).unwrap();
        let adapted = adapt(&objects, "fd00:99::/56", "fd00:77::100", 6443).unwrap();
        let conf: Value =
            serde_json::from_str(adapted[0]["data"]["net-conf.json"].as_str().unwrap()).unwrap();
        insta::assert_snapshot!(conf, @r#"{"EnableIPv4":false,"Backend":{"Type":"vxlan"},"IPv6Network":"fd00:99::/56","EnableIPv6":true}"#);
    }

    #[test]
    fn a_manifest_without_a_network_is_refused() {
        let objects = objects("kind: DaemonSet\napiVersion: apps/v1\n").unwrap();
        assert_eq!(
            adapt(&objects, "10.0.0.0/8", "a", 1).unwrap_err(),
            "it has 0 net-conf.json, not one"
        );
    }
}
