//! What can go wrong between here and a host, told from what OpenSSH says.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::OptionError;

/// A program could not be run on a host, or failed there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing of ours could be prepared.
    #[error("could not prepare {path}")]
    Prepare {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// An option of the admin's.
    #[error("{host}: its SSH settings cannot be used")]
    Option {
        /// The host.
        host: String,
        /// Which, and why not.
        source: OptionError,
    },
    /// OpenSSH's client is not there.
    #[error("could not run {program}")]
    Spawn {
        /// The program.
        program: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The host does not answer, or its sshd does not.
    #[error("{host} cannot be reached by SSH: {cause}")]
    Unreachable {
        /// The host.
        host: String,
        /// In OpenSSH's words.
        cause: String,
    },
    /// No key of the host is pinned.
    #[error("{host}: no host key is pinned for it, so it cannot be told from another host")]
    HostKeyUnknown {
        /// The host.
        host: String,
    },
    /// The host shows another key than the pinned one.
    #[error(
        "{host}: its host key is not the pinned one; somebody may be in between, or the host was installed anew"
    )]
    HostKeyChanged {
        /// The host.
        host: String,
    },
    /// The host takes neither user nor keys.
    #[error("{host} refuses to let {user} in: {cause}")]
    AuthRefused {
        /// The host.
        host: String,
        /// The user.
        user: String,
        /// In OpenSSH's words.
        cause: String,
    },
    /// The user may not become root without a password.
    #[error("{host}: {user} may not become root without a password: {cause}")]
    SudoRefused {
        /// The host.
        host: String,
        /// The user.
        user: String,
        /// In sudo's words.
        cause: String,
    },
    /// The login shell writes into what programs print.
    #[error("{host}: the login shell of {user} prints something of its own: {seen:?}")]
    Noise {
        /// The host.
        host: String,
        /// The user.
        user: String,
        /// The beginning of it.
        seen: String,
    },
    /// The connection ended in the middle.
    #[error("{host}: the connection was lost while it ran {program}: {cause}")]
    Lost {
        /// The host.
        host: String,
        /// What ran; it may have ended since or not.
        program: String,
        /// In OpenSSH's words.
        cause: String,
    },
    /// A program ran and failed.
    #[error("{host}: {program} failed (exit code {code}){}", tail(.stderr))]
    Failed {
        /// The host.
        host: String,
        /// What ran.
        program: String,
        /// Its exit code.
        code: i32,
        /// The end of what it said.
        stderr: String,
    },
    /// A program did not end in time.
    #[error("{host}: {program} did not end within {}s", .limit.as_secs())]
    Timeout {
        /// The host.
        host: String,
        /// What ran; it may go on.
        program: String,
        /// How long it had.
        limit: Duration,
    },
    /// What a program printed could not be taken here.
    #[error("{host}: what {program} printed could not be taken")]
    Received {
        /// The host.
        host: String,
        /// What printed it.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// What was to be sent could not be read here.
    #[error("{host}: what {program} was to be sent could not be read")]
    Input {
        /// The host.
        host: String,
        /// What was to read it.
        program: String,
        /// Why not.
        source: io::Error,
    },
}

fn tail(stderr: &str) -> String {
    if stderr.is_empty() {
        String::new()
    } else {
        format!(": {stderr}")
    }
}

impl Error {
    /// Whether the host was not reached, or the connection was lost.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Lost { .. }
                | Self::HostKeyUnknown { .. }
                | Self::HostKeyChanged { .. }
                | Self::AuthRefused { .. }
        )
    }

    /// What the admin can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unreachable { host, .. } => format!(
                "see that {host} is on, reachable from here, and runs sshd on that port; then run the same again"
            ),
            Self::HostKeyUnknown { host } => format!(
                "compare {host}'s key on its console (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then run the same with --accept-new-host-keys"
            ),
            Self::HostKeyChanged { host } => format!(
                "if {host} was installed anew, say so by `cctl forget-host-key {host}`; if not, find out who answers there"
            ),
            Self::AuthRefused { user, .. } => format!(
                "see that `ssh.user` ({user}) is right and that the host has your public key in that user's authorized_keys"
            ),
            Self::SudoRefused { user, .. } => format!(
                "give {user} the line `{user} ALL=(ALL) NOPASSWD: ALL` in /etc/sudoers.d/, or log in as root"
            ),
            Self::Noise { .. } => {
                "let the shell's start-up files print nothing when it is not interactive".to_owned()
            }
            Self::Lost { .. } => {
                "see that the host is up, then run the same again: it goes on from what is done"
                    .to_owned()
            }
            Self::Spawn { .. } => "install OpenSSH's client (package openssh-client)".to_owned(),
            Self::Timeout { .. } => {
                "see what the host is busy with, then run the same again".to_owned()
            }
            _ => return None,
        })
    }
}

