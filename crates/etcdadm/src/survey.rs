//! The whole cluster at one look, and the arithmetic of majorities.

use std::fmt;

use api::Version;
use etcd::{Credentials, Member, MemberStatus, Membership, Observe};

use crate::{Configuration, Error, View};

/// Whom to ask about the cluster.
#[derive(Clone, Debug)]
pub(crate) struct Reach<'c> {
    pub(crate) configuration: &'c Configuration,
    /// Members named on the command line, asked first.
    pub(crate) endpoints: Vec<String>,
}

impl Reach<'_> {
    /// Client URLs, in the order in which they are asked.
    pub(crate) fn ask(&self) -> Vec<String> {
        let mut ask = self.endpoints.clone();
        ask.push(self.configuration.local_url());
        ask.extend(self.configuration.endpoints.iter().cloned());
        ask
    }

    /// What is shown to members.
    pub(crate) fn credentials(&self, seen: &dyn View) -> Result<Credentials, Error> {
        crate::machine::credentials(seen.host(), self.configuration.certs_dir())
    }

    /// All members, each asked itself.
    pub(crate) fn survey(&self, seen: &dyn View) -> Result<Survey, Error> {
        let credentials = self.credentials(seen)?;
        let list = seen.etcd().members(&self.ask(), &credentials)?;
        let ask = |member: &Member| Seen::of(seen.etcd(), member, &credentials);
        let members = list.members.iter().map(ask).collect();
        Ok(Survey { list, members })
    }
}

/// All members.
#[derive(Clone, Debug)]
pub(crate) struct Survey {
    pub(crate) list: Membership,
    pub(crate) members: Vec<Seen>,
}

/// A member, and what it says.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) member: Member,
    pub(crate) status: Option<MemberStatus>,
    /// Whether it serves reads that a majority agrees to; of a learner, whether it answers.
    pub(crate) serves: bool,
    /// What it or the transport complains of.
    pub(crate) error: Option<String>,
}

impl Seen {
    pub(crate) fn of(etcd: &dyn Observe, member: &Member, credentials: &Credentials) -> Self {
        let (mut status, mut error) = (None, None);
        match member.client_urls.first() {
            None => error = Some("never started".to_owned()),
            Some(url) => match etcd.status(url, credentials) {
                Ok(told) => {
                    status = Some(told);
                    match etcd.healthy(url, credentials) {
                        Ok(()) | Err(etcd::Error::Learner { .. }) => {}
                        Err(e) => error = Some(e.to_string()),
                    }
                }
                Err(e) => error = Some(e.to_string()),
            },
        }
        Self {
            member: member.clone(),
            serves: error.is_none(),
            status,
            error,
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.member.id
    }

    /// The release that it runs, where it answers.
    pub(crate) fn version(&self) -> Option<Version> {
        self.status.as_ref()?.version.parse().ok()
    }

    pub(crate) fn url(&self) -> String {
        self.member.client_urls.first().cloned().unwrap_or_default()
    }
}

/// How many voters there are, how many of them serve, and how many must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quorum {
    pub(crate) voters: usize,
    pub(crate) serving: usize,
}

impl Quorum {
    /// The majority.
    pub(crate) fn needed(self) -> usize {
        self.voters / 2 + 1
    }

    /// Whether a majority serves.
    pub(crate) fn holds(self) -> bool {
        self.serving >= self.needed()
    }

    /// How many more may fail; negative where too many have.
    pub(crate) fn spare(self) -> i64 {
        self.serving as i64 - self.needed() as i64
    }
}

impl fmt::Display for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (voters, serving) = (self.voters, self.serving);
        let needed = self.needed();
        let of = |n: usize| if n == 1 { "voter" } else { "voters" };
        let serve = if serving == 1 { "serves" } else { "serve" };
        let is = if needed == 1 { "is" } else { "are" };
        write!(
            f,
            "{voters} {}, of which {serving} {serve}, and {needed} {is} needed",
            of(voters)
        )
    }
}

