//! Where the site file is. slurmctld gives a program no PATH, no HOME and no
//! arguments of our own, only `$SLURM_CONF`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::config::ConfigError;

/// The site file's name beside slurm.conf.
pub const FILE_NAME: &str = "slurmburst.toml";
/// Where the site file is looked for last.
pub const DEFAULT_FILE: &str = "/etc/slurm/slurmburst.toml";

/// The site file: `config` (`--config`), `$SLURMBURST_CONFIG`,
/// `slurmburst.toml` beside `$SLURM_CONF`, `/etc/slurm/slurmburst.toml`. The
/// first two are taken at their word: a file that is named and not there is an
/// error, never a reason to take another. `env` is `std::env::var_os`, or a
/// test's.
///
/// # Errors
/// There is none; the message lists every place that was looked at.
pub fn locate(
    config: Option<&Path>,
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<PathBuf, ConfigError> {
    let set = |name: &str| {
        env(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(path) = config {
        return stated(path.to_owned(), "--config");
    }
    if let Some(path) = set("SLURMBURST_CONFIG") {
        return stated(path, "$SLURMBURST_CONFIG");
    }
    let beside = set("SLURM_CONF").map(|conf| conf.with_file_name(FILE_NAME));
    let mut looked = vec!["$SLURMBURST_CONFIG (not set)".to_owned()];
    match &beside {
        Some(path) if exists(path) => return Ok(path.clone()),
        Some(path) => looked.push(format!("{} (beside $SLURM_CONF)", path.display())),
        None => looked.push("beside $SLURM_CONF (not set)".to_owned()),
    }
    let default = PathBuf::from(DEFAULT_FILE);
    if beside.as_ref() != Some(&default) {
        if exists(&default) {
            return Ok(default);
        }
        looked.push(DEFAULT_FILE.to_owned());
    }
    let message = format!(
        "there is no site file; looked at {}; make one with `slurmburst init`, or name it with --config",
        looked.join(", ")
    );
    Err(ConfigError::new(FILE_NAME, 0, 0, "", message))
}

fn stated(path: PathBuf, by: &str) -> Result<PathBuf, ConfigError> {
    if exists(&path) {
        return Ok(path);
    }
    let message = format!(
        "does not exist, and {by} names it; correct {by}, or make it with `slurmburst init`"
    );
    Err(ConfigError::new(
        path.display().to_string(),
        0,
        0,
        "",
        message,
    ))
}

/// What may not be looked at counts as being there: reading it says why.
fn exists(path: &Path) -> bool {
    path.try_exists().unwrap_or(true)
}
