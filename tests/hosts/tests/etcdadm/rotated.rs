//! A new authority in the place of the old one, while the cluster is written to and looked at without a break.

use hosts::Members;
use lab::{Host, Output};
use serde_json::Value;

use crate::{Ground, NEWEST, timed};

const PKI: &str = "/etc/etcd/pki";
/// The client's pair of before, kept to be refused.
const OLD: &str = "/root/old";

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn authorities_change_without_a_moment_of_distrust() {
    let ground = Ground::alone("rotate", 3);
    let members = ground.members(NEWEST);
    let hosts = ground.hosts.as_slice();
    members.equip_all(hosts).unwrap();
    members.form(hosts).unwrap();
    hosts[0].exec(["cp", "-a", PKI, OLD]).check().unwrap();
    let run = |host: &Host, step: &str| rotate(&members, host, step);
    let done = |host: &Host, step: &str| {
        let output = run(host, step);
        assert!(output.success(), "{step}: {}", output.error_text());
        serde_json::from_str::<Value>(&output.text()).unwrap()
    };
    let ((), written) = members
        .under_load(hosts, |_| {
            // Made on the first host. Nobody shows its certificates while others do not trust it.
            let told = done(&hosts[0], "trust");
            assert_eq!(told["waitingFor"], serde_json::json!(["h2", "h3"]));
            let refused = run(&hosts[0], "reissue");
            assert!(
                refused.code == 1
                    && refused.error_text().contains("h2 does not accept etcd-")
                    && refused.error_text().contains("h3 does not accept etcd-"),
                "{}",
                refused.error_text()
            );
            // A second one is not made beside it.
            let refused = run(&hosts[1], "trust");
            let said = "a new authority is on its way already: it is trusted by h1";
            assert!(
                refused.error_text().contains(said),
                "{}",
                refused.error_text()
            );
            for host in &hosts[1..] {
                copy_next(&hosts[0], host);
                done(host, "trust");
            }
            assert_eq!(
                done(&hosts[0], "trust")["then"],
                "etcdadm certs rotate-ca reissue"
            );
            // Clients follow as members do: both authorities first, then the new one's certificate.
            members.follow_authority(&hosts[0]).unwrap();

            done(&hosts[0], "reissue");
            let refused = run(&hosts[0], "finish");
            assert!(
                refused
                    .error_text()
                    .contains("h2 shows a certificate of CN=etcd at"),
                "{}",
                refused.error_text()
            );
            done(&hosts[1], "reissue");
            done(&hosts[2], "reissue");
            members.follow_authority(&hosts[0]).unwrap();

            let told: Vec<Value> = hosts.iter().map(|host| done(host, "finish")).collect();
            assert_eq!(told[2]["waitingFor"], serde_json::json!([]));
            for host in hosts {
                let again = done(host, "finish");
                assert_eq!(again["changes"], serde_json::json!([]), "{again:#}");
            }
        })
        .unwrap();
    println!(
        "{} writes acknowledged, {} not, at most {:.2} s between two; {} looks, {} of them not well",
        written.acknowledged.len(),
        written.refused.len(),
        written.longest.as_secs_f32(),
        written.looks,
        written.unhealthy.len(),
    );
    for (number, said) in &written.refused {
        println!("  write {number}: {said}");
    }
    let distrust = |said: &&String| said.contains("x509") || said.contains("certificate");
    let all = written.refused.iter().map(|(_, said)| said);
    let distrusted: Vec<_> = all.chain(&written.unhealthy).filter(distrust).collect();
    assert!(distrusted.is_empty(), "{distrusted:?}");
    assert!(written.acknowledged.len() > 20);
    members.check_healthy(hosts).unwrap();
    for host in hosts {
        assert_eq!(members.lost(host, &written).unwrap(), [0; 0]);
        let check = members.etcdadm(host, ["certs", "check"]).text().unwrap();
        assert_eq!(
            check.lines().count(),
            5,
            "one authority, four pairs: {check}"
        );
    }
    // Whoever has only what the old authority signed is a stranger, and the new one's key signs.
    let old = |name: &str| format!("{OLD}/{name}");
    let words = [
        "/opt/bin/etcdctl",
        "--endpoints=https://127.0.0.1:2379",
        &format!("--cacert={PKI}/ca.crt"),
        &format!("--cert={}", old("etcdctl-etcd-client.crt")),
        &format!("--key={}", old("etcdctl-etcd-client.key")),
        "--command-timeout=2s",
        "get",
        "x",
    ];
    assert!(!hosts[0].exec(words).output().unwrap().success());
    let renew = ["certs", "renew", "--all"];
    for host in hosts {
        members.etcdadm(host, renew).check().unwrap();
    }
    members.check_healthy(hosts).unwrap();
}

pub(crate) fn rotate(members: &Members<'_>, host: &Host, step: &str) -> Output {
    let words = ["certs", "rotate-ca", step, "--output", "json"];
    let run = members.etcdadm(host, words);
    timed(&format!("{} {step}", host.name()), || run.output().unwrap())
}

