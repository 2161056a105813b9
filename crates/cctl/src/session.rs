//! What verbs share: the cluster's file or state, the hosts reached and looked at, the state opened for writing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use api::Documents;
use cli::Context;
use ssh::Client;
use state::{AuthorityCertificates, Open, Secrets, State};

use crate::arguments::ApplyArgs;
use crate::artifacts::Artifacts;
use crate::error::Failure;
use crate::fleet::{Fleet, Remote, on_all, target};
use crate::goal::{AllSeen, Goal, Seen};
use crate::old::Seeker;
use crate::settings::Settings;
use crate::told::Told;
use crate::{Error, documents, phases};

/// A cluster file as it was read.
pub(crate) fn read_cluster_file(path: &str) -> Result<Documents, cli::Error> {
    let documents = cli::read_documents(path)?;
    match &documents.cluster {
        None => Err(Error::Usage(format!("{path} holds no ClusterConfiguration")).into()),
        Some(cluster) => {
            let mut faults = cluster.faults();
            faults.extend(ssh_faults(cluster));
            if faults.is_empty() {
                Ok(documents)
            } else {
                Err(Error::Faults(faults).into())
            }
        }
    }
}

/// Options of OpenSSH's that may not be set, told once instead of for every host.
fn ssh_faults(cluster: &api::ClusterConfiguration) -> Vec<String> {
    let own = cluster.machines.iter().filter_map(|machine| {
        let ssh = machine.ssh.as_ref()?;
        Some((format!("machine {}: ssh", machine.address), ssh))
    });
    let check = |(whose, ssh): (String, &api::Ssh)| {
        let faults = ssh.options.iter().filter_map(|(name, value)| {
            let error = ssh::check_option(name, value).err()?;
            Some(format!("{whose}.options: {error}"))
        });
        faults.collect::<Vec<_>>()
    };
    std::iter::once(("ssh".to_owned(), &cluster.ssh))
        .chain(own)
        .flat_map(check)
        .collect()
}

