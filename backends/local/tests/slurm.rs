//! Against a real slurmctld and real slurmds on loopback, as root, in a
//! temporary folder. Says aloud that it skips where that is not possible; with
//! `SLURMBURST_REQUIRE_SLURM=1` it fails instead.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use slurmburst_core::hostlist::NodeName;
use slurmburst_core::kind::{Level, Operator};
use slurmburst_core::outcome::Outcome;
use slurmburst_core::policy::Group;
use slurmburst_core::provider::{
    Call, CallNode, CloudProvider, Context, DownMode, Generation, InstanceState, Lifecycle,
    Placement, PowerDown, Template,
};
use slurmburst_local::{LocalConfig, LocalOperator, LocalProvider};

/// munged and slurmctld, for two nodes that nobody has started.
struct Cluster {
    dir: tempfile::TempDir,
    daemons: Vec<Child>,
}

impl Cluster {
    /// `None`, after saying why, where there is no Slurm.
    fn start() -> Option<Cluster> {
        let missing: Vec<&str> = [
            "/usr/sbin/slurmctld",
            "/usr/sbin/slurmd",
            "/usr/sbin/munged",
            "/usr/bin/scontrol",
        ]
        .into_iter()
        .filter(|p| !PathBuf::from(p).is_file())
        .collect();
        let root = nix::unistd::geteuid().is_root();
        if !missing.is_empty() || !root {
            let why = format!("needs root (is: {root}) and Slurm (missing: {missing:?})");
            assert!(
                std::env::var_os("SLURMBURST_REQUIRE_SLURM").is_none(),
                "{why}"
            );
            eprintln!("SKIPPED: {why}");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut cluster = Cluster {
            dir,
            daemons: Vec::new(),
        };
        for folder in ["state", "log", "spool", "munge"] {
            fs::create_dir(cluster.path(folder)).unwrap();
        }
        cluster.munged();
        cluster.slurmctld();
        Some(cluster)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn daemon(&mut self, program: &str, args: &[String]) {
        let child = Command::new(program)
            .args(args)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.daemons.push(child);
    }

    fn munged(&mut self) {
        let mut key = vec![0; 128];
        std::io::Read::read_exact(&mut fs::File::open("/dev/urandom").unwrap(), &mut key).unwrap();
        fs::write(self.path("munge/key"), key).unwrap();
        fs::set_permissions(self.path("munge/key"), fs::Permissions::from_mode(0o600)).unwrap();
        chown(self.path("munge"), Some(0), Some(0)).unwrap();
        let file = |name: &str| self.path(&format!("munge/{name}")).display().to_string();
        let args = [
            "--foreground".to_owned(),
            "--force".into(),
            format!("--key-file={}", file("key")),
            format!("--socket={}", file("socket")),
            format!("--pid-file={}", file("pid")),
            format!("--log-file={}", file("log")),
            format!("--seed-file={}", file("seed")),
            "--num-threads=2".into(),
        ];
        self.daemon("/usr/sbin/munged", &args);
        let socket = self.path("munge/socket");
        wait_until("munged", || socket.exists());
    }

    fn slurmctld(&mut self) {
        let holders: Vec<TcpListener> = (0..4)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let port = |i: usize| holders[i].local_addr().unwrap().port();
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let host = host.trim();
        let dir = self.dir.path().display();
        let text = format!(
            "ClusterName=local\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={}\nSlurmdPort={}\n\
             AuthType=auth/munge\nAuthInfo=socket={dir}/munge/socket\nCredType=cred/munge\n\
             CommunicationParameters=NoCtldInAddrAny,NoInAddrAny\nSlurmUser=root\nSlurmdUser=root\n\
             StateSaveLocation={dir}/state\nSlurmdSpoolDir={dir}/spool/%n\n\
             SlurmctldPidFile={dir}/slurmctld.pid\nSlurmdPidFile={dir}/slurmd-%n.pid\n\
             SlurmctldLogFile={dir}/log/slurmctld\nSlurmdLogFile={dir}/log/slurmd-%n\n\
             ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nMpiDefault=none\n\
             JobAcctGatherType=jobacct_gather/none\nSelectType=select/cons_tres\n\
             AccountingStorageType=accounting_storage/none\nReturnToService=2\n\
             SchedulerParameters=batch_sched_delay=0,sched_interval=5\nSlurmdTimeout=300\n\
             NodeName=c1 NodeAddr=127.0.0.1 Port={} CPUs=1 RealMemory=100 State=UNKNOWN\n\
             NodeName=c2 NodeAddr=127.0.0.1 Port={} CPUs=1 RealMemory=100 State=UNKNOWN\n\
             PartitionName=p Nodes=ALL Default=YES State=UP\n",
            port(0),
            port(1),
            port(2),
            port(3),
        );
        drop(holders);
        fs::write(self.path("slurm.conf"), text).unwrap();
        let cgroup = if self
            .slurm(&["/usr/sbin/slurmctld", "-V"])
            .contains(" 22.05")
        {
            "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n"
        } else {
            "CgroupPlugin=disabled\n"
        };
        fs::write(self.path("cgroup.conf"), cgroup).unwrap();
        let conf = self.path("slurm.conf").display().to_string();
        self.daemon("/usr/sbin/slurmctld", &["-D".into(), "-f".into(), conf]);
        wait_until("slurmctld", || {
            self.slurm(&["/usr/bin/scontrol", "ping"]).contains("is UP")
        });
    }

    fn slurm(&self, command: &[&str]) -> String {
        let output = Command::new(command[0])
            .args(&command[1..])
            .env("SLURM_CONF", self.path("slurm.conf"))
            .current_dir("/")
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn is_idle(&self, node: &str) -> bool {
        self.slurm(&["/usr/bin/sinfo", "-h", "-o", "%T", "-n", node])
            .trim()
            == "idle"
    }

    fn config(&self) -> LocalConfig {
        let mut config = LocalConfig::new("here", self.path("slurm.conf"));
        config.run_dir = self.path("run");
        config
    }

    /// Whatever runs for this cluster besides its two daemons.
    fn running(&self) -> Vec<(i32, String)> {
        let dir = self.dir.path().display().to_string();
        let daemons: Vec<i32> = self.daemons.iter().map(|c| c.id().cast_signed()).collect();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|s| s.parse().ok()) else {
                continue;
            };
            let text = |what| {
                let bytes = fs::read(entry.path().join(what)).unwrap_or_default();
                String::from_utf8_lossy(&bytes).replace('\0', " ")
            };
            let cwd = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
            let ours = text("cmdline").contains(&dir)
                || text("environ").contains(&dir)
                || cwd.starts_with(self.dir.path());
            let scriptd = text("cmdline").contains("slurmscriptd");
            if ours && !daemons.contains(&pid) && !scriptd {
                found.push((pid, text("cmdline")));
            }
        }
        found
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for (pid, _) in self.running() {
            kill(pid);
        }
        // slurmctld before munged.
        for mut daemon in self.daemons.drain(..).rev() {
            let pid = nix::unistd::Pid::from_raw(daemon.id().cast_signed());
            _ = nix::sys::signal::kill(pid, nix::sys::signal::SIGTERM);
            let end = Instant::now() + Duration::from_secs(5);
            while daemon.try_wait().is_ok_and(|s| s.is_none()) && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(20));
            }
            _ = daemon.kill();
            _ = daemon.wait();
        }
    }
}

