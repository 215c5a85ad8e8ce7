//! `slurmburst reconcile`.

use std::path::Path;

use serde::Serialize;
use slurmburst::app::{Converged, reconcile};
use slurmburst::converge::{FullOptions, Report};

use crate::failure::{BAD_NEWS, Failure, Outcome};
use crate::out::{Colour, Out, Progress};
use crate::site;
use crate::table::{Cell, Table};

const AFTER: &str = "\
A full pass lists every cloud of the site, then asks Slurm, and looks for what no
program was called for:
    orphan          an instance that no node wants: powered down
    unbacked        a node that Slurm takes for up and that has no instance
    lost-power-up   a node that Slurm waits for and that nobody was told to start
    lost-mark       a node that is DOWN by our doing, and nobody remembers
    timed-out       a node that came too late and can be used again
    overdue         an instance that Slurm has and whose lifetime is over: only
                    reported, since it may have jobs
    leftover        what a dead node left behind
A suspicion is acted on only when it was there in two passes long enough apart
(orphan_grace for an orphan, at once when its lifetime is over). A cloud whose listing has gaps is left alone, and so
is everything while Slurm does not answer. More orphans at once than 10, or 20 %
of what runs, wait for --confirm.

The systemd timer runs this every minute; see examples/systemd.

EXIT STATUS
    0   done, or asked of the converger that is at work
    1   a converger is at work, and --dry-run or --confirm cannot be handed to it
    2   a wrong site file
    3   the ledger could not be used";

/// Look at all nodes and instances once, and put right what is wrong
///
/// Whatever went wrong before (a killed program, a lost reply, a reboot), this puts
/// it right. Where a converger is at work already, it is asked to make the pass.
#[derive(clap::Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Args {
    /// Only say what is found and what would be done
    #[arg(long)]
    dry_run: bool,
    /// Power down N orphans, which you have seen with --dry-run, though they are many
    #[arg(long, value_name = "N", conflicts_with = "dry_run")]
    confirm: Option<usize>,
    /// Wait for a converger that is at work, and until every suspicion has been
    /// confirmed or dropped
    #[arg(long)]
    wait: bool,
    /// For programs; see docs/json.md
    #[arg(long)]
    json: bool,
    /// Print nothing but errors, for the timer
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,
}

/// `--json`.
#[derive(Serialize)]
struct Answer<'a> {
    /// `done`, `asked` or `busy`.
    result: &'static str,
    dry_run: bool,
    report: Option<&'a Report>,
}

pub(crate) fn run(args: &Args, config: Option<&Path>) -> Outcome {
    let setup = if args.dry_run {
        site::read(config)?
    } else {
        site::load_unattended(config)?
    };
    if let Some(broken) = &setup.broken {
        // Everything but new power-ups goes on.
        Failure::new(
            0,
            format!("working with the last good copy of the site file: {broken}"),
        )
        .report();
    }
    let options = FullOptions {
        dry_run: args.dry_run,
        confirm: args.confirm,
        wait: args.wait,
    };
    let converged = {
        let _progress = Progress::new("looking at clouds and Slurm");
        reconcile(&setup, &slurmburst::kinds(), &options)?
    };
    let (result, report) = match &converged {
        Converged::Here(report) => ("done", Some(report.as_ref())),
        Converged::Asked => ("asked", None),
        Converged::Busy => ("busy", None),
    };
    let mut out = Out::new();
    if args.json {
        out.json(&Answer {
            result,
            dry_run: args.dry_run,
            report,
        })?;
    } else if !args.quiet {
        match (result, report) {
            (_, Some(report)) => show(&mut out, report, args.dry_run)?,
            ("asked", _) => out.line("a converger is at work; it will look at everything now")?,
            _ => {
                out.line("a converger is at work; nothing was looked at. Try again, or add --wait")?
            }
        }
    }
    out.end()?;
    Ok(if result == "busy" { BAD_NEWS } else { 0 })
}

fn show(out: &mut Out, report: &Report, dry_run: bool) -> Result<(), Failure> {
    for why in &report.held_back {
        out.paint(Colour::Yellow, "held back: ")?;
        out.line(&crate::out::printable(why))?;
    }
    if !report.found.is_empty() {
        let action = if dry_run { "WOULD BE" } else { "ACTION" };
        let mut table = Table::new(&["NODE", "FOUND", action]);
        for found in &report.found {
            let what = Cell::new(&found.what, Colour::Yellow);
            table.row(vec![
                found.node.as_str().into(),
                what,
                (&found.action).into(),
            ]);
        }
        table.print(out)?;
    } else if report.held_back.is_empty() {
        out.line("everything is as it should be")?;
    }
    if dry_run {
        out.line("nothing was changed")?;
    } else if report.up + report.down + report.failed > 0 {
        out.line(&format!(
            "{} nodes came up, {} went down, {} failed",
            report.up, report.down, report.failed
        ))?;
    }
    Ok(())
}
