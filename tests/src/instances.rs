//! What runs of the nodes, counted without asking our programs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

use crate::burst::Burst;

/// The instances that run, by node: processes that were started as `-N NODE` with a tag that names an instance.
pub fn running(dir: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::<String, BTreeSet<String>>::new();
    for pid in pids() {
        let args = strings(pid, "cmdline");
        let Some(node) = args.windows(2).find(|p| p[0] == "-N").map(|p| p[1].clone()) else {
            continue;
        };
        let env = strings(pid, "environ");
        let value = |key: &str| {
            env.iter()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        };
        let ours = value("SLURMBURST_OWNER").is_some_and(|owner| Path::new(owner).starts_with(dir));
        if let (true, Some(instance)) = (ours, value("SLURMBURST_INSTANCE")) {
            found.entry(node).or_default().insert(instance.to_owned());
        }
    }
    found
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The strings of `/proc/PID/NAME`.
fn strings(pid: i32, name: &str) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    String::from_utf8_lossy(&bytes)
        .split_terminator('\0')
        .map(str::to_owned)
        .collect()
}

/// Counts instances as long as it lives, twenty times a second.
#[derive(Debug)]
pub struct Watch {
    seen: Arc<Mutex<Seen>>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Seen {
    most: BTreeMap<String, usize>,
    all: BTreeMap<String, BTreeSet<String>>,
}

impl Watch {
    /// Begins to look.
    pub fn start(burst: &Burst) -> Watch {
        let dir = burst.cluster.dir().to_owned();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let end = Arc::new(AtomicBool::new(false));
        let (theirs, over) = (Arc::clone(&seen), Arc::clone(&end));
        let thread = thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                for (node, instances) in running(&dir) {
                    let mut seen = theirs.lock().unwrap_or_else(PoisonError::into_inner);
                    let most = seen.most.entry(node.clone()).or_default();
                    *most = instances.len().max(*most);
                    seen.all.entry(node).or_default().extend(instances);
                }
                sleep(Duration::from_millis(50));
            }
        });
        Watch {
            seen,
            end,
            thread: Some(thread),
        }
    }

    /// Never were there two instances of a node at a time, and of each of these nodes there were so many in all.
    pub fn saw(&self, instances: &[(&str, usize)]) {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(
            seen.most.values().all(|most| *most <= 1),
            "two at a time: {seen:?}"
        );
        for (node, count) in instances {
            let all = seen.all.get(*node).map_or(0, BTreeSet::len);
            assert_eq!(all, *count, "instances of {node}: {seen:?}");
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Burst {
    /// The nodes that have a book: an instance that runs, boots, or is being ended.
    pub fn books(&self) -> BTreeSet<String> {
        let folder = self.cluster.dir().join("run/burst/test-1");
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|e| e.file_name().into_string().ok());
        names
            .filter_map(|n| n.strip_suffix(".json").map(str::to_owned))
            .collect()
    }

    /// The convergers of this cluster that run; at most one of them does anything.
    pub fn convergers(&self) -> Vec<i32> {
        let site = self
            .cluster
            .dir()
            .join("slurmburst.toml")
            .display()
            .to_string();
        let ours = |args: &[String]| args.contains(&site) && args.iter().any(|a| a == "--converge");
        pids()
            .filter(|pid| ours(&strings(*pid, "cmdline")))
            .collect()
    }

    /// The runs of one of our programs that slurmctld, or somebody else, has called.
    pub fn runs(&self, program: &str) -> Vec<i32> {
        let path = self.program(program).display().to_string();
        // The packaged slurmctld gives the name alone as the first word.
        let exe = |pid: i32| {
            fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == Path::new(&path))
        };
        let calls =
            |pid: &i32| exe(*pid) && !strings(*pid, "cmdline").iter().any(|a| a == "--converge");
        pids().filter(calls).collect()
    }

    /// Puts this text in the place of one of our programs.
    pub fn replace(&self, program: &str, text: &str) {
        let path = self.program(program);
        let new = path.with_extension("new");
        fs::write(&new, text).expect("script");
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).expect("mode");
        fs::rename(new, path).expect("script");
    }

    /// Waits until the converger has nothing left to do.
    pub fn wait_idle(&self) {
        let limit = Duration::from_secs(20);
        self.cluster.wait_for("the converger to end", limit, || {
            self.convergers().is_empty()
        });
    }

    /// Waits until nothing is left of any node: no process, no book.
    pub fn wait_nothing_left(&self) {
        let dir = self.cluster.dir();
        self.cluster.wait_for(
            "nothing to be left of any node",
            Duration::from_secs(15),
            || running(dir).is_empty() && self.books().is_empty(),
        );
    }

    /// `scontrol update nodename=NODES state=STATE`
    pub fn set_state(&self, nodes: &str, state: &str) {
        let words = [format!("nodename={nodes}"), format!("state={state}")];
        let out = self.cluster.scontrol(&["update", &words[0], &words[1]]);
        assert!(out.status.success(), "{state} {nodes}: {out:?}");
    }

    /// Waits until jobs can run on these nodes, and asserts that each has one instance.
    pub fn wait_up(&self, nodes: &[&str]) {
        let what = format!("{nodes:?} to be up");
        let limit = Duration::from_secs(25);
        self.cluster
            .wait_for_nodes(&what, limit, nodes, crate::NodeInfo::is_up);
        let running = running(self.cluster.dir());
        for node in nodes {
            let count = running.get(*node).map_or(0, BTreeSet::len);
            assert_eq!(count, 1, "instances of {node}\n{}", self.log());
        }
    }

    /// Waits until Slurm shows these nodes off, whatever else it shows.
    pub fn wait_off(&self, nodes: &[&str]) {
        let what = format!("{nodes:?} to be off");
        self.cluster
            .wait_for_nodes(&what, Duration::from_secs(25), nodes, |node| {
                node.is(&["POWERED_DOWN"])
                    && !node.is(&["POWERING_DOWN"])
                    && !node.is(&["POWER_UP"])
            });
    }

    /// Powers these nodes down and waits until nothing is left of any node.
    pub fn all_down(&self, hostlist: &str, nodes: &[&str]) {
        self.set_state(hostlist, "power_down");
        self.wait_off(nodes);
        self.wait_nothing_left();
    }

    /// Runs a short job on these nodes, which must be up.
    pub fn job_runs_on(&self, nodes: &[&str]) {
        let list = nodes.join(",");
        let count = format!("-N{}", nodes.len());
        let out = self
            .cluster
            .run("srun", &["--mem=10", "-t5", &count, "-w", &list, "true"]);
        assert!(
            out.status.success(),
            "srun on {list}: {out:?}\n{}",
            self.log()
        );
    }

    /// Waits until the log has so many of these events for the node.
    pub fn wait_event(&self, node: &str, what: &str, count: usize) {
        let text = format!("event {what} of {node}, {count} times");
        let limit = Duration::from_secs(20);
        self.cluster
            .wait_for(&text, limit, || self.events(node, what) >= count);
    }

    /// Waits until a job has ended, and asserts how.
    pub fn wait_job(&self, job: u32, limit: u64) {
        let ended =
            |state: &str| !matches!(state, "PENDING" | "CONFIGURING" | "RUNNING" | "COMPLETING");
        self.cluster.wait_for(
            &format!("job {job} to end"),
            Duration::from_secs(limit),
            || {
                self.cluster
                    .job_state(job)
                    .is_some_and(|state| ended(&state))
            },
        );
        let state = self.cluster.job_state(job);
        assert_eq!(
            state.as_deref(),
            Some("COMPLETED"),
            "job {job}\n{}",
            self.log()
        );
    }

    /// `slurmburst reconcile --wait`, which must do well.
    pub fn reconcile(&self) {
        let out = self.slurmburst(&["reconcile", "--wait"]);
        assert!(out.status.success(), "reconcile: {out:?}\n{}", self.log());
    }
}
