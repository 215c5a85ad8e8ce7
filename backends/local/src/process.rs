//! Processes, as `/proc` shows them.
//!
//! A process is known by its pid *and* its start time *and* the boot of the
//! machine: a pid that was given to somebody else is never taken for a node.
//! What a cloud keeps as tags on a machine is here the environment that the
//! slurmd was started with; it can be read back from `/proc` as long as the
//! process lives, whatever became of the books.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use serde::{Deserialize, Serialize};

/// Which process it is, for as long as the machine is up, and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ident {
    pub(crate) pid: i32,
    /// Clock ticks since boot; field 22 of `/proc/PID/stat`.
    pub(crate) start: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub(crate) boot: String,
}

impl Ident {
    /// The identity of a process that is there now; a zombie counts too, since
    /// its pid is still its own.
    pub(crate) fn of(pid: i32) -> Option<Ident> {
        let stat = Stat::read(pid)?;
        Some(Ident {
            pid,
            start: stat.start,
            boot: boot_id(),
        })
    }

    /// Whether it runs. A zombie does not.
    pub(crate) fn alive(&self) -> bool {
        self.boot == boot_id()
            && Stat::read(self.pid).is_some_and(|s| s.start == self.start && s.lives())
    }
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|s| s.trim().to_owned())
        .unwrap_or_default()
}

/// The part of `/proc/PID/stat` that is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stat {
    comm: String,
    state: char,
    ppid: i32,
    start: u64,
}

impl Stat {
    fn read(pid: i32) -> Option<Stat> {
        // Bytes, because a process may give itself any name.
        let bytes = fs::read(format!("/proc/{pid}/stat")).ok()?;
        Stat::parse(&String::from_utf8_lossy(&bytes))
    }

    /// The name stands in brackets and may itself hold brackets and blanks.
    fn parse(text: &str) -> Option<Stat> {
        let (before, after) = text.rsplit_once(')')?;
        let (_, comm) = before.split_once('(')?;
        let fields: Vec<&str> = after.split_ascii_whitespace().collect();
        Some(Stat {
            comm: comm.to_owned(),
            state: fields.first()?.chars().next()?,
            ppid: fields.get(1)?.parse().ok()?,
            // Field 22; the first after the name is field 3.
            start: fields.get(19)?.parse().ok()?,
        })
    }

    fn lives(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// What a slurmd of ours was told of itself when it was started.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Tags {
    /// Whose it is: the folder of the cluster's books. So the same cluster_id in
    /// another `run_dir` (a second demo) is somebody else.
    pub(crate) owner: String,
    pub(crate) node: String,
    pub(crate) instance: String,
    pub(crate) generation: i64,
    pub(crate) call: String,
    pub(crate) token: String,
    /// `start-deallocate` keeps the identity of a node whose slurmd is gone.
    pub(crate) keeps_identity: bool,
}

impl Tags {
    /// As environment variables.
    pub(crate) fn environment(&self) -> [(&'static str, String); 7] {
        [
            ("SLURMBURST_OWNER", self.owner.clone()),
            ("SLURMBURST_NODE", self.node.clone()),
            ("SLURMBURST_INSTANCE", self.instance.clone()),
            ("SLURMBURST_GENERATION", self.generation.to_string()),
            ("SLURMBURST_CALL", self.call.clone()),
            ("SLURMBURST_TOKEN", self.token.clone()),
            ("SLURMBURST_KEEP", u8::from(self.keeps_identity).to_string()),
        ]
    }

    fn from_environment(env: &HashMap<String, String>) -> Option<Tags> {
        let get = |key: &str| env.get(key).cloned();
        Some(Tags {
            owner: get("SLURMBURST_OWNER")?,
            node: get("SLURMBURST_NODE")?,
            instance: get("SLURMBURST_INSTANCE")?,
            generation: get("SLURMBURST_GENERATION")?.parse().ok()?,
            call: get("SLURMBURST_CALL")?,
            token: get("SLURMBURST_TOKEN")?,
            keeps_identity: get("SLURMBURST_KEEP")? == "1",
        })
    }
}

/// A slurmd that runs here, ours or not.
#[derive(Debug, Clone)]
pub(crate) struct Slurmd {
    pub(crate) ident: Ident,
    pub(crate) node: String,
    pub(crate) conf: PathBuf,
    /// Those that it was started with by us; `None` when it was not.
    pub(crate) tags: Option<Tags>,
}

/// All processes of this machine at one moment.
#[derive(Debug)]
pub(crate) struct Scan {
    stats: HashMap<i32, Stat>,
    boot: String,
    kin: OnceCell<Kin>,
    /// Those that may be a slurmd, oldest first: a slurmd that is forking a
    /// step is there twice for a moment.
    pub(crate) slurmds: Vec<Slurmd>,
}

impl Scan {
    /// Looks at `/proc`.
    ///
    /// # Errors
    /// `/proc` cannot be read at all.
    pub(crate) fn take() -> io::Result<Scan> {
        let mut scan = Scan {
            stats: HashMap::new(),
            boot: boot_id(),
            kin: OnceCell::new(),
            slurmds: Vec::new(),
        };
        for entry in fs::read_dir("/proc")? {
            // A process that ends meanwhile is no error.
            let Ok(entry) = entry else { continue };
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|s| s.parse::<i32>().ok())
            else {
                continue;
            };
            let Some(stat) = Stat::read(pid).filter(Stat::lives) else {
                continue;
            };
            if let Some(slurmd) = scan.slurmd(pid, &stat) {
                scan.slurmds.push(slurmd);
            }
            scan.stats.insert(pid, stat);
        }
        scan.slurmds.sort_by_key(|s| (s.ident.start, s.ident.pid));
        Ok(scan)
    }

