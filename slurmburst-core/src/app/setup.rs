//! What every run needs first: slurm.conf, the site file, the right user.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::ConfigError;
use crate::site::{DEFAULT_FILE, Glimpse, Loaded, Site, SiteContext, load_or_last_good, locate};
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
    /// [`Setup::read`], and keeps the site file's text as the last good copy.
    ///
    /// # Errors
    /// Which file is missing or wrong, and where.
    pub fn load(
        config: Option<&Path>,
        env: &Environment,
        kinds: &Kinds,
    ) -> Result<Setup, SetupError> {
        let (setup, loaded) = Setup::find(config, env, kinds)?;
        // Not fatal: the ledger's own complaint about the folder says more.
        let _ = loaded.keep();
        Ok(setup)
    }

    /// Finds and reads slurm.conf and the site file; as root, becomes SlurmUser
    /// before anything is written or kept open. Writes nothing itself.
    ///
    /// # Errors
    /// Which file is missing or wrong, and where.
    pub fn read(
        config: Option<&Path>,
        env: &Environment,
        kinds: &Kinds,
    ) -> Result<Setup, SetupError> {
        Setup::find(config, env, kinds).map(|(setup, _)| setup)
    }

    fn find(
        config: Option<&Path>,
        env: &Environment,
        kinds: &Kinds,
    ) -> Result<(Setup, Loaded), SetupError> {
        // A site file that is gone is a broken one: there may be a last good copy.
        let (file, gone) = match locate(config, |name| std::env::var_os(name)) {
            Ok(file) => (file, None),
            // Not where somebody named a file: a typing error must not act on another site.
            Err(error) if config.is_none() && env.config.is_none() => {
                (PathBuf::from(DEFAULT_FILE), Some(error))
            }
            Err(error) => return Err(SetupError::new(error)),
        };
        // The site file may name slurm.conf, where the user to become stands: it
        // is looked at once before it is read in earnest.
        let glimpse = || Glimpse::of(&std::fs::read_to_string(&file).unwrap_or_default());
        let conf_path = env.slurm_conf.clone().or_else(|| glimpse().slurm_conf);
        let conf_path = conf_path.unwrap_or_else(|| PathBuf::from("/etc/slurm/slurm.conf"));
        let conf = SlurmConf::load(&conf_path).map_err(SetupError::new)?;
        become_slurm_user(&conf.slurm_user)
            .map_err(|e| SetupError::new(format!("{}: SlurmUser: {e}", conf_path.display())))?;
        let context = context(&conf_path, &conf);
        let loaded = load_or_last_good(&file, kinds, &context)
            .map_err(|error| SetupError::new(gone.as_ref().unwrap_or(&error)))?;
        // Also with the last good copy it is this file that a converger is to
        // look at again, and that messages are to name.
        let mut site = loaded.site.clone();
        site.file = file;
        let setup = Setup {
            site: Arc::new(site),
            broken: gone.or_else(|| loaded.broken.clone()),
            conf: Arc::new(conf),
        };
        Ok((setup, loaded))
    }
}

/// What the site file's defaults depend on.
pub(super) fn context(conf_path: &Path, conf: &SlurmConf) -> SiteContext {
    SiteContext {
        slurm_conf: Some(conf_path.to_owned()),
        cluster_name: conf.cluster_name.clone(),
        absent_kinds: Vec::new(),
    }
}

#[cfg(all(test, feature = "fake"))]
mod tests {
    use super::*;
    use crate::fake::FakeKind;

    #[test]
    fn a_broken_site_file_is_still_the_one_that_is_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let (file, conf) = (
            dir.path().join("slurmburst.toml"),
            dir.path().join("slurm.conf"),
        );
        std::fs::write(&conf, "ClusterName=hpc1\nSlurmUser=root\n").unwrap();
        let env = Environment {
            slurm_conf: Some(conf),
            ..Environment::default()
        };
        let kinds: Kinds = vec![Arc::new(FakeKind)];
        let load = |rest: &str| {
            let text = format!(
                "state_dir = {:?}\ncluster_id = \"hpc1\"\n{rest}\n[provider.f]\nkind = \"fake\"\n\
                 [[nodes]]\nhostlist = \"c1\"\n[[nodes.placement]]\nprovider = \"f\"\n",
                dir.path()
            );
            std::fs::write(&file, text).unwrap();
            Setup::load(Some(&file), &env, &kinds).unwrap()
        };
        assert!(load("").broken.is_none());
        let setup = load("retrun_after = \"1s\"");
        assert_eq!(setup.broken.unwrap().line(), 3);
        assert_eq!(setup.site.file, file);
    }
}
