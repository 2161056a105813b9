//! A cheap look whether a host is there at all: for those who wait for one.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::Target;

impl Target {
    /// Whether something takes connections where its sshd should be, within `limit`. Who answers there is not asked. Behind a
    /// jump host, or by a name, it cannot be told from here: then it is taken to be there, and connecting shows.
    #[must_use]
    pub fn answers(&self, limit: Duration) -> bool {
        let is = |name: &str, option: &str| option.eq_ignore_ascii_case(name);
        let option = |name: &str| {
            let mut options = self.options.iter();
            options
                .find(|(option, _)| is(name, option))
                .map(|(_, value)| value)
        };
        let Ok(address) = self.address.parse::<IpAddr>() else {
            return true;
        };
        if option("ProxyJump").is_some_and(|jump| !is("none", jump)) {
            return true;
        }
        TcpStream::connect_timeout(&SocketAddr::new(address, self.port), limit).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn who_listens_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut target = Target {
            address: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
            user: "admin".to_owned(),
            identity_file: None,
            options: Default::default(),
        };
        let limit = Duration::from_secs(5);
        assert!(target.answers(limit));
        drop(listener);
        assert!(!target.answers(limit));
        target
            .options
            .insert("proxyjump".to_owned(), "bastion".to_owned());
        assert!(target.answers(limit), "only the jump host can tell");
    }
}
