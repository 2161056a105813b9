//! `cctl create cluster` and `cctl create machine`.

use api::{
    API_VERSION, ClusterConfiguration, Endpoint, Machine, Metadata, Ssh, Versioned, Vip, VipSetting,
};
use cli::Context;

use crate::Error;
use crate::apply;
use crate::arguments::{ApplyArgs, CreateCluster, CreateMachine};
use crate::goal::Goal;
use crate::session;
use crate::settings::Settings;

/// What is made where no versions are named.
const KUBERNETES: api::Version = api::Version::new(1, 37, 2);
const ETCD: api::Version = api::Version::new(3, 7, 3);

pub(crate) fn cluster(
    context: &mut Context,
    settings: &Settings,
    args: &CreateCluster,
) -> Result<(), cli::Error> {
    if settings.state.exists() {
        return Err(Error::State(state::Error::Exists {
            path: settings.state.clone(),
        })
        .into());
    }
    if args.apply.file.is_some() {
        return apply::run(context, settings, &args.apply, args.apply.dry_run);
    }
    let endpoint: Endpoint = args.vip.clone().ok_or_else(|| {
        Error::Usage("name where all reach the API: --vip ADDRESS (or -f cluster.yaml)".to_owned())
    })?;
    let mut network = api::Network::default();
    if let Some(subnet) = &args.pod_network {
        network.pod_subnet.clone_from(subnet);
    }
    if let Some(subnet) = &args.service_network {
        network.service_subnet.clone_from(subnet);
    }
    let configuration = ClusterConfiguration {
        api_version: API_VERSION.to_owned(),
        kind: "ClusterConfiguration".to_owned(),
        metadata: Metadata {
            name: args.name.clone(),
            ..Metadata::default()
        },
        kubernetes: Versioned {
            version: args.kubernetes_version.unwrap_or(KUBERNETES),
        },
        etcd: Versioned {
            version: args.etcd_version.unwrap_or(ETCD),
        },
        control_plane_endpoint: endpoint,
        vip: args.router_id.map_or(VipSetting::Default, |id| {
            VipSetting::Keepalived(Vip {
                router_id: Some(id),
                ..Vip::default()
            })
        }),
        network,
        ssh: Ssh {
            user: args.user.clone(),
            identity_file: args.private_key.clone(),
            ..Ssh::default()
        },
        machines: Vec::new(),
        ignore_preflight_errors: Vec::new(),
    };
    let goal = Goal {
        configuration,
        documents: Vec::new(),
        artifacts: None,
    };
    let open = session::remember(&goal, None, None, settings)?;
    let path = open.path().display().to_string();
    context.print(&open.state.cluster, |cluster| {
        format!(
            "cluster {} has its state, {path}; add machines with `cctl create machine`\n",
            cluster.metadata.name
        )
    })
}

pub(crate) fn machine(
    context: &mut Context,
    settings: &Settings,
    args: &CreateMachine,
) -> Result<(), cli::Error> {
    let state = state::read(&settings.state).map_err(Error::from)?;
    let apply_args = ApplyArgs {
        file: None,
        bundle: args.bundle.clone(),
        dry_run: args.dry_run,
    };
    let mut goal = session::goal(&apply_args, Some(&state))?;
    let configuration = &mut goal.configuration;
    let machine = Machine {
        address: args.ip,
        name: args.name.clone(),
        roles: vec![args.role],
        labels: args.label.iter().cloned().collect(),
        taints: None,
        ssh: args.port.map(|port| Ssh {
            port,
            ..configuration.ssh.clone()
        }),
    };
    match configuration
        .machines
        .iter_mut()
        .find(|known| known.address == args.ip)
    {
        // The run before may have been cut off after the state was written.
        Some(known) if known.roles == machine.roles => *known = machine,
        Some(_) => {
            return Err(Error::Usage(format!(
                "{} is a machine of this cluster already, with another role",
                args.ip
            ))
            .into());
        }
        None => configuration.machines.push(machine),
    }
    let faults = configuration.faults();
    if !faults.is_empty() {
        return Err(Error::Faults(faults).into());
    }
    apply::with_goal(context, settings, &goal, args.dry_run)
}
