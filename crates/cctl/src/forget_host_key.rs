//! `cctl forget-host-key`: for a host that was installed anew and shows another key.

use cli::Context;
use state::Open;

use crate::Error;
use crate::settings::Settings;

pub(crate) fn run(
    context: &mut Context,
    settings: &Settings,
    address: &str,
) -> Result<(), cli::Error> {
    let state = state::read(&settings.state).map_err(Error::from)?;
    let identity = settings.identity(state.configuration().ssh.identity_file.as_deref())?;
    let owner = format!("cctl forget-host-key, process {}", std::process::id());
    let mut open = Open::open(&settings.state, &owner, &identity).map_err(Error::from)?;
    let machine = open
        .state
        .machine_mut(address)
        .ok_or_else(|| Error::NoMachine(address.to_owned()))?;
    machine.spec.host_keys.clear();
    open.save().map_err(Error::from)?;
    context.print(&address, |address| format!("the keys of {address} are forgotten; the next run pins them anew with --accept-new-host-keys\n"))
}
