//! `cctl state recipients`: whom the state's secrets are sealed for.

use cli::Context;
use serde::Serialize;
use state::{Identity, Open, Recipient, State};

use crate::arguments::{ApplyArgs, Recipients as Verb};
use crate::session::{self, Look};
use crate::settings::{Settings, read_recipients};
use crate::{Error, copies};

/// What is printed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    recipients: Vec<String>,
    /// Who vouches for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    signer: Option<String>,
    generation: u64,
}

impl Told {
    fn of(state: &State) -> Self {
        Self {
            recipients: state.vouching.recipients.clone(),
            signer: state.vouching.signer.clone(),
            generation: state.generation,
        }
    }
}

pub(crate) fn run(
    context: &mut Context,
    settings: &Settings,
    verb: &Verb,
) -> Result<(), cli::Error> {
    let state = state::read(&settings.state).map_err(Error::from)?;
    let told = match verb {
        Verb::List => Told::of(&state),
        Verb::Add { recipient } => {
            let new = read_recipients(recipient)?;
            change(context, settings, &state, |mut all, _| {
                for recipient in new {
                    if !all.iter().any(|known| known.is(&recipient.to_string())) {
                        all.push(recipient);
                    }
                }
                Ok(all)
            })?
        }
        Verb::Remove { recipient } => change(context, settings, &state, |all, identity| {
            without(all, recipient, &identity.recipient()?)
        })?,
    };
    context.print(&told, |told| {
        let lines = told.recipients.iter().map(|text| format!("{text}\n"));
        lines.collect()
    })
}

/// All but those that are named. Who does it stays: what nobody here can open is not written.
fn without(
    all: Vec<Recipient>,
    named: &[String],
    own: &Recipient,
) -> Result<Vec<Recipient>, Error> {
    for text in named {
        match all.iter().find(|recipient| recipient.is(text)) {
            None => {
                return Err(Error::Usage(format!("the state is not sealed for {text}")));
            }
            Some(found) if found.is(&own.to_string()) => {
                return Err(Error::Refused(format!(
                    "{text} is your own key: you could not open the state any more; let another admin do it"
                )));
            }
            Some(_) => {}
        }
    }
    let stays = |recipient: &Recipient| !named.iter().any(|text| recipient.is(text));
    Ok(all.into_iter().filter(stays).collect())
}

/// Seals the state for others, and brings it to the control planes that can be reached.
fn change(
    context: &mut Context,
    settings: &Settings,
    state: &State,
    to: impl FnOnce(Vec<Recipient>, &Identity) -> Result<Vec<Recipient>, Error>,
) -> Result<Told, cli::Error> {
    let identity = settings.identity(state.configuration().ssh.identity_file.as_deref())?;
    let owner = format!("cctl state recipients, process {}", std::process::id());
    let mut open = Open::open(&settings.state, &owner, &identity).map_err(Error::from)?;
    let before = open.state.vouching.recipients.iter();
    let before: Vec<Recipient> = before
        .map(|text| text.parse())
        .collect::<Result<_, _>>()
        .map_err(Error::from)?;
    let after = to(before.clone(), &identity)?;
    if after == before {
        return Ok(Told::of(&open.state));
    }
    open.seal_for(&after, &identity).map_err(Error::from)?;
    open.save().map_err(Error::from)?;
    if open.state.configuration().masters().next().is_some() {
        let goal = session::goal(&ApplyArgs::default(), Some(&open.state))?;
        match session::visit(context, &goal, Some(&open.state), settings, Look::Facts) {
            Ok((looked, failures)) => {
                copies::spread(&open, &looked.fleet, &mut context.progress);
                for failure in failures {
                    let note = format!("left out, its copy is an older one: {failure}");
                    context.progress.note(&note);
                }
            }
            Err(error) => context
                .progress
                .note(&format!("the copies on the hosts are older ones: {error}")),
        }
    }
    Ok(Told::of(&open.state))
}
