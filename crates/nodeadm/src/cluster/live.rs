//! The cluster itself, over HTTPS.

use std::cell::OnceCell;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use host::Inspect;
use serde_json::Value;
use ureq::Agent;
use ureq::http::Response;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use super::{Cluster, ClusterError};
use crate::change::ClusterChange;
use crate::paths;

/// Who owns the fields that nodeadm applies.
const MANAGER: &str = "klusterkit";
/// Largest answer that is read.
const LIMIT: u64 = 16 << 20;
/// How long a request may take.
const REQUEST: Duration = Duration::from_secs(15);
/// How long a look at `/readyz` may take.
const LOOK: Duration = Duration::from_secs(2);

/// The cluster, through the API server of this host.
pub struct Live {
    files: host::Local,
    at: String,
    agent: OnceCell<Agent>,
    looker: OnceCell<Agent>,
}

impl Live {
    /// Through the API server at `HOST:PORT`, with the certificates below `root`.
    #[must_use]
    pub fn new(root: &Path, at: String) -> Self {
        Self {
            files: host::Local::new(root),
            at,
            agent: OnceCell::new(),
            looker: OnceCell::new(),
        }
    }

    /// An agent that identifies itself as the admin, once a kubeconfig is there.
    fn agent(&self) -> Result<Option<&Agent>, ClusterError> {
        if let Some(agent) = self.agent.get() {
            return Ok(Some(agent));
        }
        for name in ["super-admin.conf", "admin.conf"] {
            let path = Path::new(paths::KUBERNETES).join(name);
            if let Some(text) = self.files.read_text(&path)? {
                let tls = tls_of_kubeconfig(&path, &text)?;
                return Ok(Some(self.agent.get_or_init(|| agent(tls, REQUEST))));
            }
        }
        Ok(None)
    }

    fn admin(&self) -> Result<&Agent, ClusterError> {
        self.agent()?.ok_or_else(|| ClusterError::Config {
            path: Path::new(paths::KUBERNETES).join("admin.conf"),
            what: "it is not there".to_owned(),
        })
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.at)
    }
}

impl Cluster for Live {
    fn ready(&self, at: &str) -> Result<(), String> {
        let agent = match self.looker.get() {
            Some(agent) => agent,
            None => {
                let tls = trust(&self.files, &Path::new(paths::PKI).join("ca.crt"))
                    .map_err(|e| e.to_string())?;
                self.looker.get_or_init(|| agent(tls, LOOK))
            }
        };
        look_with(agent, at, "/readyz")
    }

    fn get(&self, path: &str) -> Result<Option<Value>, ClusterError> {
        let Some(agent) = self.agent()? else {
            return Ok(None);
        };
        let url = self.url(path);
        let answer = agent.get(&url).call();
        let Some(bytes) = body("GET", &url, answer)? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| ClusterError::Answer { url, source })
    }

    fn change(&mut self, change: &ClusterChange) -> Result<(), ClusterError> {
        let url = self.url(change.path());
        let agent = self.admin()?;
        match change {
            ClusterChange::Apply { object, .. } => {
                let url = format!("{url}?fieldManager={MANAGER}&force=true");
                let request = agent
                    .patch(&url)
                    .content_type("application/apply-patch+yaml");
                found("PATCH", &url, request.send(object.bytes()))
            }
            ClusterChange::Merge { patch, .. } => {
                let url = format!("{url}?fieldManager={MANAGER}");
                let request = agent
                    .patch(&url)
                    .content_type("application/merge-patch+json");
                found("PATCH", &url, request.send(patch.bytes()))
            }
            // What is gone already is as it should be.
            ClusterChange::Delete { .. } => {
                body("DELETE", &url, agent.delete(&url).call()).map(drop)
            }
        }
    }

    fn assume(&mut self, _: &str) {}

    fn assume_ready(&mut self, _: &str) {}
}

/// Whether the API server at `https://HOST:PORT` answers GET `path`, its certificate being one of the authority in the
/// file `ca`. A refusal counts as an answer: the server lives.
///
/// # Errors
/// What was seen instead, in words.
pub fn look(at: &str, path: &str, ca: &Path, limit: Duration) -> Result<(), String> {
    let tls = trust(&host::Local::new("/"), ca).map_err(|e| e.to_string())?;
    match look_with(&agent(tls, limit), at, path) {
        Err(seen) if seen.ends_with("says 401") || seen.ends_with("says 403") => Ok(()),
        other => other,
    }
}

fn look_with(agent: &Agent, at: &str, path: &str) -> Result<(), String> {
    match agent.get(&format!("https://{at}{path}")).call() {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("{path} says {}", answer.status().as_u16())),
        Err(error) => Err(error.to_string()),
    }
}

fn agent(tls: TlsConfig, limit: Duration) -> Agent {
    Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(limit))
        .http_status_as_error(false)
        .proxy(None)
        .max_redirects(0)
        .build()
        .into()
}

