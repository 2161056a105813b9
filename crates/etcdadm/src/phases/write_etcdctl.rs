//! `etcdctl.sh`: etcdctl with this member's endpoint and credentials, for people and for scripts.
//!
//! A login over SSH often has no /opt/bin in its PATH, so the wrapper names its programs by their whole paths.

use std::path::Path;

use host::Phase;

use crate::phases::file;
use crate::{Change, Configuration, Error, Machine, View, paths};

/// Writes the wrapper and its environment.
pub(crate) struct WriteEtcdctl<'c>(pub(crate) &'c Configuration);

impl<'a> Phase<Machine<'a>> for WriteEtcdctl<'_> {
    fn name(&self) -> &'static str {
        "write-etcdctl"
    }

    fn about(&self) -> &'static str {
        "write etcdctl.sh, which runs etcdctl with this member's endpoint and credentials"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let configuration = self.0;
        let stem = pki::etcd::Leaf::EtcdctlClient.file_stem();
        let at = |name: &str| {
            configuration
                .certs_dir()
                .join(name)
                .to_string_lossy()
                .into_owned()
        };
        let (ca, certificate, key) = (
            at("ca.crt"),
            at(&format!("{stem}.crt")),
            at(&format!("{stem}.key")),
        );
        let endpoint = configuration.local_url();
        let variables = [
            ("ETCDCTL_CACERT", ca.as_str()),
            ("ETCDCTL_CERT", &certificate),
            ("ETCDCTL_KEY", &key),
            ("ETCDCTL_DIAL_TIMEOUT", "3s"),
            ("ETCDCTL_ENDPOINTS", &endpoint),
        ];
        let text =
            systemd::environment("export ", variables).map_err(|source| Error::Environment {
                path: paths::ETCDCTL_ENVIRONMENT,
                source,
            })?;
        let mut plan = file(
            seen.host(),
            Path::new(paths::ETCDCTL_ENVIRONMENT),
            0o600,
            &format!("# Written by etcdadm.\n{text}"),
        )?;
        let wrapper = configuration.install_dir().join("etcdctl.sh");
        plan.extend(file(
            seen.host(),
            &wrapper,
            0o755,
            &script(configuration.install_dir()),
        )?);
        Ok(plan)
    }
}

fn script(install_dir: &Path) -> String {
    let etcdctl = install_dir
        .join("etcdctl")
        .to_string_lossy()
        .replace('\'', r"'\''");
    format!(
        "#!/bin/sh\n\
         # Written by etcdadm: etcdctl with this host's member and credentials. ETCDCTL_ENDPOINTS or --endpoints names others.\n\
         set -eu\n\
         others=${{ETCDCTL_ENDPOINTS-}}\n\
         . {}\n\
         if [ -n \"$others\" ]; then ETCDCTL_ENDPOINTS=$others; fi\n\
         exec '{etcdctl}' \"$@\"\n",
        paths::ETCDCTL_ENVIRONMENT
    )
}
