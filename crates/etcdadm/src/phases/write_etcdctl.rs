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
            &script(paths::ETCDCTL_ENVIRONMENT, configuration.install_dir()),
        )?);
        Ok(plan)
    }
}

/// etcdctl takes a setting from the environment or from its flag, and ends when it has both.
fn script(environment: &str, install_dir: &Path) -> String {
    let etcdctl = install_dir
        .join("etcdctl")
        .to_string_lossy()
        .replace('\'', r"'\''");
    format!(
        r#"#!/bin/sh
# Written by etcdadm: etcdctl with this host's member and credentials. ETCDCTL_ENDPOINTS or --endpoints names others.
set -eu
others=${{ETCDCTL_ENDPOINTS-}}
. {environment}
if [ -n "$others" ]; then ETCDCTL_ENDPOINTS=$others; fi
for word; do
    case $word in
        --) break ;;
        --endpoints | --endpoints=*) unset ETCDCTL_ENDPOINTS ;;
        --cacert | --cacert=*) unset ETCDCTL_CACERT ;;
        --cert | --cert=*) unset ETCDCTL_CERT ;;
        --key | --key=*) unset ETCDCTL_KEY ;;
        --dial-timeout | --dial-timeout=*) unset ETCDCTL_DIAL_TIMEOUT ;;
    esac
done
exec '{etcdctl}' "$@"
"#
    )
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "works on files of its own")]
mod tests {
    use super::*;

    #[test]
    fn a_flag_takes_the_place_of_its_variable() {
        let folder = tempfile::tempdir().unwrap();
        let environment = folder.path().join("etcdctl.env");
        let variables = "export ETCDCTL_ENDPOINTS=own\nexport ETCDCTL_KEY=key\n";
        std::fs::write(&environment, variables).unwrap();
        let etcdctl = "#!/bin/sh\necho \"${ETCDCTL_ENDPOINTS-} ${ETCDCTL_KEY-} $*\"\n";
        let (program, wrapper) = (
            folder.path().join("etcdctl"),
            folder.path().join("etcdctl.sh"),
        );
        host::write_atomically(&program, 0o755, etcdctl.as_bytes()).unwrap();
        let text = script(environment.to_str().unwrap(), folder.path());
        std::fs::write(&wrapper, text).unwrap();
        let said = |others: &str, words: &[&str]| {
            let output = std::process::Command::new("/bin/sh")
                .arg(&wrapper)
                .args(words)
                .env("ETCDCTL_ENDPOINTS", others)
                .output()
                .unwrap();
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        assert_eq!(said("", &["get", "a b"]), "own key get a b");
        assert_eq!(said("x", &["get"]), "x key get");
        assert_eq!(
            said("x", &["--endpoints=y", "get"]),
            "key --endpoints=y get"
        );
        let both = ["get", "--endpoints", "y", "--key=k"];
        assert_eq!(said("", &both), "get --endpoints y --key=k");
        let value = ["put", "--", "--endpoints", "y"];
        assert_eq!(said("", &value), "own key put -- --endpoints y");
    }
}
