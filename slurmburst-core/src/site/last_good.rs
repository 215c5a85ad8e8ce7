//! The last good copy: a typing error in the site file must stop new power-ups
//! and nothing else.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::OFlag;
use nix::unistd::geteuid;

use super::load::{parse_with_cluster, read, read_at_most};
use super::{DEFAULT_STATE_DIR, Glimpse, MAX_BYTES, Site, SiteContext};
use crate::config::ConfigError;
use crate::kind::ProviderKind;

/// The copy's name in `state_dir`.
pub const LAST_GOOD: &str = "site.last-good.toml";

/// A site, and whether it is what the file says now.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The site.
    pub site: Site,
    /// What is wrong with the site file. The site is then from the last good
    /// copy: nothing is powered up, everything else goes on, and it is said
    /// loudly.
    pub broken: Option<ConfigError>,
}

impl Loaded {
    /// Stores the text as the last good copy: whole or not at all, for this
    /// user's eyes, and only where it changed. Says whether it wrote. Does
    /// nothing where the site is itself from the copy. For the programs that
    /// slurmctld starts, once they are SlurmUser: a copy that root made by hand
    /// would be one that they cannot read.
    ///
    /// # Errors
    /// The copy cannot be written. The site is good all the same.
    pub fn keep(&self) -> Result<bool, ConfigError> {
        if self.broken.is_some() {
            return Ok(false);
        }
        let copy = self.site.state_dir.join(LAST_GOOD);
        let text = &self.site.text.0;
        if trusted(&copy).is_ok_and(|kept| *kept == **text) {
            return Ok(false);
        }
        replace(&copy, text).map_err(|e| {
            let message = format!(
                "the last good copy cannot be written: {e}; let SlurmUser write to its folder"
            );
            ConfigError::new(copy.display().to_string(), 0, 0, "", message)
        })?;
        Ok(true)
    }
}

/// [`Site::load`]; where that fails, the last good copy with the error in
/// [`Loaded::broken`]. `state_dir` is what can still be read of the broken
/// file, or the default.
///
/// # Errors
/// The site file's, where there is no copy that can be used either; it says
/// why.
pub fn load_or_last_good(
    file: &Path,
    kinds: &[Arc<dyn ProviderKind>],
    ctx: &SiteContext,
) -> Result<Loaded, ConfigError> {
    let (broken, state_dir) = match read(file) {
        Err(error) => (error, None),
        Ok(text) => match parse_with_cluster(file, &text, kinds, ctx) {
            Ok(site) => return Ok(Loaded { site, broken: None }),
            Err(error) => (error, Glimpse::of(&text).state_dir),
        },
    };
    let state_dir = state_dir.unwrap_or_else(|| PathBuf::from(DEFAULT_STATE_DIR));
    match last_good(&state_dir, kinds, ctx) {
        Ok(site) => Ok(Loaded {
            site,
            broken: Some(broken),
        }),
        Err(why) => {
            let copy = state_dir.join(LAST_GOOD);
            Err(broken.and(&format!("; the last good copy {} {why}", copy.display())))
        }
    }
}

fn last_good(
    state_dir: &Path,
    kinds: &[Arc<dyn ProviderKind>],
    ctx: &SiteContext,
) -> Result<Site, String> {
    let copy = state_dir.join(LAST_GOOD);
    let text = trusted(&copy).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        _ => format!("cannot be used: {e}"),
    })?;
    let site =
        parse_with_cluster(&copy, &text, kinds, ctx).map_err(|e| format!("cannot be used: {e}"))?;
    // A site that has moved its state_dir leaves a copy behind that nobody
    // renews any more.
    if site.state_dir == state_dir {
        Ok(site)
    } else {
        Err(format!(
            "is of a site whose state_dir is {}",
            site.state_dir.display()
        ))
    }
}

/// The copy's text, if nobody but this user and root can have written it. What
/// is looked at is the open file, so that it cannot be exchanged in between.
fn trusted(copy: &Path) -> io::Result<String> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(copy)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if meta.uid() != 0 && meta.uid() != geteuid().as_raw() {
        return Err(io::Error::other(format!(
            "it belongs to another user (uid {})",
            meta.uid()
        )));
    }
    if meta.mode() & 0o022 != 0 {
        return Err(io::Error::other("others may write to it"));
    }
    let bytes = read_at_most(&file, MAX_BYTES)?;
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))
}

/// Writes a new file and renames it over `path`, so that a reader sees the old
/// or the new one whole, also after a power cut.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension(format!("new.{}", std::process::id()));
    // Left by a process of the same id that was killed.
    match fs::remove_file(&new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let written = write_new(&new, text).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&new);
        return written;
    }
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
