//! Where a kubeconfig leads: the one server that its first cluster names.

use api::yaml::YamlError;
use serde_json::{Value, json};

const SERVER: &str = "/clusters/0/cluster/server";

/// The same kubeconfig with `https://{right}` as its server, where it names one that is not among `good` (each as
/// `HOST:PORT`); `None` where it does, or names none.
///
/// # Errors
/// When it is no YAML.
pub(crate) fn pointed_at(
    text: &str,
    right: &str,
    good: &[&str],
) -> Result<Option<String>, YamlError> {
    let mut config: Value = api::yaml::from_str(text)?;
    let Some(server) = config.pointer_mut(SERVER) else {
        return Ok(None);
    };
    let is = |at: &&str| server.as_str() == Some(&format!("https://{at}"));
    if server.as_str().is_none() || good.iter().chain([&right]).any(is) {
        return Ok(None);
    }
    *server = json!(format!("https://{right}"));
    Ok(Some(api::yaml::to_string(&config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
apiVersion: v1
clusters:
- cluster:
    certificate-authority: /var/run/secrets/ca.crt
    server: https://10.77.0.100:6443
  name: default
";

    #[test]
    fn only_another_server_is_changed() {
        let at = |right: &str, good: &[&str]| pointed_at(TEXT, right, good).unwrap();
        assert_eq!(at("10.77.0.100:6443", &[]), None);
        assert_eq!(at("10.77.0.101:6443", &["10.77.0.100:6443"]), None);
        let text = at("10.77.0.101:6443", &["10.77.0.11:6443"]).unwrap();
        let changed: Value = api::yaml::from_str(&text).unwrap();
        let mut expected: Value = api::yaml::from_str(TEXT).unwrap();
        expected["clusters"][0]["cluster"]["server"] = json!("https://10.77.0.101:6443");
        assert_eq!(changed, expected);
        assert_eq!(pointed_at("clusters: []\n", "a:1", &[]).unwrap(), None);
    }
}
