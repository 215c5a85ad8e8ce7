//! `slurmburst pause` and `slurmburst unpause`.

use std::path::Path;

use slurmburst::app::kick;
use slurmburst::app::log::Log;
use slurmburst::clock::Clock;
use slurmburst::converge::Journal;
use slurmburst::ledger::Ledger;

use crate::failure::Outcome;
use crate::out::Out;
use crate::site;

/// Start nothing new until `unpause`; power-downs go on
///
/// Wishes to power nodes up are still recorded and wait; each fails at its
/// deadline, a little before Slurm's ResumeTimeout. What is under way at a cloud
/// goes on. The state is in the ledger and survives a reboot; `slurmburst status`
/// shows it.
#[derive(clap::Args)]
#[command(
    after_long_help = "EXIT STATUS\n    0   paused\n    2   a wrong site file\n    3   the ledger could not be written"
)]
pub(crate) struct PauseArgs {}

/// Start nodes again, after `pause`
///
/// What was wished meanwhile and is not too late is started at once: a converger
/// is started for it, or the one at work is woken.
#[derive(clap::Args)]
#[command(
    after_long_help = "EXIT STATUS\n    0   no longer paused\n    2   a wrong site file\n    3   the ledger could not be written"
)]
pub(crate) struct UnpauseArgs {}

pub(crate) fn run(pause: bool, config: Option<&Path>) -> Outcome {
    let setup = site::load(config)?;
    let mut ledger = Ledger::open(&setup.site.state_dir, Clock::system())?;
    let was = ledger.paused()?;
    ledger.set_paused(pause)?;
    let log = Log::new(&setup.site.log_file, "slurmburst");
    if was != pause {
        let by = std::env::var("SUDO_USER")
            .map(|user| format!(" by {user}"))
            .unwrap_or_default();
        let what = if pause {
            "paused: nothing new is started"
        } else {
            "no longer paused"
        };
        log.note(&format!("{what}{by}"));
    }
    if !pause {
        kick(&setup, &log);
    }
    let mut out = Out::new();
    out.line(match (was, pause) {
        (false, true) => {
            "paused: nothing new is started until `slurmburst unpause`; power-downs go on"
        }
        (true, true) => "was paused already; `slurmburst unpause` ends it",
        (true, false) => "no longer paused: what was wished meanwhile is started now",
        (false, false) => "was not paused",
    })?;
    out.end()?;
    Ok(0)
}