/// What OpenSSH's own failure (exit code 255) means. `stderr` is all that it said.
pub(crate) fn of_client(host: &str, user: &str, stderr: &str) -> Error {
    let host = host.to_owned();
    let has = |text: &str| stderr.contains(text);
    if has("REMOTE HOST IDENTIFICATION HAS CHANGED")
        || has("differs from the key for the IP address")
    {
        return Error::HostKeyChanged { host };
    }
    if has("Host key verification failed") || has("host key is known for") {
        return Error::HostKeyUnknown { host };
    }
    let lines: Vec<&str> = stderr
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    if has("Permission denied (")
        || has("Too many authentication failures")
        || has("No supported authentication methods")
    {
        // A key that could not be loaded is the reason more often than not.
        let telling = |line: &&&str| {
            [
                "Load key",
                "Identity file",
                "no such identity",
                "UNPROTECTED",
                "Permission denied (",
                "Too many",
                "No supported",
            ]
            .iter()
            .any(|t| line.contains(t))
        };
        let cause: Vec<&str> = lines.iter().filter(telling).copied().collect();
        return Error::AuthRefused {
            host,
            user: user.to_owned(),
            cause: cause.join("; "),
        };
    }
    let cause = lines.last().copied().unwrap_or("it ended without a word");
    let cause = cause.strip_prefix("ssh: ").unwrap_or(cause);
    Error::Unreachable {
        host,
        cause: cause.to_owned(),
    }
}

/// Whether sudo refused, in its own words.
pub(crate) fn of_sudo(host: &str, user: &str, stderr: &str) -> Option<Error> {
    let line = stderr.lines().map(str::trim).find(|line| {
        line.starts_with("sudo: ")
            || line.contains("not in the sudoers file")
            || line.contains("/usr/bin/sudo: ")
    })?;
    Some(Error::SudoRefused {
        host: host.to_owned(),
        user: user.to_owned(),
        cause: line.strip_prefix("sudo: ").unwrap_or(line).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(stderr: &str) -> String {
        of_client("h1", "admin", stderr).to_string()
    }

    #[test]
    fn openssh_is_understood() {
        insta::assert_snapshot!(told("ssh: connect to host 10.77.0.11 port 22: No route to host\r\n"), @"h1 cannot be reached by SSH: connect to host 10.77.0.11 port 22: No route to host");
        insta::assert_snapshot!(told("No ED25519 host key is known for 10.77.0.11 and you have requested strict checking.\r\nHost key verification failed.\r\n"), @"h1: no host key is pinned for it, so it cannot be told from another host");
        insta::assert_snapshot!(told("@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n@@@\nHost key verification failed.\n"), @"h1: its host key is not the pinned one; somebody may be in between, or the host was installed anew");
        insta::assert_snapshot!(told("Load key \"/k\": error in libcrypto\nadmin@10.77.0.11: Permission denied (publickey).\n"), @r#"h1 refuses to let admin in: Load key "/k": error in libcrypto; admin@10.77.0.11: Permission denied (publickey)."#);
        insta::assert_snapshot!(told(""), @"h1 cannot be reached by SSH: it ended without a word");
    }

    #[test]
    fn sudo_is_understood() {
        let error = of_sudo("h1", "admin", "sudo: a password is required\n").unwrap();
        insta::assert_snapshot!(error, @"h1: admin may not become root without a password: a password is required");
        assert!(of_sudo("h1", "admin", "cat: x: No such file").is_none());
    }
}
