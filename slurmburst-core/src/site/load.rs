//! Reading the file, with what parsing needs of slurm.conf.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::{DEFAULT_SLURM_CONF, Glimpse, Site, SiteContext};
use crate::config::{ConfigError, Source};
use crate::kind::ProviderKind;

/// The longest site file that is read, in bytes.
pub const MAX_BYTES: u64 = 1 << 20;

impl Site {
    /// Reads and checks the site file. Where neither it nor `ctx` says the
    /// cluster's name, ClusterName is looked up in slurm.conf (files that it
    /// includes are not).
    ///
    /// # Errors
    /// The file cannot be read, is too long or no UTF-8, or as [`Site::parse`].
    pub fn load(
        file: &Path,
        kinds: &[Arc<dyn ProviderKind>],
        ctx: &SiteContext,
    ) -> Result<Site, ConfigError> {
        parse_with_cluster(file, &read(file)?, kinds, ctx)
    }
}

pub(super) fn parse_with_cluster(
    file: &Path,
    text: &str,
    kinds: &[Arc<dyn ProviderKind>],
    ctx: &SiteContext,
) -> Result<Site, ConfigError> {
    if ctx.cluster_name.is_some() {
        return Site::parse(file, text, kinds, ctx);
    }
    let glimpse = Glimpse::of(text);
    let mut ctx = ctx.clone();
    if glimpse.cluster.is_none() {
        let conf = glimpse.slurm_conf.or_else(|| ctx.slurm_conf.clone());
        let conf = conf.unwrap_or_else(|| DEFAULT_SLURM_CONF.into());
        // What cannot be read is no error here: the one that says `cluster`
        // is required tells what to do.
        ctx.cluster_name = bytes(&conf, 16 * MAX_BYTES)
            .ok()
            .and_then(|bytes| cluster_name(&String::from_utf8_lossy(&bytes)));
    }
    Site::parse(file, text, kinds, &ctx)
}

/// ClusterName of a slurm.conf: keys are read whatever their case, and the
/// name is lowercase as Slurm itself makes it.
pub(super) fn cluster_name(conf: &str) -> Option<String> {
    let mut value = conf.lines().filter_map(|line| {
        let line = line.split('#').next()?;
        let (key, value) = line.split_once('=')?;
        key.trim()
            .eq_ignore_ascii_case("ClusterName")
            .then(|| value.split_whitespace().next())?
    });
    value
        .next_back()
        .map(|name| name.trim_matches('"').to_ascii_lowercase())
}

/// The text of a site file.
pub(super) fn read(file: &Path) -> Result<String, ConfigError> {
    let name = || file.display().to_string();
    let whole = |message: String| ConfigError::new(name(), 0, 0, "", message);
    let bytes = bytes(file, MAX_BYTES).map_err(|e| {
        whole(match e.kind() {
            io::ErrorKind::NotFound => {
                "does not exist; make it with `slurmburst init`, or name another with --config"
                    .into()
            }
            io::ErrorKind::PermissionDenied => {
                "may not be read by this user; let SlurmUser read it and its folders".into()
            }
            io::ErrorKind::FileTooLarge => {
                format!(
                    "is larger than {MAX_BYTES} bytes, which no site file is; is it the right file?"
                )
            }
            _ => format!("cannot be read: {e}"),
        })
    })?;
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(&e.into_bytes()).into_owned();
        let (line, column) = Source {
            file: String::new(),
            text,
        }
        .position(at);
        ConfigError::new(
            name(),
            line,
            column,
            "",
            "is not UTF-8 from here on; save the file as UTF-8",
        )
    })
}

/// A regular file's bytes, at most `limit` of them.
pub(super) fn bytes(file: &Path, limit: u64) -> io::Result<Vec<u8>> {
    // A fifo would be waited for when it is opened.
    if !std::fs::metadata(file)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    read_at_most(&File::open(file)?, limit)
}

pub(super) fn read_at_most(file: &File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= limit) {
        Ok(bytes)
    } else {
        Err(io::ErrorKind::FileTooLarge.into())
    }
}