fn kill(pid: i32) {
    let pid = nix::unistd::Pid::from_raw(pid);
    _ = nix::sys::signal::kill(pid, nix::sys::signal::SIGKILL);
}

fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is() {
        assert!(Instant::now() < end, "still not: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn cx() -> Context {
    Context::within("local", Duration::from_secs(30))
}

fn call(provider: &LocalProvider, id: &str, lifecycle: Lifecycle, nodes: &[&str]) -> Call {
    let placement = Placement {
        name: "here".into(),
        provider: "here".into(),
        lifecycle,
        template: Template::default(),
    };
    let names: Vec<NodeName> = nodes.iter().map(|n| NodeName::new(n).unwrap()).collect();
    let rendered = provider.render(&placement, &names).unwrap().remove(0);
    let node = |name| CallNode {
        name,
        generation: Generation(1),
    };
    Call {
        id: id.into(),
        token: id.into(),
        placement,
        nodes: rendered.nodes.into_iter().map(node).collect(),
        request: rendered.request,
    }
}

fn down(node: &str, mode: DownMode) -> PowerDown {
    let node = NodeName::new(node).unwrap();
    PowerDown {
        node,
        generation: Generation(2),
        instance: None,
        mode,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_register_run_a_job_and_leave_nothing() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let operator = LocalOperator::new(cluster.config(), "local");
    let group = Group {
        nodes: "c[1-2]".parse().unwrap(),
        lifecycle: Lifecycle::CreateDelete,
        placements: Vec::new(),
    };
    let findings = operator.check(&[group]).await;
    assert!(
        findings.iter().all(|f| f.level == Level::Ok),
        "{findings:#?}"
    );

    let provider = LocalProvider::new(cluster.config());
    let first = call(&provider, "1", Lifecycle::CreateDelete, &["c1", "c2"]);
    for _ in 0..2 {
        let up = provider.power_up(&cx(), std::slice::from_ref(&first)).await;
        assert!(
            up.iter().all(|(_, o)| matches!(o, Outcome::Done(_))),
            "{up:?}"
        );
    }
    wait_until("both registered", || {
        cluster.is_idle("c1") && cluster.is_idle("c2")
    });
    let slurmds = cluster
        .running()
        .iter()
        .filter(|(_, c)| c.contains("slurmd"))
        .count();
    assert_eq!(slurmds, 2);

    // A reconfiguration, for which newer slurmds execute themselves anew.
    let before = cluster.running();
    cluster.slurm(&["/usr/bin/scontrol", "reconfigure"]);
    std::thread::sleep(Duration::from_secs(2));
    let listing = provider.list(&cx()).await.unwrap();
    assert!(
        listing
            .instances
            .iter()
            .all(|i| i.state == InstanceState::Running),
        "{listing:?}"
    );
    assert_eq!(cluster.running(), before);

    // A job in the middle of which its machine goes away, with all it started.
    let job = "setsid -f sleep 7001; exec sleep 7002";
    let output = cluster.slurm(&["/usr/bin/sbatch", "-wc1", "-o/dev/null", "--wrap", job]);
    assert!(output.contains("Submitted"), "{output}");
    let sleeps = || {
        let all = cluster.running();
        all.iter()
            .filter(|(_, c)| c.starts_with("sleep 700"))
            .count()
    };
    wait_until("the job runs", || sleeps() == 2);
    assert!(
        cluster
            .running()
            .iter()
            .any(|(_, c)| c.starts_with("slurmstepd")),
        "step"
    );
    let gone = provider
        .power_down(&cx(), &[down("c1", DownMode::Terminate)])
        .await;
    assert!(
        gone.iter().all(|(_, o)| matches!(o, Outcome::Done(_))),
        "{gone:?}"
    );
    let left = cluster.running();
    assert!(left.len() == 1 && left[0].1.contains("-N c2"), "{left:?}");

    // A slurmd that is killed is gone, and its node can be called again.
    kill(left[0].0);
    wait_until("listed no more", || {
        now(provider.list(&cx())).instances.is_empty()
    });
    let again = call(&provider, "2", Lifecycle::CreateDelete, &["c2"]);
    let up = provider.power_up(&cx(), &[again]).await;
    assert!(
        up.iter().all(|(_, o)| matches!(o, Outcome::Done(_))),
        "{up:?}"
    );
    provider
        .power_down(&cx(), &[down("c2", DownMode::Terminate)])
        .await;
    assert_eq!(cluster.running(), []);
}

/// Waits for a future from within a closure of a test.
fn now<T>(future: impl std::future::Future<Output = slurmburst_core::error::Result<T>>) -> T {
    let runtime = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| runtime.block_on(future)).unwrap()
}

#[tokio::test]
async fn a_deallocated_node_comes_back_as_itself() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let provider = LocalProvider::new(cluster.config());
    let mut ids = Vec::new();
    for id in ["1", "2"] {
        let start = call(&provider, id, Lifecycle::StartDeallocate, &["c1"]);
        let up = provider.power_up(&cx(), &[start]).await;
        wait_until("registered", || cluster.is_idle("c1"));
        let listing = provider.list(&cx()).await.unwrap();
        assert_eq!(listing.instances[0].state, InstanceState::Running, "{up:?}");
        ids.push(listing.instances[0].id.clone());
        provider
            .power_down(&cx(), &[down("c1", DownMode::Deallocate)])
            .await;
        assert_eq!(cluster.running(), []);
        let listing = provider.list(&cx()).await.unwrap();
        assert_eq!(listing.instances[0].state, InstanceState::Stopped);
        cluster.slurm(&[
            "/usr/bin/scontrol",
            "update",
            "nodename=c1",
            "state=down",
            "reason=t",
        ]);
    }
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test]
async fn a_slurmd_that_cannot_start_says_why() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let provider = LocalProvider::new(cluster.config());
    let nobody = call(&provider, "1", Lifecycle::CreateDelete, &["c9"]);
    let up = provider.power_up(&cx(), &[nobody]).await;
    let Some((_, Outcome::Failed(e))) = up.iter().next() else {
        panic!("{up:?}")
    };
    // What slurmd itself says is worded differently by each version.
    for part in ["exit status: 1", "slurmd: ", "-N c9"] {
        assert!(e.to_string().contains(part), "{e}");
    }
    assert_eq!(cluster.running(), []);
}
