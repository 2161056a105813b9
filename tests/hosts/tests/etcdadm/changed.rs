//! Another configuration for members that run, written to all the while.

use serde_json::{Value, json};

use crate::{Ground, NEWEST, timed};

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn a_configuration_is_put_into_force_member_by_member() {
    let ground = Ground::alone("changed", 3);
    let members = ground.members(NEWEST);
    let hosts = ground.hosts.as_slice();
    members.equip_all(hosts).unwrap();
    members.form(hosts).unwrap();
    let document = |more: &Value| {
        let mut document = json!({
            "apiVersion": "klusterkit.dev/v1alpha1",
            "kind": "EtcdConfiguration",
            "diskPriorities": ["Nice=-5"],
            "extraEnvironment": {"ETCD_QUOTA_BACKEND_BYTES": "4000000000"},
        });
        let fields = document.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        document.to_string()
    };
    let ((), written) = members
        .under_load(hosts, |_| {
            for host in hosts {
                let run = |words: &[&str]| {
                    let run = members.etcdadm(host, words.iter().copied());
                    run.stdin(document(&json!({})))
                };
                let diff = run(&["config", "diff", "--config", "-"]).text().unwrap();
                assert!(
                    diff.contains("+ extraEnvironment.ETCD_QUOTA_BACKEND_BYTES"),
                    "{diff}"
                );
                let apply = run(&["config", "apply", "--config", "-"]);
                timed(&format!("apply on {}", host.name()), || apply.check()).unwrap();
                let diff = run(&["config", "diff", "--config", "-"]).text().unwrap();
                assert_eq!(diff, "no differences");
                let again = run(&["config", "apply", "--config", "-", "--dry-run"]);
                assert_eq!(again.text().unwrap(), "nothing to change");
            }
        })
        .unwrap();
    for host in hosts {
        assert_eq!(members.lost(host, &written).unwrap(), [0; 0]);
        let words = ["systemctl", "show", "etcd.service", "--property=Nice"];
        let nice = host.nsexec(words).unwrap().text().unwrap();
        assert_eq!(nice, "Nice=-5");
    }
    let status = members.etcdadm(&hosts[0], ["status", "--output", "json"]);
    let status: Value = serde_json::from_str(&status.text().unwrap()).unwrap();
    for member in status["members"].as_array().unwrap() {
        assert_eq!(member["status"]["dbQuota"], 4_000_000_000_u64, "{member:#}");
    }

    // Another port, then another address: all others follow.
    let host = &hosts[2];
    let words = ["config", "apply", "--config", "-"];
    let more = json!({"clientPort": 3379});
    members
        .etcdadm(host, words)
        .stdin(document(&more))
        .check()
        .unwrap();
    let other = ground.lab.net().address(77).to_string();
    let add = [
        "ip",
        "address",
        "add",
        &format!("{other}/24"),
        "dev",
        "eth0",
    ];
    host.nsexec(add).unwrap().check().unwrap();
    let more = json!({"address": other});
    members
        .etcdadm(host, words)
        .stdin(document(&more))
        .check()
        .unwrap();
    for host in hosts {
        let status = members.etcdadm(host, ["status", "--output", "json"]);
        let status: Value = serde_json::from_str(&status.text().unwrap()).unwrap();
        let all = status["members"].as_array().unwrap();
        let moved = format!("https://{other}:2380");
        let there = all
            .iter()
            .any(|member| member["peerUrls"][0] == moved.as_str());
        assert!(there && all.len() == 3, "{status:#}");
    }
}
