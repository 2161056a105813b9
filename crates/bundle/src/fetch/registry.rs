//! As much of a registry's protocol as fetching an image takes (OCI distribution specification 1.1): manifests and blobs
//! by GET, anonymous tokens, and the choice of a platform in an image index.
//!
//! Nothing is pushed, no password is known. Entry points: [`Reference`], [`Registry::manifest`], [`Registry::blob`].

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Mutex;

use host::Digest;
use serde::Deserialize;

use super::http::{Header, Http, HttpError, read_document, success};
use crate::ProgressFn;
use crate::oci::{self, Descriptor, Index, MAX_DOCUMENT};

/// An image cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It cannot be fetched.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The registry wants to know who asks.
    #[error("{url}: the registry wants a login, and offers no anonymous token")]
    Login {
        /// The address.
        url: String,
    },
    /// A manifest or a token is not what it should be.
    #[error("{url} is malformed")]
    Malformed {
        /// The address.
        url: String,
        /// The cause.
        source: serde_json::Error,
    },
    /// A manifest is of a kind that nobody knows.
    #[error("{url} is of the unknown type {media_type:?}")]
    MediaType {
        /// The address.
        url: String,
        /// The type that was said.
        media_type: String,
    },
    /// A document is not what its digest says.
    #[error("{url} has the digest sha256:{actual}, not sha256:{expected}")]
    Digest {
        /// The address.
        url: String,
        /// What it should be.
        expected: Digest,
        /// What it is.
        actual: Digest,
    },
    /// The image is not there for an architecture.
    #[error("{url} has no image for linux/{arch}")]
    NoPlatform {
        /// The address.
        url: String,
        /// The architecture.
        arch: String,
    },
}

impl RegistryError {
    /// Whether the registry has no such thing, so that another place may be asked.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, RegistryError::Http(error) if error.is_not_found())
    }
}

/// An image's full reference, as `registry.k8s.io/coredns/coredns:v1.14.6`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Host, with its port where it has one.
    pub host: String,
    /// Repository.
    pub repository: String,
    /// Tag, or `sha256:` and a digest.
    pub tag: String,
}

/// A text that is no full reference.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no full image reference, such as registry.k8s.io/pause:3.10.2")]
pub struct ReferenceError(String);

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let bad = || ReferenceError(text.chars().take(200).collect());
        let (host, rest) = text.split_once('/').ok_or_else(bad)?;
        let (repository, tag) = match rest.split_once('@') {
            Some((repository, digest)) => {
                let digest: Digest = digest.parse().map_err(|_| bad())?;
                // A tag beside a digest says nothing more.
                (
                    repository
                        .split_once(':')
                        .map_or(repository, |(name, _)| name),
                    digest.to_oci(),
                )
            }
            None => {
                let (repository, tag) = rest.rsplit_once(':').ok_or_else(bad)?;
                (repository, tag.to_owned())
            }
        };
        let word = |part: &str, also: &str| {
            part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || also.contains(c))
        };
        let named = host == "localhost" || host.contains(['.', ':']);
        let sound = named
            && word(host, ".-:")
            && repository
                .split('/')
                .all(|part| word(part, "._-") && !part.contains(".."))
            && word(&tag, "._-:");
        if !sound || text.len() > 500 {
            return Err(bad());
        }
        Ok(Reference {
            host: host.to_owned(),
            repository: repository.to_owned(),
            tag,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.tag.starts_with("sha256:") {
            '@'
        } else {
            ':'
        };
        write!(f, "{}/{}{mark}{}", self.host, self.repository, self.tag)
    }
}

/// A registry to be asked.
#[derive(Debug)]
pub(crate) struct Registry {
    http: Http,
    /// Scheme and host, as `https://registry.k8s.io`.
    base: String,
    tokens: Mutex<BTreeMap<String, String>>,
}

/// A manifest as it was fetched.
#[derive(Debug)]
pub(crate) struct FetchedManifest {
    pub(crate) descriptor: Descriptor,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

const ACCEPT: &str = concat!(
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, ",
    "application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json"
);

impl Registry {
    pub(crate) fn new(http: Http, base: &str) -> Self {
        Registry {
            http,
            base: base.trim_end_matches('/').to_owned(),
            tokens: Mutex::default(),
        }
    }

