//! What every run needs first: slurm.conf, the site file, the right user.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::ConfigError;
use crate::site::{Loaded, Site, SiteContext, load_or_last_good, locate};
use crate::slurm::conf::SlurmConf;
use crate::slurm::invocation::Environment;

use super::{Kinds, become_slurm_user};

/// A site, ready to be worked with, under the right user.
#[derive(Debug)]
pub struct Setup {
    /// The site.
    pub site: Arc<Site>,
    /// Why the site file itself could not be used, when `site` is the last good copy.
    pub broken: Option<ConfigError>,
    /// slurm.conf.
    pub conf: Arc<SlurmConf>,
}

/// Why a run could not even begin.
#[derive(Debug)]
pub struct SetupError(String);

impl SetupError {
    fn new(text: impl fmt::Display) -> SetupError {
        SetupError(text.to_string())
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SetupError {}

impl Setup {
    /// Finds and reads slurm.conf and the site file; as root, becomes SlurmUser
    /// before anything is written or kept open.
    ///
    /// # Errors
    /// Which file is missing or wrong, and where.
    pub fn load(
        config: Option<&Path>,
        env: &Environment,
        kinds: &Kinds,
    ) -> Result<Setup, SetupError> {
        let file = locate(config, env).map_err(SetupError::new)?;
        // The site file may name slurm.conf; the user to become stands in there. So
        // as root the file is read once only to find it.
        let conf_path = env.slurm_conf.clone().or_else(|| Site::slurm_conf_in(&file));
        let conf_path = conf_path.unwrap_or_else(|| PathBuf::from("/etc/slurm/slurm.conf"));
        let conf = SlurmConf::load(&conf_path).map_err(SetupError::new)?;
        become_slurm_user(&conf.slurm_user)
            .map_err(|e| SetupError::new(format!("{}: SlurmUser: {e}", conf_path.display())))?;
        let context = SiteContext::new(conf_path, conf.cluster_name.clone());
        let Loaded { site, broken } =
            load_or_last_good(&file, kinds, &context).map_err(SetupError::new)?;
        Ok(Setup { site: Arc::new(site), broken, conf: Arc::new(conf) })
    }
}
