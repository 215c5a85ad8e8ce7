//! What a cluster is made of, and its start.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::unistd::User;
use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::conf;
use crate::keeper::Keeper;
use crate::ports::Ports;
use crate::version::SlurmVersion;

/// Who slurmctld, and with it the programs of power saving and slurmd, run as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlurmUser {
    /// `SlurmUser=root`
    #[default]
    Root,
    /// `SlurmUser=slurm`, as Debian and most sites have it.
    Slurm,
}

impl SlurmUser {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Slurm => "slurm",
        }
    }
}

/// A cluster to be started. Its folder is there from the beginning, for what has to be in it before slurmctld starts.
#[derive(Debug)]
pub struct ClusterBuilder {
    pub(crate) version: SlurmVersion,
    pub(crate) user: SlurmUser,
    pub(crate) nodes: String,
    pub(crate) node_options: String,
    pub(crate) idle_on_node_suspend: bool,
    pub(crate) private_data_cloud: bool,
    pub(crate) suspend_time: u32,
    pub(crate) resume_timeout: u32,
    pub(crate) suspend_timeout: u32,
    pub(crate) resume_program: Option<PathBuf>,
    pub(crate) suspend_program: Option<PathBuf>,
    pub(crate) resume_fail_program: Option<PathBuf>,
    pub(crate) lines: Vec<String>,
    dir: TempDir,
}

/// What programs, daemons and users of the cluster write into; owned by `SlurmUser`.
const FOLDERS: [&str; 5] = ["state", "log", "spool", "run", "work"];

impl ClusterBuilder {
    pub(crate) fn new(version: SlurmVersion) -> Self {
        // Short, in /tmp: slurmstepd's socket in there may have 107 bytes at most.
        let dir = tempfile::Builder::new()
            .prefix("sb.")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in("/tmp")
            .expect("a folder in /tmp");
        Self {
            version,
            user: SlurmUser::default(),
            nodes: "c[1-3]".to_owned(),
            node_options: String::new(),
            idle_on_node_suspend: true,
            private_data_cloud: true,
            suspend_time: 10,
            resume_timeout: 30,
            suspend_timeout: 5,
            resume_program: None,
            suspend_program: None,
            resume_fail_program: None,
            lines: Vec::new(),
            dir,
        }
    }

    /// The cluster's folder: slurm.conf will be in it, and everything else.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where slurm.conf will be.
    pub fn conf_path(&self) -> PathBuf {
        self.dir().join("slurm.conf")
    }

