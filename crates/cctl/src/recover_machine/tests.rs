//! What is a control plane's recovery, and what is refused.

use super::*;

const FILE: &str = "\
apiVersion: klusterkit.dev/v1alpha1
kind: ClusterConfiguration
metadata: {name: prod}
kubernetes: {version: v1.37.2}
etcd: {version: v3.7.3}
controlPlaneEndpoint: 10.0.0.1
vip: none
machines:
  - {address: 10.0.0.1, roles: [master]}
  - {address: 10.0.0.2, roles: [master]}
  - {address: 10.0.0.3, roles: [master]}
  - {address: 10.0.0.4, roles: [node]}
";

#[test]
fn only_a_control_plane_is_recovered() {
    let documents = api::Documents::parse(FILE).unwrap();
    let goal = Goal {
        configuration: documents.cluster.clone().unwrap(),
        documents: Vec::new(),
        artifacts: None,
    };
    let said = |old: &str, new: &str| match check(&goal, old, new) {
        Ok(()) => "fine".to_owned(),
        Err(error) => error.to_string(),
    };
    assert_eq!(said("10.0.0.2", "10.0.0.2"), "fine");
    assert_eq!(said("10.0.0.2", "10.0.0.9"), "fine");
    assert_eq!(said("10.0.0.1", "10.0.0.1"), "fine");
    insta::assert_snapshot!(said("10.0.0.2", "10.0.0.4"), @"10.0.0.4 is a machine of the cluster already");
    insta::assert_snapshot!(said("10.0.0.1", "10.0.0.9"), @"10.0.0.1 is where all reach the API: another address for it is told to the nodes by `cctl recover --endpoint` alone");
    insta::assert_snapshot!(said("10.0.0.4", "10.0.0.4"), @"10.0.0.4 is a worker, which keeps nothing: `cctl delete machine --force` and `cctl create machine` bring it back");
    insta::assert_snapshot!(said("10.0.0.8", "10.0.0.8"), @"there is no machine 10.0.0.8 in the state");
}