    fn slurmd(&self, pid: i32, stat: &Stat) -> Option<Slurmd> {
        let argv = words(&fs::read(format!("/proc/{pid}/cmdline")).ok()?);
        let node = flag(&argv, "-N")?;
        // The second word, where slurmd is a script.
        if !argv
            .iter()
            .take(2)
            .any(|word| basename(word).starts_with("slurmd"))
        {
            return None;
        }
        // Anyone can call a process slurmd; only root and we can run one that counts.
        let uid = fs::metadata(format!("/proc/{pid}")).ok()?.uid();
        if uid != 0 && uid != Uid::effective().as_raw() {
            return None;
        }
        let env = environment(pid);
        let conf = flag(&argv, "-f")
            .or_else(|| env.get("SLURM_CONF").cloned())
            .unwrap_or_else(|| "/etc/slurm/slurm.conf".to_owned());
        // The tags of another node are what a slurmd left to a child of its own.
        let tags = Tags::from_environment(&env).filter(|tags| tags.node == node);
        let ident = Ident {
            pid,
            start: stat.start,
            boot: self.boot.clone(),
        };
        Some(Slurmd {
            ident,
            node,
            conf: PathBuf::from(conf),
            tags,
        })
    }

    /// The slurmds that carry the tags of this owner and node.
    pub(crate) fn ours<'a>(
        &'a self,
        owner: &'a str,
        node: &'a str,
    ) -> impl Iterator<Item = (&'a Slurmd, &'a Tags)> {
        self.slurmds
            .iter()
            .filter_map(|s| s.tags.as_ref().map(|t| (s, t)))
            .filter(move |(_, t)| t.owner == owner && t.node == node)
    }

    /// A slurmd that would be in the way of ours: same node of the same
    /// slurm.conf, and not this owner's.
    pub(crate) fn foreign(&self, owner: &str, node: &str, conf: &Path) -> Option<&Slurmd> {
        let same = |path: &Path| {
            path == conf
                || matches!((path.canonicalize(), conf.canonicalize()), (Ok(a), Ok(b)) if a == b)
        };
        self.slurmds.iter().find(|s| {
            s.node == node && s.tags.as_ref().is_none_or(|t| t.owner != owner) && same(&s.conf)
        })
    }

    /// Everything that belongs to a node, as a machine's death would end it:
    /// its slurmds, the slurmstepds that they started (known by the folder that
    /// they were started in, since they overwrite their environment), what a
    /// job or a slurmd detached (known by the environment it was given), and
    /// what runs below any of those.
    pub(crate) fn belongings(
        &self,
        owner: &str,
        node: &str,
        conf: &Path,
        home: &Path,
    ) -> Vec<Ident> {
        let me = nix::unistd::getpid().as_raw();
        let kin = self.kin.get_or_init(|| Kin::of(&self.stats));
        let mut found: BTreeSet<i32> = BTreeSet::new();
        found.extend(self.ours(owner, node).map(|(s, _)| s.ident.pid));
        found.extend(
            kin.steps
                .iter()
                .filter(|(_, cwd)| cwd == home)
                .map(|(pid, _)| pid),
        );
        for (pid, marks) in &kin.marked {
            if marks.slurm_is(node, conf) || marks.ours_is(owner, node) {
                found.insert(*pid);
            }
        }
        let mut open: Vec<i32> = found.iter().copied().collect();
        while let Some(pid) = open.pop() {
            for &child in kin.children.get(&pid).into_iter().flatten() {
                if found.insert(child) {
                    open.push(child);
                }
            }
        }
        found
            .into_iter()
            .filter(|&pid| pid != me && pid > 1)
            .filter_map(|pid| {
                let start = self.stats.get(&pid)?.start;
                Some(Ident {
                    pid,
                    start,
                    boot: self.boot.clone(),
                })
            })
            .collect()
    }
}

