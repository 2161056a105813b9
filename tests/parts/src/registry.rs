//! Starts the real OCI registry, for what pushes to one or pulls from one.
//!
//! The registry is upstream's, as the part `registry`. This only writes its
//! configuration: storage in a folder, one address, TLS where a certificate is
//! given, a password file where one is given. Who runs it, and in which network
//! namespace, is the caller's business: [`Settings::arguments`] is what to run.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::files::{self, FileError};

/// How a registry is to run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where it keeps its blobs.
    pub storage: PathBuf,
    /// Certificate and key, both PEM files.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// A password file with bcrypt digests, as `htpasswd -B` writes it.
    pub passwords: Option<PathBuf>,
}

impl Settings {
    /// Writes the configuration file, and says what to run; `registry` is the part's program.
    ///
    /// # Errors
    /// When a file or the storage's folder cannot be made.
    pub fn arguments(&self, registry: &Path, to: &Path) -> Result<Vec<String>, FileError> {
        files::make_dirs(&self.storage)?;
        files::write(to, self.configuration().as_bytes())?;
        Ok(vec![
            registry.display().to_string(),
            "serve".to_owned(),
            to.display().to_string(),
        ])
    }

    /// The configuration: YAML with every string in JSON's quotes.
    fn configuration(&self) -> String {
        let quoted = |path: &Path| format!("{:?}", path.display().to_string());
        let mut text = format!(
            "version: 0.1\nlog:\n  level: warn\n  accesslog:\n    disabled: true\n\
             storage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\n\
             http:\n  addr: \"{}\"\n",
            quoted(&self.storage),
            self.listen
        );
        if let Some((certificate, key)) = &self.tls {
            text += &format!(
                "  tls:\n    certificate: {}\n    key: {}\n",
                quoted(certificate),
                quoted(key)
            );
        }
        if let Some(passwords) = &self.passwords {
            text += &format!(
                "auth:\n  htpasswd:\n    realm: klusterkit\n    path: {}\n",
                quoted(passwords)
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_says_all() {
        let settings = Settings {
            listen: "10.77.0.1:5000".parse().unwrap(),
            storage: "/srv/blobs".into(),
            tls: Some(("/srv/tls.crt".into(), "/srv/tls.key".into())),
            passwords: Some("/srv/passwords".into()),
        };
        insta::assert_snapshot!(settings.configuration(), @r#"
        version: 0.1
        log:
          level: warn
          accesslog:
            disabled: true
        storage:
          filesystem:
            rootdirectory: "/srv/blobs"
          delete:
            enabled: true
        http:
          addr: "10.77.0.1:5000"
          tls:
            certificate: "/srv/tls.crt"
            key: "/srv/tls.key"
        auth:
          htpasswd:
            realm: klusterkit
            path: "/srv/passwords"
        "#);
    }
}
