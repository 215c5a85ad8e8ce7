//! A cluster whose programs are ours.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Output;

use nix::unistd::User;

use crate::builder::{ClusterBuilder, SlurmUser};
use crate::cluster::Cluster;

/// The programs, and where they are built.
pub const PROGRAMS: [&str; 4] = [
    "slurmburst",
    "slurmburst-resume",
    "slurmburst-suspend",
    "slurmburst-resume-fail",
];

/// Which build of the programs a test needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// What a site installs.
    Site,
    /// With every backend, and the simulated cloud.
    Fake,
}

impl Build {
    /// The folder with the built programs, or why there is none.
    pub fn dir(self) -> Result<PathBuf, String> {
        let (variable, how) = match self {
            Build::Site => ("SLURMBURST_BIN_DIR", "cargo build -p slurmburst-programs"),
            Build::Fake => ("SLURMBURST_FAKE_BIN_DIR", "tests/run.sh builds them"),
        };
        let dir = match (std::env::var_os(variable), self) {
            (Some(dir), _) => PathBuf::from(dir),
            // Beside the test's own binary: target/debug/deps/NAME.
            (None, Build::Site) => std::env::current_exe()
                .ok()
                .and_then(|exe| exe.parent()?.parent().map(Path::to_owned))
                .ok_or("this test's own path is unknown")?,
            (None, Build::Fake) => return Err(format!("${variable} is not set; {how}")),
        };
        match PROGRAMS.iter().find(|p| !dir.join(p).is_file()) {
            None => Ok(dir),
            Some(missing) => Err(format!("{} is not in {}; {how}", missing, dir.display())),
        }
    }

    /// The folder, or a printed skip. Under `tests/run.sh` a missing build fails.
    pub fn or_skip(self) -> Option<PathBuf> {
        match self.dir() {
            Ok(dir) => Some(dir),
            Err(why) if std::env::var_os("SLURMBURST_REQUIRE_SLURM").is_some() => {
                panic!("the programs are needed: {why}")
            }
            Err(why) => {
                println!("skipped: {why}");
                None
            }
        }
    }
}

/// A running cluster and what slurmburst uses in it.
#[derive(Debug)]
pub struct Burst {
    /// The cluster.
    pub cluster: Cluster,
    bin: PathBuf,
}

/// A site file for this cluster: `top` are lines before the first table,
/// `rest` the providers and groups.
pub fn site_text(dir: &Path, top: &str, rest: &str) -> String {
    let d = dir.display();
    format!(
        "cluster = \"test\"\ncluster_id = \"test-1\"\nstate_dir = \"{d}/state/burst\"\n\
         log_file = \"{d}/log/power_save.log\"\n{top}\n[slurm]\nconf = \"{d}/slurm.conf\"\n{rest}"
    )
}

/// One group of local nodes.
pub fn local_site(dir: &Path, hostlist: &str, top: &str) -> String {
    let d = dir.display();
    site_text(
        dir,
        top,
        &format!(
            "[provider.here]\nkind = \"local\"\nrun_dir = \"{d}/run/burst\"\n\
             [[nodes]]\nhostlist = \"{hostlist}\"\n  [[nodes.placement]]\n  provider = \"here\"\n"
        ),
    )
}

impl Burst {
    /// Starts the cluster with our programs and this site file.
    pub fn start(builder: ClusterBuilder, built: &Path, site: &str) -> Burst {
        let bin = builder.dir().join("bin");
        fs::create_dir_all(&bin).expect("bin");
        for program in PROGRAMS {
            let to = bin.join(program);
            fs::copy(built.join(program), &to).expect(program);
            fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).expect("mode");
        }
        let user = builder.user;
        fs::write(builder.dir().join("slurmburst.toml"), site).expect("site file");
        let cluster = builder
            .resume_program(bin.join("slurmburst-resume"))
            .suspend_program(bin.join("slurmburst-suspend"))
            .resume_fail_program(bin.join("slurmburst-resume-fail"))
            .start();
        for folder in ["run/burst", "state/burst"] {
            let path = cluster.dir().join(folder);
            fs::create_dir_all(&path).expect(folder);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("mode");
            if user == SlurmUser::Slurm {
                let slurm = User::from_name("slurm").expect("users").expect("slurm");
                chown(&path, Some(slurm.uid.as_raw()), Some(slurm.gid.as_raw())).expect("chown");
            }
        }
        Burst { cluster, bin }
    }

    /// The path of one of our programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// Runs one of our programs, as slurmctld would but with an environment.
    pub fn run(&self, name: &str, args: &[&str]) -> Output {
        let program = self.program(name);
        self.cluster.run(program, args)
    }

    /// The operator's command.
    pub fn slurmburst(&self, args: &[&str]) -> Output {
        self.run("slurmburst", args)
    }

    /// Replaces the site file.
    pub fn write_site(&self, text: &str) {
        let file = self.cluster.dir().join("slurmburst.toml");
        let new = self.cluster.dir().join("slurmburst.toml.new");
        fs::write(&new, text).expect("site file");
        fs::rename(new, file).expect("site file");
    }

    /// The power-save log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.cluster.dir().join("log/power_save.log")).unwrap_or_default()
    }

    /// The log's JSON lines whose `what` is this, for this node.
    pub fn events(&self, node: &str, what: &str) -> usize {
        let (node, what) = (
            format!("\"node\":\"{node}\""),
            format!("\"what\":\"{what}\""),
        );
        self.log()
            .lines()
            .filter(|l| l.contains(&node) && l.contains(&what))
            .count()
    }
}