/// The body of a successful answer, `None` for 404.
fn body(
    method: &'static str,
    url: &str,
    answer: Result<Response<ureq::Body>, ureq::Error>,
) -> Result<Option<Vec<u8>>, ClusterError> {
    let request = |source| ClusterError::Request {
        method,
        url: url.to_owned(),
        source: Box::new(source),
    };
    let mut answer = answer.map_err(request)?;
    let status = answer.status().as_u16();
    let bytes = answer
        .body_mut()
        .with_config()
        .limit(LIMIT)
        .read_to_vec()
        .map_err(request)?;
    match status {
        200..=299 => Ok(Some(bytes)),
        404 => Ok(None),
        _ => Err(ClusterError::Refused {
            method,
            url: url.to_owned(),
            status,
            message: message(&bytes),
        }),
    }
}

/// As [`body`], for what must be there.
fn found(
    method: &'static str,
    url: &str,
    answer: Result<Response<ureq::Body>, ureq::Error>,
) -> Result<(), ClusterError> {
    match body(method, url, answer)? {
        Some(_) => Ok(()),
        None => Err(ClusterError::Refused {
            method,
            url: url.to_owned(),
            status: 404,
            message: "not found".to_owned(),
        }),
    }
}

/// The server's own words, out of a `Status` object where it is one.
fn message(bytes: &[u8]) -> String {
    let status: Option<Value> = serde_json::from_slice(bytes).ok();
    let words = status
        .as_ref()
        .and_then(|status| status.get("message"))
        .and_then(Value::as_str);
    let words = words.map_or_else(
        || String::from_utf8_lossy(bytes).into_owned(),
        str::to_owned,
    );
    words.chars().take(500).collect()
}

fn fault(path: &Path, what: impl Into<String>) -> ClusterError {
    ClusterError::Config {
        path: path.to_owned(),
        what: what.into(),
    }
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<Certificate<'static>>, ClusterError> {
    let mut found = Vec::new();
    for item in parse_pem(pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|e| fault(path, e.to_string()))? {
            found.push(certificate);
        }
    }
    if found.is_empty() {
        Err(fault(path, "it has no certificate"))
    } else {
        Ok(found)
    }
}

fn trust(files: &host::Local, ca: &Path) -> Result<TlsConfig, ClusterError> {
    let pem = files
        .read(ca, 1 << 20)?
        .ok_or_else(|| fault(ca, "it is not there"))?;
    let roots = RootCerts::new_with_certs(&certificates(ca, &pem)?);
    Ok(TlsConfig::builder().root_certs(roots).build())
}

/// The certificates of a kubeconfig's first cluster and user, embedded or in files.
fn tls_of_kubeconfig(path: &Path, text: &str) -> Result<TlsConfig, ClusterError> {
    let config: Value = api::yaml::from_str(text).map_err(|e| fault(path, e.to_string()))?;
    let pem = |pointer: &str, name: &str| -> Result<Vec<u8>, ClusterError> {
        let text = config.pointer(pointer).and_then(Value::as_str);
        let text = text.ok_or_else(|| fault(path, format!("it has no {name}")))?;
        STANDARD
            .decode(text)
            .map_err(|_| fault(path, format!("its {name} is no base64")))
    };
    let ca = pem(
        "/clusters/0/cluster/certificate-authority-data",
        "certificate-authority-data",
    )?;
    let certificate = pem(
        "/users/0/user/client-certificate-data",
        "client-certificate-data",
    )?;
    let key = pem("/users/0/user/client-key-data", "client-key-data")?;
    let key = PrivateKey::from_pem(&key).map_err(|e| fault(path, e.to_string()))?;
    let client = ClientCert::new_with_certs(&certificates(path, &certificate)?, key);
    let roots = RootCerts::new_with_certs(&certificates(path, &ca)?);
    Ok(TlsConfig::builder()
        .root_certs(roots)
        .client_cert(Some(client))
        .build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_words_are_kept_short() {
        assert_eq!(
            message(br#"{"kind":"Status","message":"no such thing"}"#),
            "no such thing"
        );
        assert_eq!(message(&[b'x'; 2000]).len(), 500);
    }

    #[test]
    fn without_a_kubeconfig_there_is_nothing_yet() {
        let root = tempfile::tempdir().unwrap();
        let live = Live::new(root.path(), "127.0.0.1:1".to_owned());
        assert_eq!(live.get("/api/v1/nodes/h1").unwrap(), None);
        assert_eq!(
            live.ready("127.0.0.1:1").unwrap_err(),
            "/etc/kubernetes/pki/ca.crt is at fault: it is not there"
        );
    }

    #[test]
    fn a_broken_kubeconfig_is_named() {
        let path = Path::new("/etc/kubernetes/admin.conf");
        let error = |text: &str| tls_of_kubeconfig(path, text).unwrap_err().to_string();
        assert_eq!(
            error("clusters: []\n"),
            "/etc/kubernetes/admin.conf is at fault: it has no certificate-authority-data"
        );
        assert_eq!(
            error("clusters: [{cluster: {certificate-authority-data: '%'}}]\n"),
            "/etc/kubernetes/admin.conf is at fault: its certificate-authority-data is no base64"
        );
    }
}