    /// Writes a program into the cluster's folder, as `bin/NAME`, and gives its path.
    pub fn script(&self, name: &str, text: &str) -> PathBuf {
        let bin = self.dir().join("bin");
        fs::create_dir_all(&bin).expect("bin");
        let path = bin.join(name);
        fs::write(&path, text).expect("script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("mode");
        path
    }

    /// `SlurmUser` and `SlurmdUser`; root unless told.
    #[must_use]
    pub fn user(mut self, user: SlurmUser) -> Self {
        self.user = user;
        self
    }

    /// The CLOUD nodes, as a hostlist; `c[1-3]` unless told. Each has a port of its own, unless there are more than 1000.
    #[must_use]
    pub fn nodes(mut self, hostlist: &str) -> Self {
        hostlist.clone_into(&mut self.nodes);
        self
    }

    /// More for the line of the nodes, such as `Feature=f1 Weight=10`.
    #[must_use]
    pub fn node_options(mut self, options: &str) -> Self {
        options.clone_into(&mut self.node_options);
        self
    }

    /// Whether `SlurmctldParameters` has `idle_on_node_suspend`; it does unless told.
    #[must_use]
    pub fn idle_on_node_suspend(mut self, on: bool) -> Self {
        self.idle_on_node_suspend = on;
        self
    }

    /// Whether `PrivateData=cloud` is set, without which 22.05 hides nodes that are off; it is unless told.
    #[must_use]
    pub fn private_data_cloud(mut self, on: bool) -> Self {
        self.private_data_cloud = on;
        self
    }

    /// Seconds of idling after which a node is suspended; 10 unless told.
    #[must_use]
    pub fn suspend_time(mut self, seconds: u32) -> Self {
        self.suspend_time = seconds;
        self
    }

    /// Seconds that a node has to come up; 30 unless told.
    #[must_use]
    pub fn resume_timeout(mut self, seconds: u32) -> Self {
        self.resume_timeout = seconds;
        self
    }

    /// Seconds that a node stays POWERING_DOWN; 5 unless told.
    #[must_use]
    pub fn suspend_timeout(mut self, seconds: u32) -> Self {
        self.suspend_timeout = seconds;
        self
    }

    /// `ResumeProgram`; none unless told.
    #[must_use]
    pub fn resume_program(mut self, path: impl Into<PathBuf>) -> Self {
        self.resume_program = Some(path.into());
        self
    }

    /// `SuspendProgram`; none unless told.
    #[must_use]
    pub fn suspend_program(mut self, path: impl Into<PathBuf>) -> Self {
        self.suspend_program = Some(path.into());
        self
    }

    /// `ResumeFailProgram`; none unless told.
    #[must_use]
    pub fn resume_fail_program(mut self, path: impl Into<PathBuf>) -> Self {
        self.resume_fail_program = Some(path.into());
        self
    }

    /// `ResumeProgram` and `SuspendProgram` of the harness, with which nodes are slurmd processes, for tests that are
    /// not about these programs. They log to `power_save.log`.
    #[must_use]
    pub fn plain_programs(self) -> Self {
        let resume = self.script("resume", include_str!("resume.sh"));
        let suspend = self.script("suspend", include_str!("suspend.sh"));
        self.resume_program(resume).suspend_program(suspend)
    }

    /// A line more at the end of slurm.conf. A key that is there already takes this value.
    #[must_use]
    pub fn conf_line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// Starts munged and slurmctld, and returns when slurmctld answers.
    ///
    /// # Panics
    /// Where this Slurm is not installed (see [`SlurmVersion::or_skip`]) or does not start.
    pub fn start(self) -> Cluster {
        let release = match self.version.available() {
            Ok(release) => release,
            Err(reason) => panic!("no {:?} Slurm: {reason}", self.version),
        };
        let ports = Ports::take(1 + conf::ports_for(conf::count(&self.nodes)));
        self.write_files(
            &conf::slurm_conf(&self, release, ports.first),
            conf::cgroup_conf(release),
        );
        let keeper = Keeper::start(self.dir(), self.version.tree().as_deref());
        let namespace = match self.version {
            SlurmVersion::Packaged => Vec::new(),
            SlurmVersion::Newer => keeper.enter(),
        };
        Cluster::start(release, self.user, self.dir, ports, keeper, namespace)
    }

    fn write_files(&self, slurm_conf: &str, cgroup_conf: &str) {
        let user = User::from_name(self.user.name())
            .expect("the users of this system")
            .unwrap_or_else(|| panic!("no user {}: run tests/setup.sh slurm", self.user.name()));
        for name in FOLDERS {
            let folder = self.dir().join(name);
            fs::create_dir_all(&folder).expect("folder");
            chown(&folder, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("chown");
        }
        fs::create_dir(self.dir().join("munge")).expect("folder");
        fs::write(self.conf_path(), slurm_conf).expect("slurm.conf");
        fs::write(self.dir().join("cgroup.conf"), cgroup_conf).expect("cgroup.conf");

        let mut key = [0; 128];
        fs::File::open("/dev/urandom")
            .and_then(|mut file| file.read_exact(&mut key))
            .expect("random");
        let path = self.dir().join("munge/key");
        fs::write(&path, key).expect("munge key");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("mode");
    }
}
