//! The admin's kubeconfig, issued from the cluster's own authority: no host has to be asked for it.

use std::time::SystemTime;

use api::{ClusterConfiguration, Secret};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use state::{Secrets, State};

use crate::Error;

/// The group that kubeadm gives all rights to.
const GROUP: &str = "kubeadm:cluster-admins";
const USER: &str = "kubernetes-admin";

/// A kubeconfig for the cluster's admin, valid for a year.
///
/// # Errors
/// When the state's authority cannot issue.
pub(crate) fn admin(
    configuration: &ClusterConfiguration,
    state: &State,
    secrets: &Secrets,
) -> Result<Secret, Error> {
    let fail = |source| Error::Certificates {
        who: USER.to_owned(),
        source,
    };
    let ca = &state.authorities.kubernetes;
    let authority =
        pki::Authority::from_pem(ca.as_bytes(), secrets.kubernetes_key.reveal().as_bytes())
            .map_err(fail)?;
    let pair = authority
        .issue(&pki::kubernetes::user(USER, GROUP), SystemTime::now())
        .map_err(fail)?;
    let name = &configuration.metadata.name;
    let context = format!("{USER}@{name}");
    let document = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {
            "server": configuration.control_plane_endpoint.api_url(),
            "certificate-authority-data": BASE64_STANDARD.encode(ca),
        }}],
        "users": [{"name": USER, "user": {
            "client-certificate-data": BASE64_STANDARD.encode(&pair.certificate),
            "client-key-data": BASE64_STANDARD.encode(pair.key.expose()),
        }}],
        "contexts": [{"name": context, "context": {"cluster": name, "user": USER}}],
        "current-context": context,
    });
    Ok(Secret::new(api::yaml::to_string(&document)))
}