    /// The manifest of `repository:tag` for linux on `arch`, through an image index where there is one.
    pub(crate) fn manifest(
        &self,
        repository: &str,
        tag: &str,
        arch: &str,
    ) -> Result<FetchedManifest, RegistryError> {
        let first = self.document(repository, tag)?;
        if !first.descriptor.is_index() {
            return Ok(first);
        }
        let url = self.url(repository, "manifests", tag);
        let index: Index =
            serde_json::from_slice(&first.bytes).map_err(|source| RegistryError::Malformed {
                url: url.clone(),
                source,
            })?;
        let fits = |descriptor: &&Descriptor| {
            let platform = descriptor.platform.as_ref();
            descriptor.is_manifest()
                && platform.is_some_and(|p| p.os == "linux" && p.architecture == arch)
        };
        let chosen = index.manifests.iter().find(fits);
        let chosen = chosen.ok_or_else(|| RegistryError::NoPlatform {
            url,
            arch: arch.to_owned(),
        })?;
        let mut second = self.document(repository, &chosen.digest.to_oci())?;
        second.descriptor.platform.clone_from(&chosen.platform);
        Ok(second)
    }

    /// A blob into `target`, checked while it comes.
    pub(crate) fn blob(
        &self,
        repository: &str,
        blob: &Descriptor,
        target: &Path,
        progress: ProgressFn<'_>,
    ) -> Result<(), RegistryError> {
        let url = self.url(repository, "blobs", &blob.digest.to_oci());
        let token = self.token(repository);
        match self.http.download(
            &url,
            &headers(token.as_deref()),
            target,
            Some(blob.digest),
            progress,
        ) {
            // Tokens live for minutes; a large image takes longer.
            Err(HttpError::Status { status: 401, .. }) => {
                self.log_in(repository, &url)?;
                let token = self.token(repository);
                self.http.download(
                    &url,
                    &headers(token.as_deref()),
                    target,
                    Some(blob.digest),
                    progress,
                )?;
            }
            other => drop(other?),
        }
        Ok(())
    }

