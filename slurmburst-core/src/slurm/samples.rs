//! Recorded samples of real Slurms, for tests.

use std::path::PathBuf;

/// The files of the sample folders whose names begin with `prefix`. Says aloud
/// that it skips when there are none at hand.
pub(super) fn samples(prefix: &str) -> Option<Vec<PathBuf>> {
    let shared = std::env::var_os("SLURMBURST_SHARED")
        .map_or_else(|| PathBuf::from("../../shared"), Into::into);
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