/// The new authority, as an admin copies it.
pub(crate) fn copy_next(from: &Host, to: &Host) {
    for name in ["ca.crt", "ca.key"] {
        let path = format!("{PKI}/next/{name}");
        to.write(&path, from.read(&path).unwrap(), 0o600).unwrap();
    }
}

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn an_authority_elsewhere_signs_for_a_cluster_without_its_key() {
    let ground = Ground::new("elsewhere", 2);
    let members = ground.members(NEWEST);
    let hosts = ground.hosts.as_slice();
    members.equip_all(hosts).unwrap();
    let folder = ground.folder.path().join("authority");
    let make = ground.lab.run(["mkdir"]).args([&folder]);
    make.check().unwrap();
    let at = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let openssl = |words: &str| {
        let words: Vec<String> = words
            .split(' ')
            .map(|word| word.strip_prefix('@').map_or(word.to_owned(), at))
            .collect();
        let run = ground.lab.run(["openssl"]).args(words);
        run.check().unwrap();
    };
    openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=elsewhere -keyout @ca.key -out @ca.crt",
    );
    for host in hosts {
        members.etcdadm(host, ["certs", "csr"]).check().unwrap();
        // Where certificates are asked for elsewhere, no authority is made.
        let early = members.init(host).output().unwrap();
        assert!(
            early.error_text().contains("was not installed yet"),
            "{}",
            early.error_text()
        );
        for stem in [
            "server",
            "peer",
            "etcdctl-etcd-client",
            "apiserver-etcd-client",
        ] {
            let path = format!("{PKI}/{stem}.csr");
            host.get(&path, &folder.join("asked.csr")).unwrap();
            openssl(
                "x509 -req -in @asked.csr -CA @ca.crt -CAkey @ca.key -CAcreateserial -days 20 -copy_extensions copy -out @signed.crt",
            );
            let signed = format!("/root/signed/{stem}.crt");
            host.put(&folder.join("signed.crt"), &signed, 0o644)
                .unwrap();
        }
        host.put(&folder.join("ca.crt"), "/root/signed/ca.crt", 0o644)
            .unwrap();
        let install = ["certs", "install", "/root/signed"];
        members.etcdadm(host, install).check().unwrap();
    }
    members.init(&hosts[0]).check().unwrap();
    members.join(&hosts[1], &hosts[0]).check().unwrap();
    members.follow_authority(&hosts[0]).unwrap();
    members.check_healthy(hosts).unwrap();
    for host in hosts {
        members
            .etcdadm(host, ["certs", "check", "--days", "10"])
            .check()
            .unwrap();
        let keys = host.exec(["ls", PKI]).text().unwrap();
        assert!(!keys.contains("ca.key") && !keys.contains(".csr"), "{keys}");
    }
}

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn a_change_of_authorities_that_is_killed_after_every_change_is_finished() {
    let ground = Ground::new("rotate-killed", 3);
    let members = ground.members(NEWEST);
    let hosts = ground.hosts.as_slice();
    members.equip_all(hosts).unwrap();
    members.form(hosts).unwrap();
    let ((), written) = members
        .under_load(hosts, |_| {
            for step in ["trust", "reissue", "finish"] {
                if step == "trust" {
                    let cuts = killed(&hosts[0], step);
                    println!("{step}: cut off {cuts} times");
                    assert!(cuts >= 4, "{cuts}");
                    hosts[1..]
                        .iter()
                        .for_each(|host| copy_next(&hosts[0], host));
                }
                for host in hosts {
                    killed(host, step);
                    let again = rotate(&members, host, step);
                    assert!(again.success(), "{}", again.error_text());
                    let told: Value = serde_json::from_str(&again.text()).unwrap();
                    assert_eq!(told["changes"], serde_json::json!([]), "{told:#}");
                }
                members.follow_authority(&hosts[0]).unwrap();
            }
        })
        .unwrap();
    members.check_healthy(hosts).unwrap();
    for host in hosts {
        assert_eq!(members.lost(host, &written).unwrap(), [0; 0]);
        let check = members.etcdadm(host, ["certs", "check"]).text().unwrap();
        assert_eq!(check.lines().count(), 5, "{check}");
    }
}

/// Takes a step by runs that are killed each after one change, until one has nothing left to be killed at.
fn killed(host: &Host, step: &str) -> usize {
    // The third sync of the journal is that of the second change.
    let inject = "inject=fdatasync:signal=SIGKILL:when=3";
    let strace = [
        "strace",
        "-o",
        "/run/trace",
        "-e",
        "trace=fdatasync",
        "-e",
        inject,
    ];
    let words = [hosts::ETCDADM, "certs", "rotate-ca", step];
    for cuts in 0..30 {
        let run = host.exec(strace.into_iter().chain(words));
        let output = run
            .timeout(std::time::Duration::from_secs(200))
            .output()
            .unwrap();
        if output.success() {
            return cuts;
        }
        assert!(
            output.error_text().is_empty() || !output.error_text().contains("error:"),
            "{step} after {cuts} cuts: {}",
            output.error_text()
        );
    }
    panic!("{step} does not come to its end");
}