/// Who belongs to whom; looked up only when somebody asks.
#[derive(Debug)]
struct Kin {
    children: HashMap<i32, Vec<i32>>,
    /// The slurmstepds, and where they run.
    steps: Vec<(i32, PathBuf)>,
    marked: Vec<(i32, Marks)>,
}

impl Kin {
    fn of(stats: &HashMap<i32, Stat>) -> Kin {
        let mut kin = Kin {
            children: HashMap::new(),
            steps: Vec::new(),
            marked: Vec::new(),
        };
        for (&pid, stat) in stats {
            kin.children.entry(stat.ppid).or_default().push(pid);
            if stat.comm.starts_with("slurmstepd")
                && let Ok(cwd) = fs::read_link(format!("/proc/{pid}/cwd"))
            {
                kin.steps.push((pid, cwd));
            }
            if let Some(marks) = Marks::read(pid) {
                kin.marked.push((pid, marks));
            }
        }
        kin
    }
}

/// What the environment of a process says of the node that it runs on.
#[derive(Debug)]
struct Marks(HashMap<String, String>);

impl Marks {
    fn read(pid: i32) -> Option<Marks> {
        let mut env = environment(pid);
        env.retain(|key, _| {
            let keys = [
                "SLURMD_NODENAME",
                "SLURM_CONF",
                "SLURMBURST_OWNER",
                "SLURMBURST_NODE",
            ];
            keys.contains(&key.as_str())
        });
        let marked = env.contains_key("SLURMD_NODENAME") || env.contains_key("SLURMBURST_NODE");
        marked.then_some(Marks(env))
    }

    fn is(&self, key: &str, value: &str) -> bool {
        self.0.get(key).is_some_and(|v| v == value)
    }

    /// As Slurm tells a task.
    fn slurm_is(&self, node: &str, conf: &Path) -> bool {
        self.is("SLURMD_NODENAME", node) && self.is("SLURM_CONF", &conf.to_string_lossy())
    }

    /// As a slurmd leaves to what it starts itself.
    fn ours_is(&self, owner: &str, node: &str) -> bool {
        self.is("SLURMBURST_NODE", node) && self.is("SLURMBURST_OWNER", owner)
    }
}

/// Sends a signal, if it is still that process.
pub(crate) fn signal(ident: &Ident, signal: Signal) -> Result<(), nix::Error> {
    if !ident.alive() {
        return Ok(());
    }
    match kill(Pid::from_raw(ident.pid), signal) {
        Err(nix::Error::ESRCH) => Ok(()),
        other => other,
    }
}

fn words(bytes: &[u8]) -> Vec<String> {
    bytes
        .split(|&b| b == 0)
        .filter(|w| !w.is_empty())
        .map(|w| String::from_utf8_lossy(w).into_owned())
        .collect()
}

fn environment(pid: i32) -> HashMap<String, String> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    words(&bytes)
        .iter()
        .filter_map(|entry| entry.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// The value of `-X VALUE` or `-XVALUE`.
fn flag(argv: &[String], flag: &str) -> Option<String> {
    let mut words = argv.iter();
    while let Some(word) = words.next() {
        match word.strip_prefix(flag) {
            Some("") => return words.next().cloned(),
            Some(value) => return Some(value.to_owned()),
            None => {}
        }
    }
    None
}

fn basename(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_blanks_does_not_shift_the_fields() {
        let rest: Vec<String> = (5..=52).map(|n| n.to_string()).collect();
        let stat = Stat::parse(&format!("12 (a) R (b c) S 1 {}", rest.join(" "))).unwrap();
        let want = Stat {
            comm: "a) R (b c".into(),
            state: 'S',
            ppid: 1,
            start: 22,
        };
        assert_eq!(stat, want);
        for broken in ["", "12", "12 (x", "12 (x)", "12 (x) S", "12 (x) S y", ")("] {
            assert_eq!(Stat::parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_reused_pid_is_another_process() {
        let me = Ident::of(std::process::id().cast_signed()).unwrap();
        assert!(me.alive());
        assert!(
            !Ident {
                start: me.start + 1,
                ..me.clone()
            }
            .alive()
        );
        assert!(
            !Ident {
                boot: "another".into(),
                ..me
            }
            .alive()
        );
    }

    #[test]
    fn a_zombie_is_dead() {
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        let ident = Ident::of(child.id().cast_signed()).unwrap();
        while ident.alive() {
            std::thread::yield_now();
        }
        assert_eq!(Ident::of(ident.pid), Some(ident), "not reaped yet");
        child.wait().unwrap();
    }

    #[test]
    fn flags() {
        let argv = |s: &str| s.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            flag(&argv("slurmd -D -N c1 -f x"), "-N").as_deref(),
            Some("c1")
        );
        assert_eq!(flag(&argv("slurmd -Nc1"), "-N").as_deref(), Some("c1"));
        assert_eq!(flag(&argv("slurmd -N"), "-N"), None);
    }
}
