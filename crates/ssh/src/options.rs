//! Which OpenSSH options an admin may set, and how they are written.
//!
//! It is an allow-list. What runs a program (`ProxyCommand`, `LocalCommand`, `KnownHostsCommand`, `Match exec`), loads a
//! library (`PKCS11Provider`), forwards anything, or touches the checking of host keys is refused, and so is all that nobody
//! has thought about yet.

/// Options that may be set, with what their values may hold.
const ALLOWED: [(&str, Value); 26] = [
    ("AddressFamily", Value::Word),
    ("BindAddress", Value::Word),
    ("BindInterface", Value::Word),
    ("CASignatureAlgorithms", Value::List),
    ("CertificateFile", Value::Path),
    ("Ciphers", Value::List),
    ("Compression", Value::Word),
    ("ConnectTimeout", Value::Word),
    ("ConnectionAttempts", Value::Word),
    ("GSSAPIAuthentication", Value::Word),
    ("HostKeyAlgorithms", Value::List),
    ("HostbasedAuthentication", Value::Word),
    ("IPQoS", Value::Word),
    ("IdentitiesOnly", Value::Word),
    ("IdentityAgent", Value::Path),
    ("IdentityFile", Value::Path),
    ("KexAlgorithms", Value::List),
    ("MACs", Value::List),
    ("Port", Value::Word),
    ("PreferredAuthentications", Value::List),
    ("ProxyJump", Value::Jump),
    ("PubkeyAcceptedAlgorithms", Value::List),
    ("RekeyLimit", Value::Word),
    ("ServerAliveCountMax", Value::Word),
    ("ServerAliveInterval", Value::Word),
    ("TCPKeepAlive", Value::Word),
];

#[derive(Clone, Copy)]
enum Value {
    /// One plain word.
    Word,
    /// Algorithms: words, commas, and the signs that add and remove.
    List,
    /// A file; nothing in it that OpenSSH expands but a leading `~/`.
    Path,
    /// `[user@]host[:port]`, several with commas. OpenSSH hands it to a shell, so nothing that a shell knows.
    Jump,
}

/// An option that may not be set, or not so.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OptionError {
    /// Not on the list.
    #[error(
        "the SSH option {0} cannot be set here: it runs a program, loosens the checking of host keys, or is unknown"
    )]
    NotAllowed(String),
    /// A value that could be more than a value.
    #[error("the SSH option {name} has a value that cannot be used: {value:?}")]
    Value {
        /// The option.
        name: String,
        /// Its value.
        value: String,
    },
}

/// Whether an option may be set so; gives back its name as OpenSSH writes it.
///
/// # Errors
/// [`OptionError`].
pub fn check_option(name: &str, value: &str) -> Result<&'static str, OptionError> {
    let (known, kind) = ALLOWED
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .ok_or_else(|| OptionError::NotAllowed(name.chars().take(60).collect()))?;
    let inner: fn(char) -> bool = match kind {
        Value::Word => |c| c.is_ascii_alphanumeric() || "._:%-".contains(c),
        Value::List => |c| c.is_ascii_alphanumeric() || "._@,+^*-".contains(c),
        Value::Path => |c| c.is_alphanumeric() || "._@,+~/ -".contains(c),
        Value::Jump => |c| c.is_ascii_alphanumeric() || "._@:,[]-".contains(c),
    };
    let jump_words = || {
        value
            .split(['@', ','])
            .all(|part| !part.starts_with('-') && !part.is_empty())
    };
    let fits = !value.is_empty()
        && value.len() <= 1000
        && value.chars().all(inner)
        && match kind {
            Value::List => true,
            Value::Path => {
                (value.starts_with('/') || value.starts_with("~/")) && !value[1..].contains('~')
            }
            Value::Word => !value.starts_with('-'),
            Value::Jump => jump_words(),
        };
    if fits {
        Ok(known)
    } else {
        Err(OptionError::Value {
            name: (*known).to_owned(),
            value: value.chars().take(100).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_connects_is_allowed_in_any_case() {
        for (name, value) in [
            ("ProxyJump", "admin@bastion:2222,[fd00::1]:22"),
            ("port", "2222"),
            ("IDENTITYFILE", "~/.ssh/id ed25519"),
            ("KexAlgorithms", "+diffie-hellman-group14-sha256"),
            ("ServerAliveInterval", "5"),
        ] {
            assert!(check_option(name, value).is_ok(), "{name} {value}");
        }
        assert_eq!(check_option("proxyjump", "bastion"), Ok("ProxyJump"));
    }

    #[test]
    fn what_runs_a_program_or_loosens_host_keys_is_refused() {
        for name in [
            "ProxyCommand",
            "proxycommand",
            "LocalCommand",
            "PermitLocalCommand",
            "KnownHostsCommand",
            "Match",
            "Include",
            "Host",
            "StrictHostKeyChecking",
            "UserKnownHostsFile",
            "GlobalKnownHostsFile",
            "NoHostAuthenticationForLocalhost",
            "HostKeyAlias",
            "VerifyHostKeyDNS",
            "UpdateHostKeys",
            "PKCS11Provider",
            "SecurityKeyProvider",
            "RemoteCommand",
            "ForwardAgent",
            "LocalForward",
            "ControlPath",
            "SendEnv",
            "SetEnv",
            "XAuthLocation",
            "BatchMode",
            "LogVerbose",
            "",
        ] {
            assert_eq!(
                check_option(name, "yes"),
                Err(OptionError::NotAllowed(name.to_owned()))
            );
        }
    }

    #[test]
    fn values_are_values_only() {
        for (name, value) in [
            ("ProxyJump", "-oProxyCommand=id"),
            ("ProxyJump", "a,-oProxyCommand=id"),
            ("ProxyJump", "user@-oProxyCommand"),
            ("ProxyJump", "$(id)"),
            ("ProxyJump", "a;id"),
            ("ProxyJump", "a'b"),
            ("ProxyJump", "a b"),
            ("ProxyJump", "%h"),
            ("Port", "22\nProxyCommand id"),
            ("Port", ""),
            ("Ciphers", "a b"),
            ("IdentityFile", "key"),
            ("IdentityFile", "/key\"\nProxyCommand id"),
            ("IdentityFile", "/${HOME}/%h"),
            ("IdentityFile", "/a~b"),
        ] {
            assert!(
                matches!(check_option(name, value), Err(OptionError::Value { .. })),
                "{name} {value:?}"
            );
        }
    }
}
