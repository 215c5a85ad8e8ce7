//! The site, the ledger and Slurm, as the subcommands reach them.

use std::path::Path;

use slurmburst::app::Setup;
use slurmburst::clock::Clock;
use slurmburst::hostlist::{Dialect, HostList, HostSet, Limits};
use slurmburst::ledger::{FILE_NAME, Ledger, LedgerError};
use slurmburst::site::{Site, locate};
use slurmburst::slurm::invocation::Environment;
use slurmburst::slurm::scontrol::Scontrol;

use crate::failure::{Failure, USAGE};

pub(crate) fn environment() -> Environment {
    Environment::read(|name| std::env::var_os(name))
}

/// The site, for a command that changes nothing.
pub(crate) fn read(config: Option<&Path>) -> Result<Setup, Failure> {
    must_be_there(config)?;
    Ok(Setup::read(config, &environment(), &slurmburst::kinds())?)
}

/// The site, for a command that acts.
pub(crate) fn load(config: Option<&Path>) -> Result<Setup, Failure> {
    must_be_there(config)?;
    Ok(Setup::load(config, &environment(), &slurmburst::kinds())?)
}

/// A person who names a file that is not there means no other, nor its last good
/// copy; the programs that slurmctld starts have to go on instead.
fn must_be_there(config: Option<&Path>) -> Result<(), Failure> {
    match locate(config, |name| std::env::var_os(name)) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::new(USAGE, error)),
    }
}

/// The site, for what a timer runs: with the last good copy where there is one.
pub(crate) fn load_unattended(config: Option<&Path>) -> Result<Setup, Failure> {
    Ok(Setup::load(config, &environment(), &slurmburst::kinds())?)
}

/// The ledger, if there is one yet. Makes none.
pub(crate) fn ledger_if_any(setup: &Setup) -> Result<Option<Ledger>, LedgerError> {
    let dir = &setup.site.state_dir;
    // What may not be looked at counts as there: opening it says why.
    if !dir.join(FILE_NAME).try_exists().unwrap_or(true) {
        return Ok(None);
    }
    Ledger::open(dir, Clock::system()).map(Some)
}

pub(crate) fn scontrol(setup: &Setup) -> Scontrol {
    let slurm = &setup.site.slurm;
    Scontrol::new(slurm.scontrol.clone(), slurm.conf.clone()).time_limit(slurm.timeout)
}

/// Why a node that no group has is refused.
pub(crate) fn in_no_group(site: &Site) -> String {
    let file = site.file.display();
    format!("in no [[nodes]] group of {file}: add it there")
}

/// Nodes that a person named, as Slurm would read them.
pub(crate) fn nodes(text: &str) -> Result<HostSet, Failure> {
    let limits = Limits::slurm();
    let list = HostList::parse_with(text, Dialect::SlurmCompat, &limits)?;
    Ok(list.try_to_set(&limits)?)
}