/// The state, if there is one; readable without any key.
pub(crate) fn read_state(settings: &Settings) -> Result<Option<State>, Error> {
    match state::read(&settings.state) {
        Ok(state) => Ok(Some(state)),
        Err(state::Error::None { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What is wanted: the cluster file, else what the state says.
pub(crate) fn goal(args: &ApplyArgs, state: Option<&State>) -> Result<Goal, cli::Error> {
    let artifacts = args.bundle.as_deref().map(Artifacts::open).transpose()?;
    let (configuration, handed) = match (&args.file, state) {
        (Some(file), _) => {
            let documents = read_cluster_file(file)?;
            let handed = documents::handed_on(&documents);
            (documents.cluster.expect("checked when it was read"), handed)
        }
        (None, Some(state)) => (
            state.configuration().clone(),
            state.ssh_cluster.spec.documents.clone(),
        ),
        (None, None) => {
            return Err(Error::Usage(
                "there is neither a cluster file (-f) nor a state".to_owned(),
            )
            .into());
        }
    };
    if let Some(state) = state
        && state.configuration().metadata.name != configuration.metadata.name
    {
        let (ours, theirs) = (
            &configuration.metadata.name,
            &state.configuration().metadata.name,
        );
        return Err(cli::Error::from(Error::Usage(format!(
            "the cluster file is of cluster {ours}, and the state of cluster {theirs}"
        )))
        .hint("name this cluster's own state with --state"));
    }
    Ok(Goal {
        configuration,
        documents: handed,
        artifacts,
    })
}

/// Hosts that were reached and looked at.
pub(crate) struct Looked {
    pub fleet: Fleet,
    pub client: Arc<Client>,
    pub seen: AllSeen,
    /// Old hosts that are back: their connections, which are among the fleet's, last as long as these.
    pub old: Vec<Seeker>,
}

/// Reaches all hosts, brings the node tools, looks, and checks what must hold before anything is changed.
///
/// # Errors
/// When a host cannot be reached or looked at, or a check fails.
pub(crate) fn look_and_check(
    context: &mut Context,
    goal: &Goal,
    state: Option<&State>,
    settings: &Settings,
) -> Result<Looked, Error> {
    let looked = look(context, goal, state, settings)?;
    let mut found = phases::check(goal, &looked.fleet, &looked.seen, state);
    // What an old control plane that is back holds is no fault: it is stopped first.
    let fleet = without_old(&looked.fleet, state);
    found.extend(phases::preflight(goal, &fleet, &looked.seen)?);
    if found.is_empty() {
        Ok(looked)
    } else {
        Err(Error::Preflight(found))
    }
}

/// Reaches all hosts, brings the node tools, looks.
///
/// # Errors
/// When a host cannot be reached or looked at.
pub(crate) fn look(
    context: &mut Context,
    goal: &Goal,
    state: Option<&State>,
    settings: &Settings,
) -> Result<Looked, Error> {
    let (looked, mut failures) = visit(context, goal, state, settings, Look::All)?;
    match failures.len() {
        0 => Ok(looked),
        1 => Err(*failures.remove(0).error),
        _ => Err(Error::Several(failures)),
    }
}

/// How much of a host is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Facts, members, and what the node tools would still change.
    All,
    /// Facts alone: what its cluster says does not matter, or nobody is there to say it.
    Facts,
}

/// Reaches and looks at all hosts that can be reached; the others are told of with what hinders.
///
/// # Errors
/// When nothing could be prepared here, or a host that was reached is lost again.
pub(crate) fn visit(
    context: &mut Context,
    goal: &Goal,
    state: Option<&State>,
    settings: &Settings,
    depth: Look,
) -> Result<(Looked, Vec<Failure>), Error> {
    let client = phases::client(goal, state, settings)?;
    let remembered = phases::remembered(goal, state);
    let progress = Mutex::new(&mut context.progress);
    let note = |remote: &Remote, what: &str| {
        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        Told::about(&remote.address, what).say(&remote.label, &mut progress);
    };
    // Each host goes its way without waiting for the others.
    let machines = &goal.configuration.machines;
    let visited = on_all(
        machines,
        |machine| machine.address.to_string(),
        |machine| {
            let visit = || {
                let remote = phases::connect(&client, goal, machine, state, settings)?;
                let remote = phases::bring_tools(remote, goal.artifacts.as_ref(), state, &note)?;
                // What an old control plane says of its cluster does not matter, and it may be slow to say it.
                let is_old = state.is_some_and(|state| state.old_host(&remote.address).is_some());
                let seen = match depth {
                    Look::All if !is_old => phases::look(&remote, goal, state, &remembered)?,
                    Look::All | Look::Facts => Seen {
                        facts: phases::facts(&remote)?,
                        ..Seen::default()
                    },
                };
                Ok((remote, seen))
            };
            Ok(visit())
        },
    )?;
    let (mut fleet, mut seen, mut failures) = (Fleet::new(), AllSeen::new(), Vec::new());
    for (machine, result) in machines.iter().zip(visited) {
        let address = machine.address.to_string();
        match result {
            Ok((mut remote, own)) => {
                if remote.label == address && !own.facts.hostname.is_empty() {
                    remote.label.clone_from(&own.facts.hostname);
                }
                fleet.insert(address.clone(), remote);
                seen.insert(address, own);
            }
            Err(error) => failures.push(Failure::on(&address, error)),
        }
    }
    if depth == Look::All {
        let fleet = without_old(&fleet, state);
        phases::look_again(&fleet, goal, &remembered, &mut seen)?;
    }
    Ok((
        Looked {
            fleet,
            client: Arc::new(client),
            seen,
            old: Vec::new(),
        },
        failures,
    ))
}

/// The hosts of the cluster as it is: without old control planes that are back.
fn without_old(fleet: &Fleet, state: Option<&State>) -> Fleet {
    let is_old = |address: &str| state.is_some_and(|state| state.old_host(address).is_some());
    let rest = fleet.iter().filter(|(address, _)| !is_old(address));
    rest.map(|(address, remote)| (address.clone(), remote.clone()))
        .collect()
}

/// Reaches the hosts that can be reached, for their facts alone; tells of the others.
///
/// # Errors
/// As [`visit`].
pub(crate) fn visit_reachable(
    context: &mut Context,
    goal: &Goal,
    state: &State,
    settings: &Settings,
) -> Result<Looked, Error> {
    let (looked, failures) = visit(context, goal, Some(state), settings, Look::Facts)?;
    for failure in &failures {
        context.progress.note(&format!("left out: {failure}"));
    }
    Ok(looked)
}

/// Opens the state, which nobody else works on until this is dropped; `None` while there is none.
///
/// # Errors
/// When no key opens it, or another run holds it.
pub(crate) fn open(settings: &Settings, login_key: Option<&str>) -> Result<Option<Open>, Error> {
    if !settings.state.exists() {
        return Ok(None);
    }
    let identity = settings.identity(login_key)?;
    Ok(Some(Open::open(&settings.state, &owner(), &identity)?))
}

/// The state of a cluster that there must be: opened, or for a dry run only read.
///
/// # Errors
/// When there is none, no key opens it, or another run holds it.
pub(crate) fn open_or_read(
    settings: &Settings,
    dry_run: bool,
) -> Result<(Option<Open>, State), Error> {
    let state = state::read(&settings.state)?;
    if dry_run {
        return Ok((None, state));
    }
    let open = open(settings, state.configuration().ssh.identity_file.as_deref())?;
    let state = open.as_ref().map_or(state, |open| open.state.clone());
    Ok((open, state))
}

fn owner() -> String {
    format!("cctl, process {}", std::process::id())
}

/// Writes down what is wanted and what was seen; makes the state where there is none.
///
/// # Errors
/// When it cannot be sealed or written.
pub(crate) fn remember(
    goal: &Goal,
    open: Option<Open>,
    looked: Option<&Looked>,
    settings: &Settings,
) -> Result<Open, Error> {
    let mut open = if let Some(open) = open {
        open
    } else {
        let identity = settings.identity(goal.configuration.ssh.identity_file.as_deref())?;
        let owner = owner();
        let (state, secrets) = new_cluster(goal)?;
        Open::create(
            &settings.state,
            &owner,
            state,
            secrets,
            &identity,
            &settings.recipients()?,
        )?
    };
    let before = open.state.clone();
    open.state
        .set_configuration(goal.configuration.clone(), goal.documents.clone());
    if let Some(looked) = looked {
        note_seen(&mut open.state, goal, looked, settings)?;
    }
    if open.state != before {
        open.save()?;
    }
    Ok(open)
}

/// Refuses to touch a cluster whose recovery is not finished.
///
/// # Errors
/// [`Error::Refused`].
pub(crate) fn not_recovering(state: Option<&State>) -> Result<(), Error> {
    match state.and_then(|state| state.recovery.as_ref()) {
        Some(recovery) if recovery.finished_at.is_none() => Err(Error::Refused(format!(
            "the recovery to {} is not finished: `cctl recover` with the same snapshot goes on",
            recovery.taken_at
        ))),
        _ => Ok(()),
    }
}

fn new_cluster(goal: &Goal) -> Result<(State, Secrets), Error> {
    let fail = |source| Error::Certificates {
        who: "the cluster".to_owned(),
        source,
    };
    let made = pki::kubernetes::Authorities::generate(SystemTime::now()).map_err(fail)?;
    let (kubernetes, front_proxy, etcd) = (
        made.kubernetes.pair(),
        made.front_proxy.pair(),
        made.etcd.pair(),
    );
    let secret = |secret: &pki::Secret| api::Secret::new(String::from_utf8_lossy(secret.expose()));
    let certificates = AuthorityCertificates {
        kubernetes: kubernetes.certificate,
        front_proxy: front_proxy.certificate,
        etcd: etcd.certificate,
    };
    let secrets = Secrets {
        kubernetes_key: secret(&kubernetes.key),
        front_proxy_key: secret(&front_proxy.key),
        etcd_key: secret(&etcd.key),
        service_account_key: secret(&made.service_account.private),
        admin_kubeconfig: None,
        signing_key: api::Secret::default(),
    };
    Ok((
        State::new(
            goal.configuration.clone(),
            goal.documents.clone(),
            certificates,
        ),
        secrets,
    ))
}

/// What was seen of the hosts, as far as it is to be remembered: their keys above all.
///
/// # Errors
/// When the keys that were met cannot be read.
pub(crate) fn note_seen(
    state: &mut State,
    goal: &Goal,
    looked: &Looked,
    settings: &Settings,
) -> Result<(), Error> {
    let known_hosts = looked.client.known_hosts()?;
    for machine in &goal.configuration.machines {
        let address = machine.address.to_string();
        let name = target(&goal.configuration, machine, settings).known_hosts_name();
        let Some(known) = state.machine_mut(&address) else {
            continue;
        };
        if known.spec.host_keys.is_empty() {
            known.spec.host_keys = phases::keys_of(&known_hosts, &name);
        }
        let Some(seen) = looked.seen.get(&address) else {
            continue;
        };
        known.status.hostname.clone_from(&seen.facts.hostname);
        known
            .status
            .architecture
            .clone_from(&seen.facts.architecture);
        known.status.machine_id.clone_from(&seen.facts.machine_id);
        if let Some(member) = &seen.member {
            known.status.etcd_member_id = Some(member.member_id.clone());
        }
    }
    state.started.etcd |= looked.seen.values().any(|seen| seen.member.is_some());
    state.tools.extend(phases::known_tools(&looked.fleet));
    Ok(())
}

/// How a host is called, for plans.
pub(crate) fn labels(fleet: &Fleet) -> impl Fn(&str) -> String + '_ {
    |address| {
        fleet.get(address).map_or_else(
            || address.to_owned(),
            |remote: &Remote| remote.label.clone(),
        )
    }
}
