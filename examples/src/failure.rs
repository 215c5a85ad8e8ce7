//! How a command ends that could not do what it was asked.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use slurmburst::app::{EXIT_NODE, EXIT_NOT_RECORDED, EXIT_USAGE, ReconcileError, SetupError};
use slurmburst::hostlist::HostlistError;
use slurmburst::ledger::LedgerError;

/// It was done, and the answer is bad news.
pub(crate) const BAD_NEWS: u8 = EXIT_NODE;
/// Wrong usage, or a wrong site file.
pub(crate) const USAGE: u8 = EXIT_USAGE;
/// The ledger could not be used.
pub(crate) const NOT_RECORDED: u8 = EXIT_NOT_RECORDED;

/// An exit code, or why there is nothing to show.
pub(crate) type Outcome = Result<u8, Failure>;

/// Why a command could not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Whoever read what is printed has seen enough.
    NobodyReads,
    /// This, for people, and the exit code.
    Told { code: u8, text: String },
}

impl Failure {
    pub(crate) fn new(code: u8, text: impl Display) -> Failure {
        Failure::Told {
            code,
            text: text.to_string(),
        }
    }

    /// Says it and answers with the exit code.
    pub(crate) fn report(self) -> ExitCode {
        match self {
            Failure::NobodyReads => ExitCode::SUCCESS,
            Failure::Told { code, text } => {
                let _ = writeln!(io::stderr(), "slurmburst: {text}");
                ExitCode::from(code)
            }
        }
    }
}

/// Of standard output, the only thing that is written with `?`.
impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Failure {
        match e.kind() {
            io::ErrorKind::BrokenPipe => Failure::NobodyReads,
            _ => Failure::new(BAD_NEWS, format!("standard output: {e}")),
        }
    }
}

impl From<HostlistError> for Failure {
    fn from(e: HostlistError) -> Failure {
        Failure::new(USAGE, e.render())
    }
}

impl From<SetupError> for Failure {
    fn from(e: SetupError) -> Failure {
        Failure::new(USAGE, e)
    }
}

impl From<LedgerError> for Failure {
    fn from(e: LedgerError) -> Failure {
        Failure::new(NOT_RECORDED, e)
    }
}

impl From<ReconcileError> for Failure {
    fn from(e: ReconcileError) -> Failure {
        Failure::new(NOT_RECORDED, e)
    }
}