impl Survey {
    /// The id of this host's member; 0, which no member has, where it is none.
    pub(crate) fn own(&self, configuration: &Configuration) -> u64 {
        let own = self.list.at_peer_url(&configuration.peer_url());
        own.map_or(0, |member| member.id)
    }

    /// Refuses where a member other than this one does not serve.
    pub(crate) fn others_serve(&self, own: u64) -> Result<(), Error> {
        match self.members.iter().find(|m| m.id() != own && !m.serves) {
            None => Ok(()),
            Some(sick) => Err(Error::OtherSick {
                member: sick.member.to_string(),
                why: sick.error.clone().unwrap_or_default(),
            }),
        }
    }

    /// The release that each member runs, where all others serve. This host's own is left out where it was cut off between
    /// stop and start: it is to be started.
    pub(crate) fn releases(&self, own: u64) -> Result<Vec<(&Seen, Version)>, Error> {
        self.others_serve(own)?;
        let mut releases = Vec::new();
        for member in &self.members {
            match member.version() {
                Some(version) => releases.push((member, version)),
                None if member.id() == own => {}
                None => {
                    return Err(Error::OtherSick {
                        member: member.member.to_string(),
                        why: "it does not say which release it runs".to_owned(),
                    });
                }
            }
        }
        Ok(releases)
    }

    /// Refuses where too few would serve while this member is restarted.
    pub(crate) fn survives_restart(&self, own: u64) -> Result<(), Error> {
        let (serving, needed) = (self.quorum_without(own).serving, self.quorum().needed());
        if serving < needed {
            return Err(Error::Interrupts { serving, needed });
        }
        Ok(())
    }

    pub(crate) fn voters(&self) -> impl Iterator<Item = &Seen> {
        self.members.iter().filter(|seen| !seen.member.learner)
    }

    /// As it is now.
    pub(crate) fn quorum(&self) -> Quorum {
        self.quorum_without(0)
    }

    /// As it would be without this member.
    pub(crate) fn quorum_without(&self, id: u64) -> Quorum {
        let left = || self.voters().filter(|seen| seen.id() != id);
        Quorum {
            voters: left().count(),
            serving: left().filter(|seen| seen.serves).count(),
        }
    }

    /// The leader, where a member that serves knows it.
    pub(crate) fn leader(&self) -> Option<&Seen> {
        let told = |seen: &&Seen| seen.status.as_ref().map(|status| status.leader);
        let mut serving = self.voters().filter(|seen| seen.serves);
        let id = serving.find_map(|seen| told(&seen))?;
        self.members.iter().find(|seen| seen.id() == id)
    }

    /// A voter that serves and is not this one, to lead in its place.
    pub(crate) fn heir(&self, id: u64) -> Option<&Seen> {
        self.voters().find(|seen| seen.serves && seen.id() != id)
    }

    /// The client URLs of voters that serve, without those of this member.
    pub(crate) fn via(&self, without: u64) -> Vec<String> {
        let others = self
            .voters()
            .filter(|seen| seen.serves && seen.id() != without);
        others.map(Seen::url).collect()
    }

    /// The member that is meant by a name, an id or a URL.
    pub(crate) fn find(&self, text: &str) -> Result<Option<&Seen>, Error> {
        let id = u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
        let is = |seen: &&Seen| {
            let member = &seen.member;
            Some(member.id) == id
                || member.name == text
                || member.peer_urls.iter().any(|url| url == text)
                || member.client_urls.iter().any(|url| url == text)
        };
        let mut found = self.members.iter().filter(is);
        let first = found.next();
        match found.next() {
            Some(_) => Err(Error::AmbiguousMember {
                text: text.to_owned(),
            }),
            None => Ok(first),
        }
    }

    /// The same, and there must be one.
    pub(crate) fn must_find(&self, text: &str) -> Result<&Seen, Error> {
        self.find(text)?.ok_or_else(|| Error::UnknownMember {
            text: text.to_owned(),
            known: self
                .members
                .iter()
                .map(|seen| seen.member.to_string())
                .collect::<Vec<_>>()
                .join(", "),
        })
    }
}
