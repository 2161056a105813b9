//! What is begun, what goes on, and what is refused.

use clap::Parser;
use state::AuthorityCertificates;

use super::*;
use crate::arguments::{Arguments, Verb};

const FILE: &str = "\
apiVersion: klusterkit.dev/v1alpha1
kind: ClusterConfiguration
metadata: {name: prod}
kubernetes: {version: v1.37.2}
etcd: {version: v3.7.3}
controlPlaneEndpoint: 10.0.0.100
machines:
  - {address: 10.0.0.1, roles: [master]}
  - {address: 10.0.0.2, roles: [master]}
  - {address: 10.0.0.3, roles: [master]}
  - {address: 10.0.0.4, roles: [node]}
";

fn state() -> State {
    let documents = api::Documents::parse(FILE).unwrap();
    let configuration = documents.cluster.unwrap();
    State::new(configuration, Vec::new(), AuthorityCertificates::default())
}

fn snapshot() -> Metadata {
    serde_json::from_value(serde_json::json!({
        "apiVersion": api::API_VERSION,
        "kind": "EtcdSnapshot",
        "takenAt": "2026-11-23T03:00:00Z",
        "clusterId": "1",
        "member": "h1",
        "etcdVersion": "3.7.3",
        "members": [],
        "hash": {"hash": 1, "revision": 1, "compactRevision": 1},
        "keys": 1,
        "size": 1,
        "sha256": "0",
    }))
    .unwrap()
}

fn said(state: &State, words: &str) -> Result<Recovery, Error> {
    let all = ["cctl", "recover", "--snapshot", "x"].into_iter();
    let arguments = Arguments::parse_from(all.chain(words.split_whitespace()));
    let Verb::Recover(args) = arguments.verb else {
        panic!("another verb");
    };
    let goal = Goal {
        configuration: state.configuration().clone(),
        documents: Vec::new(),
        artifacts: None,
    };
    begin(state, &goal, &snapshot(), &args)
}

fn refused(state: &State, words: &str) -> String {
    said(state, words).unwrap_err().to_string()
}

#[test]
fn in_place_all_stays_and_elsewhere_etcd_has_a_new_authority() {
    let state = state();
    let plain = said(&state, "").unwrap();
    assert_eq!(
        (plain.etcd_authority, plain.moved_from),
        (EtcdAuthority::Kept, None)
    );
    let asked = said(&state, "--new-etcd-authority").unwrap();
    assert_eq!(asked.etcd_authority, EtcdAuthority::Wanted);
    let elsewhere = said(&state, "--replace 10.0.0.1=10.0.0.9").unwrap();
    assert_eq!(elsewhere.etcd_authority, EtcdAuthority::Wanted);
    let moved = said(&state, "--endpoint 10.0.0.200").unwrap();
    assert_eq!(moved.moved_from.as_deref(), Some("10.0.0.100:6443"));
    assert_eq!(moved.etcd_authority, EtcdAuthority::Kept);
    // To say what is so moves nothing.
    assert_eq!(
        said(&state, "--endpoint 10.0.0.100:6443")
            .unwrap()
            .moved_from,
        None
    );
}

#[test]
fn the_api_is_nowhere_where_nobody_can_be() {
    let mut state = state();
    insta::assert_snapshot!(refused(&state, "--endpoint 10.0.0.2 --dead 10.0.0.2"), @"10.0.0.2 is gone, and cannot be where all reach the API: name another place with --endpoint");
    let mut configuration = state.configuration().clone();
    configuration.control_plane_endpoint = "10.0.0.1".parse().unwrap();
    state.set_configuration(configuration, Vec::new());
    insta::assert_snapshot!(refused(&state, "--replace 10.0.0.1=10.0.0.9"), @"10.0.0.1 is where all reach the API: say where they are to reach it from now on with --endpoint");
    let moved = said(&state, "--replace 10.0.0.1=10.0.0.9 --endpoint 10.0.0.9").unwrap();
    assert_eq!(moved.moved_from.as_deref(), Some("10.0.0.1:6443"));
    insta::assert_snapshot!(refused(&state, "--replace 10.0.0.1=10.0.0.9 --endpoint 10.0.0.1"), @"10.0.0.1 is where all reach the API: another address for it is told to the nodes by `cctl recover --endpoint` alone");
}

#[test]
fn one_that_was_cut_off_goes_on_as_it_began() {
    let mut state = state();
    let begun = said(&state, "--endpoint 10.0.0.200 --dead 10.0.0.3").unwrap();
    let mut configuration = state.configuration().clone();
    configuration.control_plane_endpoint = "10.0.0.200".parse().unwrap();
    state.set_configuration(configuration, Vec::new());
    state.recovery = Some(begun.clone());
    assert_eq!(said(&state, "").unwrap(), begun);
    assert_eq!(said(&state, "--endpoint 10.0.0.200:6443").unwrap(), begun);
    let more = said(&state, "--dead 10.0.0.2").unwrap();
    assert_eq!(more.dead, ["10.0.0.3", "10.0.0.2"]);
    // When it was begun depends on now.
    let refused = |words: &str| refused(&state, words).replace(&begun.begun_at, "NOW");
    insta::assert_snapshot!(refused("--endpoint 10.0.0.201"), @"the recovery that was begun at NOW has the API at 10.0.0.200:6443; --anew begins it otherwise");
    insta::assert_snapshot!(refused("--new-etcd-authority"), @"the recovery that was begun at NOW keeps etcd's authority; --anew begins it otherwise");
    insta::assert_snapshot!(refused("--replace 10.0.0.1=10.0.0.9"), @"the recovery that was begun at NOW puts other hosts in others' places; --anew begins it otherwise");
    // Begun otherwise: some nodes may have been told of the first place, or of the second.
    let anew = said(&state, "--anew --older").unwrap();
    assert_eq!(anew.moved_from.as_deref(), Some("10.0.0.100:6443"));
}