    fn document(&self, repository: &str, tag: &str) -> Result<FetchedManifest, RegistryError> {
        let url = self.url(repository, "manifests", tag);
        let ask = || {
            let token = self.token(repository);
            let mut all = headers(token.as_deref());
            all.push(("accept", ACCEPT));
            self.http.get(&url, &all, &[])
        };
        let mut response = ask()?;
        if response.status().as_u16() == 401 {
            self.log_in(repository, &url)?;
            response = ask()?;
        }
        let response = success(&url, response)?;
        let told = response
            .headers()
            .get("content-type")
            .and_then(|value| value.to_str().ok());
        let told = told.map(|text| text.split(';').next().unwrap_or(text).trim().to_owned());
        let bytes = read_document(&url, response, MAX_DOCUMENT)?;
        let actual = Digest::of(&bytes);
        if let Ok(expected) = tag.parse::<Digest>()
            && expected != actual
        {
            return Err(RegistryError::Digest {
                url,
                expected,
                actual,
            });
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Kind {
            media_type: Option<String>,
        }
        let kind: Kind =
            serde_json::from_slice(&bytes).map_err(|source| RegistryError::Malformed {
                url: url.clone(),
                source,
            })?;
        let media_type = kind.media_type.or(told).unwrap_or_default();
        let descriptor = Descriptor::new(&media_type, actual, bytes.len() as u64);
        if !descriptor.is_index() && !descriptor.is_manifest() {
            return Err(RegistryError::MediaType { url, media_type });
        }
        Ok(FetchedManifest { descriptor, bytes })
    }

    fn url(&self, repository: &str, kind: &str, name: &str) -> String {
        format!("{}/v2/{repository}/{kind}/{name}", self.base)
    }

    fn token(&self, repository: &str) -> Option<String> {
        self.tokens
            .lock()
            .expect("no holder of this lock panics")
            .get(repository)
            .cloned()
    }

    /// Asks for the token that the registry's challenge names.
    fn log_in(&self, repository: &str, url: &str) -> Result<(), RegistryError> {
        let login = || RegistryError::Login {
            url: url.to_owned(),
        };
        let old = self
            .tokens
            .lock()
            .expect("no holder of this lock panics")
            .remove(repository);
        drop(old);
        let response = self.http.get(url, &[], &[])?;
        if response.status().as_u16() != 401 {
            return Ok(());
        }
        let challenge = response
            .headers()
            .get("www-authenticate")
            .and_then(|value| value.to_str().ok());
        let challenge = challenge.and_then(parse_challenge).ok_or_else(login)?;
        let realm = challenge.get("realm").ok_or_else(login)?;
        if self.base.starts_with("https://") && !realm.starts_with("https://") {
            return Err(login());
        }
        let scope = format!("repository:{repository}:pull");
        let mut query = vec![(
            "scope",
            challenge
                .get("scope")
                .map_or(scope.as_str(), String::as_str),
        )];
        query.extend(
            challenge
                .get("service")
                .map(|service| ("service", service.as_str())),
        );
        let response = success(realm, self.http.get(realm, &[], &query)?)?;
        let bytes = read_document(realm, response, 1 << 20)?;
        let token: Token =
            serde_json::from_slice(&bytes).map_err(|source| RegistryError::Malformed {
                url: realm.clone(),
                source,
            })?;
        let token = token.token.or(token.access_token).ok_or_else(login)?;
        let header = format!("Bearer {token}");
        self.tokens
            .lock()
            .expect("no holder of this lock panics")
            .insert(repository.to_owned(), header);
        Ok(())
    }
}

fn headers(token: Option<&str>) -> Vec<Header<'_>> {
    token
        .map(|token| ("authorization", token))
        .into_iter()
        .collect()
}

/// The fields of `Bearer realm="…",service="…",scope="…"`; `None` for another kind of challenge.
fn parse_challenge(text: &str) -> Option<BTreeMap<String, String>> {
    let (scheme, mut rest) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let mut fields = BTreeMap::new();
    while !rest.trim().is_empty() {
        let (key, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').unwrap_or((after, "")),
        };
        fields.insert(
            key.trim()
                .trim_start_matches(',')
                .trim()
                .to_ascii_lowercase(),
            value.to_owned(),
        );
        rest = after.trim_start().trim_start_matches(',');
    }
    Some(fields)
}

/// The manifests and blobs that an image's manifest names.
pub(crate) fn parse_manifest(
    fetched: &FetchedManifest,
    url: &str,
) -> Result<oci::Manifest, RegistryError> {
    serde_json::from_slice(&fetched.bytes).map_err(|source| RegistryError::Malformed {
        url: url.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_full_or_refused() {
        let digest = Digest::of(b"x").to_oci();
        for (text, host, repository, tag) in [
            (
                "registry.k8s.io/pause:3.10.2",
                "registry.k8s.io",
                "pause",
                "3.10.2",
            ),
            (
                "registry.k8s.io/coredns/coredns:v1.14.6",
                "registry.k8s.io",
                "coredns/coredns",
                "v1.14.6",
            ),
            ("10.77.0.1:5000/a/b_c:x", "10.77.0.1:5000", "a/b_c", "x"),
            ("localhost/a:1", "localhost", "a", "1"),
            (&format!("ghcr.io/a@{digest}"), "ghcr.io", "a", &digest),
            (&format!("ghcr.io/a:tag@{digest}"), "ghcr.io", "a", &digest),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(
                (
                    reference.host.as_str(),
                    reference.repository.as_str(),
                    reference.tag.as_str()
                ),
                (host, repository, tag)
            );
        }
        for bad in [
            "",
            "pause:3",
            "library/pause:3",
            "r.io/pause",
            "r.io/../etc:1",
            "r.io/a:b/c",
            "r.io/a b:1",
            "r.io/:1",
            "r.io//a:1",
            "r.io/a@sha256:0",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let fields = parse_challenge(
            r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push""#,
        )
        .unwrap();
        assert_eq!(fields["realm"], "https://auth.example/token");
        assert_eq!(fields["service"], "registry.example");
        assert_eq!(fields["scope"], "repository:a/b:pull,push");
        assert_eq!(
            parse_challenge("bearer realm=x, service=y").unwrap()["service"],
            "y"
        );
        assert_eq!(parse_challenge(r#"Basic realm="x""#), None);
        assert_eq!(parse_challenge("Bearer realm"), None);
    }
}
