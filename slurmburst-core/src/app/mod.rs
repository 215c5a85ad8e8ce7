//! The programs: from argv to an exit code.
//!
//! [`resume`], [`suspend`] and [`resume_fail`] are what slurmctld calls. Each
//! records the wish, kicks the converger and is gone within `return_after`,
//! whatever the clouds do. The converger is the same executable, started again
//! in its own process group with `--converge`.

mod converger;
mod identity;
pub mod log;
mod program;
mod setup;

use std::process::ExitCode;
use std::sync::Arc;

use crate::kind::ProviderKind;
use crate::ledger::Program;

pub use converger::{Converged, ReconcileError, reconcile};
pub use identity::{become_slurm_user, unblock_signals};
pub use program::kick;
pub use setup::{Setup, SetupError};

/// The provider kinds that a program was built with.
pub type Kinds = Vec<Arc<dyn ProviderKind>>;

/// Exit code: recorded, and nothing failed so far.
pub const EXIT_OK: u8 = 0;
/// Exit code: a node was refused or failed.
pub const EXIT_NODE: u8 = 1;
/// Exit code: wrong usage, or a wrong site file.
pub const EXIT_USAGE: u8 = 2;
/// Exit code: nothing could be recorded.
pub const EXIT_NOT_RECORDED: u8 = 3;

/// ResumeProgram: `main` of `slurmburst-resume`.
pub fn resume(kinds: &Kinds) -> ExitCode {
    program::main(Program::Resume, kinds)
}

/// SuspendProgram: `main` of `slurmburst-suspend`.
pub fn suspend(kinds: &Kinds) -> ExitCode {
    program::main(Program::Suspend, kinds)
}

/// ResumeFailProgram: `main` of `slurmburst-resume-fail`.
pub fn resume_fail(kinds: &Kinds) -> ExitCode {
    program::main(Program::ResumeFail, kinds)
}

/// What a program that is not one of the three does when [`kick`] has started
/// it as `PROGRAM --converge --config FILE`: be the converger.
pub fn converge_main(kinds: &Kinds) -> ExitCode {
    program::main(Program::Reconcile, kinds)
}
