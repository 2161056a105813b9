//! Removes the packet filter rules of kube-proxy, the kubelet, flannel and the CNI plugins, and no others.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use host::{Phase, Query, Run};

use crate::change::Change;
use crate::found::{Found, ask, tables};
use crate::{Error, Node};

/// Chains with these names are theirs.
const CHAINS: [&str; 3] = ["KUBE-", "CNI-", "FLANNEL-"];
/// nftables' tables of theirs.
const TABLES: [(&str, &str); 4] = [
    ("ip", "kube-proxy"),
    ("ip6", "kube-proxy"),
    ("ip", "flannel-ipv4"),
    ("ip6", "flannel-ipv6"),
];
/// The tables in which iptables keeps its rules.
const OF_IPTABLES: [&str; 4] = ["filter", "nat", "mangle", "raw"];
/// The programs that show and take rules, of both back ends where both are installed.
const PROGRAMS: [&str; 4] = [
    "iptables",
    "ip6tables",
    "iptables-legacy",
    "ip6tables-legacy",
];

/// See the module.
pub struct RemoveRules;

impl Phase<Node> for RemoveRules {
    fn name(&self) -> &'static str {
        "remove-rules"
    }

    fn about(&self) -> &'static str {
        "remove the packet filter rules of Kubernetes and its network"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let seen = node.host();
        if seen.is_dry_run() {
            return Ok(Vec::new());
        }
        let mut plan: Vec<Change> = Vec::new();
        for program in PROGRAMS {
            let Some(saved) = ask(seen, &Query::new(format!("{program}-save"), [""; 0]))? else {
                continue;
            };
            let script = removal(&saved.text());
            if !script.is_empty() {
                let run = Run::new(format!("{program}-restore"), ["--noflush"]).reading(script);
                plan.push(host::Change::Run(run).into());
            }
        }
        if !plan.is_empty() {
            return Ok(plan);
        }
        let found = Found::read(seen)?.and_then(|found| found.tables);
        for table in tables(seen)?.unwrap_or_default() {
            let (family, name) = table.split_once(' ').unwrap_or(("ip", &table));
            let new = found.as_ref().is_some_and(|found| !found.contains(&table));
            let query = Query::new("nft", ["list", "table", family, name]);
            // Those that iptables made for rules which are gone now go as well, if nobody else uses them.
            let unused = || {
                Ok::<_, Error>(ask(seen, &query)?.is_some_and(|output| is_unused(&output.text())))
            };
            if TABLES.contains(&(family, name)) || new && OF_IPTABLES.contains(&name) && unused()? {
                plan.push(
                    host::Change::Run(Run::new("nft", ["delete", "table", family, name])).into(),
                );
            }
        }
        Ok(plan)
    }
}

/// Whether a table has chains that let everything through, and no rule.
fn is_unused(table: &str) -> bool {
    table.lines().map(str::trim).all(|line| {
        line.is_empty()
            || line == "}"
            || line.ends_with('{')
            || line.starts_with('#')
            || line.starts_with("type ") && line.ends_with("policy accept;")
    })
}

fn ours(chain: &str) -> bool {
    CHAINS.iter().any(|prefix| chain.starts_with(prefix))
}

/// What `iptables-restore --noflush` is to read so that of the rules in `saved` ours are gone; empty if none is.
fn removal(saved: &str) -> String {
    let mut script = String::new();
    let mut tables: BTreeMap<&str, (Vec<&str>, Vec<&str>)> = BTreeMap::new();
    let mut table = "";
    for line in saved.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        } else if let Some(chain) = line
            .strip_prefix(':')
            .and_then(|rest| rest.split_whitespace().next())
        {
            if ours(chain) {
                tables.entry(table).or_default().0.push(chain);
            }
        } else if let Some(rule) = line.strip_prefix("-A ") {
            let chain = rule.split_whitespace().next().unwrap_or_default();
            let mut words = rule
                .split_whitespace()
                .skip_while(|word| !matches!(*word, "-j" | "-g"))
                .skip(1);
            if !ours(chain) && words.next().is_some_and(ours) {
                tables.entry(table).or_default().1.push(rule);
            }
        }
    }
    for (table, (chains, rules)) in tables {
        let _ = writeln!(script, "*{table}");
        // Named with a policy, a chain is emptied; only empty ones that nothing leads to can be deleted.
        for chain in &chains {
            let _ = writeln!(script, ":{chain} - [0:0]");
        }
        for rule in rules {
            let _ = writeln!(script, "-D {rule}");
        }
        for chain in &chains {
            let _ = writeln!(script, "-X {chain}");
        }
        let _ = writeln!(script, "COMMIT");
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_others_stay() {
        let saved = "\
# Generated by iptables-save
*nat
:PREROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:MINE - [0:0]
-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-A PREROUTING -j MINE
-A KUBE-SERVICES -j RETURN
-A MINE -s 10.0.0.0/8 -j ACCEPT
COMMIT
*filter
:INPUT ACCEPT [0:0]
-A INPUT -p tcp -j ACCEPT
COMMIT
";
        insta::assert_snapshot!(removal(saved), @r#"
        *nat
        :KUBE-SERVICES - [0:0]
        -D PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
        -X KUBE-SERVICES
        COMMIT
        "#);
        assert!(is_unused(
            "table ip nat {\n\tchain INPUT {\n\t\ttype nat hook input priority 100; policy accept;\n\t}\n}\n"
        ));
        assert!(!is_unused(
            "table ip filter {\n\tchain MINE {\n\t\tcounter drop\n\t}\n}\n"
        ));
        assert_eq!(removal("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"), "");
    }
}
