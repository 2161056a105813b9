//! `nodeadm token`: the tokens that workers join with. On a control plane; a token is never an argument of a program.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use api::{Credentials, NodeConfiguration, Role, Secret};
use cli::Context;
use host::{Effects, Local};
use serde::Serialize;
use serde_json::Value;

use crate::arguments::TokenCreateArgs;
use crate::change::{Change, ClusterChange};
use crate::record::Record;
use crate::settings::Settings;
use crate::verbs::node;
use crate::{Error, Node, bootstrap_token, paths};

/// A token that was made.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    token: Secret,
    id: String,
    expires: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    join: Option<String>,
}

/// `nodeadm token create`.
///
/// # Errors
/// When this is no control plane, or the API refuses.
pub(crate) fn create(
    context: &mut Context,
    root: &Path,
    args: &TokenCreateArgs,
) -> Result<(), cli::Error> {
    let mut node = this_node(root)?;
    let (text, expires) = make(&mut node, args.ttl, &args.description)?;
    let join = args
        .print_join
        .then(|| document(&node, &text))
        .transpose()?;
    let id = text.split('.').next().unwrap_or_default().to_owned();
    let created = Created {
        token: Secret::new(text),
        id,
        expires,
        join,
    };
    context.print(&created, |created| match &created.join {
        Some(join) => join.clone(),
        None => format!("{}\n", created.token.reveal()),
    })
}

/// `nodeadm token delete`. One that is gone already is as it should be.
///
/// # Errors
/// When this is no control plane, or the API refuses.
pub(crate) fn delete(_: &mut Context, root: &Path, text: &str) -> Result<(), cli::Error> {
    let id = text.split('.').next().unwrap_or_default();
    if bootstrap_token::parts(&format!("{id}.0123456789abcdef")).is_none() {
        return Err(
            Error::Settings(format!("{id:?} is no token's id: six letters and digits")).into(),
        );
    }
    let what = format!("Secret kube-system/bootstrap-token-{id}");
    let change = ClusterChange::Delete {
        what,
        path: bootstrap_token::path(id),
    };
    Ok(this_node(root)?.apply(&Change::Cluster(change))?)
}

/// Makes a token and the documents that a worker joins with.
///
/// # Errors
/// When the API refuses.
pub(super) fn join_document(
    node: &mut Node,
    ttl: Duration,
    description: &str,
) -> Result<String, Error> {
    let (text, _) = make(node, ttl, description)?;
    document(node, &text)
}

fn this_node(root: &Path) -> Result<Node, Error> {
    let record =
        Record::read(&Local::new(root))?.filter(|record| record.configuration.role == Role::Master);
    let record = record.ok_or_else(|| {
        Error::Settings("tokens are made on a control plane; this host is none".into())
    })?;
    Ok(node(root, Settings::recorded(&record, root), false))
}

fn make(node: &mut Node, ttl: Duration, description: &str) -> Result<(String, String), Error> {
    let text = bootstrap_token::draw();
    let (id, secret) = bootstrap_token::parts(&text).expect("a token that was drawn is one");
    let expires = bootstrap_token::end(SystemTime::now(), ttl);
    node.apply(&Change::apply(&bootstrap_token::secret(
        id,
        secret,
        &expires,
        description,
    )))?;
    Ok((text, expires))
}

/// What a worker is given: as this node is configured, so far as it concerns a worker, the authority, the token.
fn document(node: &Node, token: &str) -> Result<String, Error> {
    let settings = node.settings();
    let config = NodeConfiguration {
        role: Role::Node,
        cluster_name: settings.config.cluster_name.clone(),
        kubernetes_version: Some(settings.version),
        control_plane_endpoint: settings.endpoint.parse().ok(),
        network: settings.config.network.clone(),
        install_dir: settings.config.install_dir.clone(),
        components: settings.config.components.clone(),
        containerd_patch: settings.config.containerd_patch.clone(),
        ignore_preflight_errors: settings.config.ignore_preflight_errors.clone(),
        ..NodeConfiguration::default()
    };
    let ca = Path::new(paths::PKI).join("ca.crt");
    let pem = node.host().read_text(&ca)?.ok_or_else(|| Error::File {
        path: ca,
        what: "it is not there".into(),
    })?;
    let files = BTreeMap::from([
        ("ca.crt".to_owned(), Secret::new(pem)),
        ("token".to_owned(), Secret::new(token)),
    ]);
    let mut documents = vec![
        api::yaml::to_string(&config),
        api::yaml::to_string(&Credentials::new(files)),
    ];
    let kubelet = settings
        .foreign
        .iter()
        .filter(|foreign| foreign.kind == "KubeletConfiguration");
    documents.extend(kubelet.map(|foreign| api::yaml::to_string::<Value>(&foreign.value)));
    Ok(documents.join("---\n"))
}
