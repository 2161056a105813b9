//! What is run on a host, as data.

use std::time::Duration;

use crate::quote;

/// A program of a host's with its arguments. Arguments are never secret and never from outside unchecked: they are seen in
/// the host's process list. What is secret, or large, goes by standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub(crate) words: Vec<String>,
    pub(crate) as_root: bool,
    pub(crate) limit: Duration,
}

impl Call {
    /// `program`, an absolute path, with `args`, as root, for two minutes at most.
    ///
    /// # Panics
    /// When `program` is no absolute path: callers name programs by constants.
    pub fn new<S: Into<String>>(
        program: impl Into<String>,
        args: impl IntoIterator<Item = S>,
    ) -> Self {
        let program = program.into();
        assert!(
            program.starts_with('/'),
            "programs of hosts are named by absolute paths"
        );
        Self {
            words: std::iter::once(program)
                .chain(args.into_iter().map(Into::into))
                .collect(),
            as_root: true,
            limit: Duration::from_secs(120),
        }
    }

    /// The same, as the user who logs in.
    #[must_use]
    pub fn as_user(mut self) -> Self {
        self.as_root = false;
        self
    }

    /// The same, for `limit` at most.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// In one line, for messages.
    #[must_use]
    pub fn words(&self) -> String {
        self.words.join(" ")
    }

    pub(crate) fn uses_sudo(&self, user: &str) -> bool {
        self.as_root && user != "root"
    }

    /// What SSH sends for `user`.
    pub(crate) fn command_line(&self, user: &str) -> String {
        let sudo: &[&str] = if self.uses_sudo(user) {
            &["/usr/bin/sudo", "-n", "--"]
        } else {
            &[]
        };
        quote(
            sudo.iter()
                .copied()
                .chain(self.words.iter().map(String::as_str)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_users_than_root_go_through_sudo() {
        let call = Call::new("/bin/cat", ["/a b"]);
        assert_eq!(call.command_line("root"), "/bin/cat '/a b'");
        assert_eq!(
            call.command_line("admin"),
            "/usr/bin/sudo -n -- /bin/cat '/a b'"
        );
        assert_eq!(call.as_user().command_line("admin"), "/bin/cat '/a b'");
    }
}
