//! `slurmburst`: the operator's command. A file per subcommand in `cmd/`.

mod cmd;
mod failure;
mod out;
mod served;
mod site;
mod table;
mod time;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::{Failure, Outcome};

const ABOUT: &str = "\
Looks after a Slurm cluster that grows into clouds and shrinks back.

slurmctld calls slurmburst-resume, slurmburst-suspend and slurmburst-resume-fail; \
this command is for people. `init` makes a site, `check` says whether it would \
work, `plan` what would be called, `status` and `history` what is and was, \
`reconcile` looks at everything once, `vm` shows and handles machines, `images` and \
`quota` tell what a cloud has and allows, `pause` stops new power-ups.";

const AFTER: &str = "\
EXIT STATUS
    0   done
    1   done, and the answer is bad news: a check failed, a node is refused
    2   wrong usage, or a wrong site file
    3   the ledger could not be used

ENVIRONMENT
    SLURM_CONF          slurm.conf; otherwise [slurm] conf of the site file, or
                        /etc/slurm/slurm.conf
    SLURMBURST_CONFIG   the site file, unless --config names it
    NO_COLOR            set to anything: no colours

FILES
    The site file is --config, $SLURMBURST_CONFIG, slurmburst.toml beside
    $SLURM_CONF, or /etc/slurm/slurmburst.toml, in this order. Started as root, every
    command that reads it becomes SlurmUser first.

Run `slurmburst COMMAND --help` for all about a command.";

#[derive(Parser)]
#[command(name = "slurmburst", version, about = "Looks after a Slurm cluster that grows into clouds", long_about = ABOUT, after_long_help = AFTER, max_term_width = 100)]
struct Cli {
    /// The site file
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Init(cmd::init::Args),
    Check(cmd::check::Args),
    Plan(cmd::plan::Args),
    Status(cmd::status::Args),
    History(cmd::history::Args),
    Reconcile(cmd::reconcile::Args),
    Vm(cmd::vm::Args),
    Images(cmd::images::Args),
    Quota(cmd::quota::Args),
    Pause(cmd::pause::PauseArgs),
    Unpause(cmd::pause::UnpauseArgs),
    Hostlist(cmd::hostlist::Args),
}

fn main() -> ExitCode {
    // How a kick starts the converger: this program again.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|arg| arg == "--converge")
    {
        return slurmburst::app::converge_main(&slurmburst::kinds());
    }
    match run(&Cli::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => failure.report(),
    }
}

fn run(cli: &Cli) -> Outcome {
    let config = cli.config.as_deref();
    match &cli.command {
        Command::Init(args) => cmd::init::run(args, config),
        Command::Check(args) => cmd::check::run(args, config),
        Command::Plan(args) => cmd::plan::run(args, config),
        Command::Status(args) => cmd::status::run(args, config),
        Command::History(args) => cmd::history::run(args, config),
        Command::Reconcile(args) => cmd::reconcile::run(args, config),
        Command::Vm(args) => cmd::vm::run(args, config),
        Command::Images(args) => cmd::images::run(args, config),
        Command::Quota(args) => cmd::quota::run(args, config),
        Command::Pause(_) => cmd::pause::run(true, config),
        Command::Unpause(_) => cmd::pause::run(false, config),
        Command::Hostlist(args) => cmd::hostlist::run(args),
    }
}

/// A runtime for what asks clouds or Slurm.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(failure::NOT_RECORDED, format!("no runtime: {e}")))
}
