//! Mirrors, as the admin writes them.

use std::path::PathBuf;
use std::str::FromStr;

/// A mirror, as the admin writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mirror {
    /// `https://HOST/PATH` or `http://…`: files, below this address.
    Files(String),
    /// A path: a folder that holds files as `<host>/<path>`, or an OCI layout (folder or tar) that holds images.
    Path(PathBuf),
    /// `oci://HOST[:PORT][/PREFIX]`, `oci+http://…`: images of all registries, as `PREFIX/<upstream host>/<repository>`;
    /// `UPSTREAM=oci://…`: images of that registry, as `PREFIX/<repository>`.
    Registry {
        /// The registry that it stands in for; all where none is named.
        upstream: Option<String>,
        /// Scheme and host of the mirror.
        base: String,
        /// What stands before the repositories, empty or ending with `/`.
        prefix: String,
    },
}

/// A text that names no mirror.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is no mirror: a URL (https://…), a registry (oci://HOST, registry.k8s.io=oci://HOST) or a path"
)]
pub struct MirrorError(String);

impl FromStr for Mirror {
    type Err = MirrorError;

    fn from_str(text: &str) -> Result<Self, MirrorError> {
        let bad = || MirrorError(text.to_owned());
        if text.starts_with("http://") || text.starts_with("https://") {
            return Ok(Mirror::Files(text.trim_end_matches('/').to_owned()));
        }
        let (upstream, place) = match text.split_once('=') {
            Some((upstream, place)) if place.starts_with("oci") => {
                (Some(upstream.to_owned()), place)
            }
            _ => (None, text),
        };
        let Some((scheme, rest)) = place.split_once("://") else {
            return if upstream.is_none() && !text.is_empty() {
                Ok(Mirror::Path(text.into()))
            } else {
                Err(bad())
            };
        };
        let scheme = match scheme {
            "oci" => "https",
            "oci+http" => "http",
            _ => return Err(bad()),
        };
        let (host, prefix) = rest
            .trim_end_matches('/')
            .split_once('/')
            .unwrap_or((rest.trim_end_matches('/'), ""));
        if host.is_empty() || upstream.as_deref() == Some("") {
            return Err(bad());
        }
        let prefix = if prefix.is_empty() {
            String::new()
        } else {
            format!("{prefix}/")
        };
        Ok(Mirror::Registry {
            upstream,
            base: format!("{scheme}://{host}"),
            prefix,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_read_as_an_admin_writes_them() {
        let registry = |upstream: Option<&str>, base: &str, prefix: &str| Mirror::Registry {
            upstream: upstream.map(str::to_owned),
            base: base.into(),
            prefix: prefix.into(),
        };
        for (text, expected) in [
            (
                "https://mirror.example/root/",
                Mirror::Files("https://mirror.example/root".into()),
            ),
            ("./mirror", Mirror::Path("./mirror".into())),
            ("/srv/a=b", Mirror::Path("/srv/a=b".into())),
            (
                "oci://10.77.0.1:5000",
                registry(None, "https://10.77.0.1:5000", ""),
            ),
            ("oci+http://h/a/b/", registry(None, "http://h", "a/b/")),
            (
                "registry.k8s.io=oci://h/k",
                registry(Some("registry.k8s.io"), "https://h", "k/"),
            ),
        ] {
            assert_eq!(text.parse::<Mirror>().unwrap(), expected, "{text}");
        }
        for bad in ["", "ftp://x", "oci://", "=oci://h", "oci:///x"] {
            assert!(bad.parse::<Mirror>().is_err(), "{bad}");
        }
    }
}
