//! A host that loses power right after its node was made, when most of what was written was never synced by anybody.

use hosts::Nodes;
use lab::{Host, wait_until};
use serde_json::Value;

use crate::{Ground, NEWEST, READY, timed};

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn a_node_comes_back_from_a_power_loss() {
    let ground = Ground::new("power", 1);
    let host = &ground.hosts[0];
    let nodes = ground.nodes(NEWEST);
    let members = ground.members("etcd");
    nodes.equip(host).unwrap();
    nodes.configure(host, "taints: []\n").unwrap();
    Nodes::etcd(&members, host).unwrap();
    nodes.configured(host, ["init"]).check().unwrap();
    nodes.wait_ready(host, 1, READY).unwrap();

    host.power_loss().unwrap();
    host.boot().unwrap();
    host.wait_ssh().unwrap();
    let now = host.exec(["date", "--utc", "+%FT%TZ"]).text().unwrap();
    timed("all containers run again after a power loss", || {
        wait_restarted(&nodes, host, now.trim());
    });
}

/// What the API still says of the time before the loss does not count: every container must have been started since.
fn wait_restarted(nodes: &Nodes, host: &Host, since: &str) {
    let mut missing = String::new();
    let waited = wait_until("all containers to be started again", READY, || {
        let Ok(pods) = nodes.get(host, &["pods", "--all-namespaces"]) else {
            return Ok(false);
        };
        missing = not_started(&pods, since);
        Ok(missing.is_empty())
    });
    let console = || {
        let words = ["journalctl", "--unit=kubelet", "--lines=60", "--no-pager"];
        host.nsexec(words).unwrap().text().unwrap()
    };
    assert!(waited.is_ok(), "{missing}\n{}", console());
}

/// Pods with a container that was not started since, and why not.
fn not_started(pods: &Value, since: &str) -> String {
    let items = pods["items"].as_array().cloned().unwrap_or_default();
    let lacks = |pod: &Value| {
        let containers = pod["status"]["containerStatuses"].as_array();
        let runs = |status: &Value| {
            status["ready"] == true
                && status["state"]["running"]["startedAt"]
                    .as_str()
                    .is_some_and(|at| at >= since)
        };
        let all = containers.is_some_and(|all| !all.is_empty() && all.iter().all(runs));
        (!all).then(|| {
            format!(
                "{}: {}\n",
                pod["metadata"]["name"], pod["status"]["containerStatuses"]
            )
        })
    };
    if items.is_empty() {
        return "no pods\n".to_owned();
    }
    items.iter().filter_map(lacks).collect()
}
