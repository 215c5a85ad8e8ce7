//! The Slurm side: how slurmctld calls us, what its configuration says, how to
//! ask it and tell it something.
//!
//! - [`node_state`]: a node's `State=`, as a type. Always here, without dependencies.
//! - [`control`]: [`SlurmControl`](control::SlurmControl), the questions and
//!   changes that the converger needs, and what can go wrong.
//! - [`scontrol`]: the real one, by running `scontrol`; [`parse`] reads its output.
//! - [`conf`]: the few things of `slurm.conf` that matter here.
//! - [`invocation`]: argv and environment of ResumeProgram and its kind.
//! - [`resume_file`]: the JSON that goes with ResumeProgram; a hint only.
//! - [`fake`]: a Slurm in memory for tests.

pub mod node_state;

#[cfg(feature = "provider")]
pub mod control;
#[cfg(feature = "fake")]
pub mod fake;

#[cfg(feature = "app")]
pub mod conf;
#[cfg(feature = "app")]
mod conf_text;
#[cfg(feature = "app")]
pub mod invocation;
#[cfg(feature = "app")]
pub mod parse;
#[cfg(feature = "app")]
pub mod resume_file;
#[cfg(feature = "app")]
pub mod scontrol;

/// The files of the folders of recorded samples that begin with `prefix`; says
/// aloud that it skips when they are not at hand.
#[cfg(all(test, feature = "app"))]
fn samples(prefix: &str) -> Option<Vec<std::path::PathBuf>> {
    let shared = std::env::var_os("SLURMBURST_SHARED").map_or_else(
        || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        Into::into,
    );
    let folder = shared.join("slurm/samples");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!(
            "SKIPPED: no samples at {} (set SLURMBURST_SHARED)",
            folder.display()
        );
        return None;
    };
    let folders = entries.flatten().map(|e| e.path()).filter(|p| {
        p.is_dir()
            && p.file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with(prefix))
    });
    let files = folders.flat_map(|f| std::fs::read_dir(f).into_iter().flatten().flatten());
    let mut files: Vec<_> = files.map(|e| e.path()).collect();
    files.sort();
    Some(files)
}
