//! `cctl get`: what the state says, without asking any host.

use std::collections::BTreeMap;

use cli::{Context, Format};
use serde_json::{Value, json};
use state::State;

use crate::arguments::Get;
use crate::settings::Settings;
use crate::{Error, kubeconfig};

pub(crate) fn run(
    context: &mut Context,
    settings: &Settings,
    what: &Get,
) -> Result<(), cli::Error> {
    let state = state::read(&settings.state).map_err(Error::from)?;
    match what {
        Get::Cluster => cluster(context, &state),
        Get::Machine { ip } => machines(context, &state, ip.map(|ip| ip.to_string()).as_deref()),
        Get::Kubeconfig { file } => {
            let text = admin_kubeconfig(settings, &state)?;
            match file {
                None => context.print_text(text.reveal()),
                Some(path) => {
                    host::write_atomically(path, 0o600, text.reveal().as_bytes())
                        .map_err(Error::from)?;
                    context.progress.note(&format!("wrote {}", path.display()));
                    Ok(())
                }
            }
        }
    }
}

/// The kept one, or a new one while there is none yet. Others may be at work on the state meanwhile.
fn admin_kubeconfig(settings: &Settings, state: &State) -> Result<api::Secret, Error> {
    let identity = settings.identity(state.configuration().ssh.identity_file.as_deref())?;
    let (state, secrets) = state::unseal(&settings.state, &identity)?;
    match secrets.admin_kubeconfig {
        Some(kept) => Ok(kept),
        None => kubeconfig::admin(state.configuration(), &state, &secrets),
    }
}

/// Many objects as `kubectl` prints them.
fn list(items: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

fn object<T: serde::Serialize>(object: &T) -> Value {
    let mut value = serde_json::to_value(object).expect("objects become JSON");
    // A status is set by whoever runs the cluster's controllers, not by who applies the object.
    if let Some(fields) = value.as_object_mut() {
        fields.remove("status");
    }
    value
}

fn cluster(context: &Context, state: &State) -> Result<(), cli::Error> {
    let objects = list(vec![object(&state.cluster), object(&state.ssh_cluster)]);
    let configuration = state.configuration();
    if context.format() != Format::Text {
        return context.print(&objects, |_| String::new());
    }
    let mut text = format!(
        "cluster      {}\nid           {}\nKubernetes   {}\netcd         {}\nendpoint     {}\nmachines     {} masters, {} nodes\nstate        generation {}\n",
        configuration.metadata.name,
        state.cluster_id,
        configuration.kubernetes.version,
        configuration.etcd.version,
        configuration.control_plane_endpoint.api_url(),
        configuration.masters().count(),
        configuration.nodes().count(),
        state.generation,
    );
    for recipient in &state.vouching.recipients {
        text.push_str(&format!("sealed for   {recipient}\n"));
    }
    match &state.vouching.signer {
        Some(signer) => text.push_str(&format!("vouched by   {signer}\n")),
        None => text
            .push_str("vouched by   nobody: a copy that comes from elsewhere cannot be checked\n"),
    }
    context.print_text(&text)
}

fn machines(context: &Context, state: &State, ip: Option<&str>) -> Result<(), cli::Error> {
    let wanted: Vec<_> = state
        .ssh_machines
        .iter()
        .filter(|machine| ip.is_none_or(|ip| machine.spec.address == ip))
        .collect();
    if let Some(ip) = ip
        && wanted.is_empty()
    {
        return Err(Error::NoMachine(ip.to_owned()).into());
    }
    if context.format() != Format::Text {
        let of: BTreeMap<&str, Value> = state
            .machines
            .iter()
            .map(|machine| (machine.metadata.name.as_str(), object(machine)))
            .collect();
        let items = wanted
            .iter()
            .flat_map(|machine| {
                of.get(machine.metadata.name.as_str())
                    .cloned()
                    .into_iter()
                    .chain([serde_json::to_value(machine).expect("objects become JSON")])
            })
            .collect();
        return context.print(&list(items), |_| String::new());
    }
    let mut text = format!(
        "{:<16} {:<14} {:<8} {:<13} {:<16} {}\n",
        "ADDRESS", "NAME", "ROLES", "PHASE", "MEMBER", "LAST STEP"
    );
    for machine in wanted {
        let roles: Vec<String> = machine
            .spec
            .roles
            .iter()
            .filter_map(|role| serde_json::to_value(role).ok()?.as_str().map(str::to_owned))
            .collect();
        let name = match &machine.status.hostname {
            name if name.is_empty() => "-",
            name => name,
        };
        text.push_str(&format!(
            "{:<16} {:<14} {:<8} {:<13} {:<16} {}\n",
            machine.spec.address,
            name,
            roles.join(","),
            format!("{:?}", machine.status.phase),
            machine.status.etcd_member_id.as_deref().unwrap_or("-"),
            machine.status.last_step,
        ));
    }
    context.print_text(&text)
}
