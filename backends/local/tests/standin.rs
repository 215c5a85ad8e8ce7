//! The promises that need no Slurm, against a script in slurmd's place: the
//! same call twice, crashes between two steps, foreign processes, identities.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use slurmburst_core::error::{Effect, ErrorKind};
use slurmburst_core::hostlist::NodeName;
use slurmburst_core::outcome::{Outcome, Outcomes};
use slurmburst_core::provider::{
    Call, CallNode, CloudProvider, Context, Direction, DownMode, Generation, InstanceState,
    Lifecycle, Pending, Placement, PowerDown, Template,
};
use slurmburst_local::{LocalConfig, LocalProvider};

const STAND_IN: &str = r#"#!/bin/sh
here=${0%/*}
echo "$$ $*" >>"$here/starts"
if [ -e "$here/fail" ]; then echo "slurmd: error: no such thing" >&2; exit 3; fi
if [ -e "$here/stubborn" ]; then trap '' TERM; fi
if [ -e "$here/detach" ]; then setsid -f sleep 301; fi
while :; do sleep 1; done
"#;

struct Place {
    dir: tempfile::TempDir,
    provider: LocalProvider,
}

impl Place {
    fn new() -> Place {
        Place::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut LocalConfig)) -> Place {
        let dir = tempfile::tempdir().unwrap();
        let slurmd = dir.path().join("slurmd");
        fs::write(&slurmd, STAND_IN).unwrap();
        fs::set_permissions(&slurmd, fs::Permissions::from_mode(0o755)).unwrap();
        let conf = dir.path().join("slurm.conf");
        fs::write(&conf, "ClusterName=x\n").unwrap();
        let mut config = LocalConfig::new("here", conf);
        config.slurmd = slurmd;
        config.run_dir = dir.path().join("run");
        change(&mut config);
        Place {
            dir,
            provider: LocalProvider::new(config),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn touch(&self, name: &str) {
        fs::write(self.path(name), "").unwrap();
    }

    /// The pids of all stand-ins that were ever started.
    fn starts(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.path("starts")).unwrap_or_default();
        text.lines()
            .map(|l| l.split(' ').next().unwrap().parse().unwrap())
            .collect()
    }

    fn call(&self, id: &str, lifecycle: Lifecycle, nodes: &[&str]) -> Call {
        let placement = Placement {
            name: "here".into(),
            provider: "here".into(),
            lifecycle,
            template: Template::default(),
        };
        let names: Vec<NodeName> = nodes.iter().map(|n| name(n)).collect();
        let rendered = self.provider.render(&placement, &names).unwrap().remove(0);
        let node = |name| CallNode {
            name,
            generation: Generation(7),
        };
        Call {
            id: id.into(),
            token: format!("token-{id}"),
            placement,
            nodes: rendered.nodes.into_iter().map(node).collect(),
            request: rendered.request,
        }
    }

    async fn up(&self, call: &Call) -> Outcomes {
        self.provider
            .power_up(&cx(), std::slice::from_ref(call))
            .await
    }

    async fn down(&self, mode: DownMode, nodes: &[&str]) -> Outcomes {
        let down = |n: &&str| PowerDown {
            node: name(n),
            generation: Generation(8),
            instance: None,
            mode,
        };
        let batch: Vec<PowerDown> = nodes.iter().map(down).collect();
        self.provider.power_down(&cx(), &batch).await
    }

    async fn list(&self) -> Vec<(String, InstanceState, String)> {
        let listing = self.provider.list(&cx()).await.unwrap();
        assert!(listing.gaps.is_empty(), "{:?}", listing.gaps);
        listing
            .instances
            .into_iter()
            .map(|i| (i.node.to_string(), i.state, i.id))
            .collect()
    }

    fn books(&self) -> Vec<String> {
        let dir = self.path("run/tests");
        let mut names: Vec<String> = fs::read_dir(dir)
            .map(|d| {
                d.map(|e| e.unwrap().file_name().into_string().unwrap())
                    .collect()
            })
            .unwrap_or_default();
        names.retain(|n| n != "lock");
        names
    }
}

/// Whatever a failed test leaves must not stay.
impl Drop for Place {
    fn drop(&mut self) {
        let here = self.dir.path().to_str().unwrap().to_owned();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|s| s.parse::<i32>().ok())
            else {
                continue;
            };
            let read = |what| fs::read(entry.path().join(what)).unwrap_or_default();
            if String::from_utf8_lossy(&read("environ")).contains(&here)
                || String::from_utf8_lossy(&read("cmdline")).contains(&here)
            {
                kill(pid);
            }
        }
    }
}

fn name(node: &str) -> NodeName {
    NodeName::new(node).unwrap()
}

fn cx() -> Context {
    Context::within("tests", Duration::from_secs(20))
}

fn id(outcomes: &Outcomes, node: &str) -> String {
    match outcomes.get(&name(node)).unwrap() {
        Outcome::Done(machine) => machine.instance.clone().unwrap(),
        other => panic!("{node}: {other:?}"),
    }
}

fn error<'a>(outcomes: &'a Outcomes, node: &str) -> &'a slurmburst_core::error::Error {
    match outcomes.get(&name(node)).unwrap() {
        Outcome::Failed(e) => e,
        other => panic!("{node}: {other:?}"),
    }
}

fn kill(pid: i32) {
    _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL);
}

fn runs(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|s| !s.rsplit_once(") ").unwrap().1.starts_with('Z'))
}

fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !is() {
        assert!(Instant::now() < end, "still not: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

const CREATE: Lifecycle = Lifecycle::CreateDelete;
const START: Lifecycle = Lifecycle::StartDeallocate;

#[tokio::test]
async fn up_twice_is_one_slurmd_and_down_leaves_nothing() {
    let p = Place::new();
    let call = p.call("1", CREATE, &["c1", "c2"]);
    let first = p.up(&call).await;
    let again = p.up(&call).await;
    for node in ["c1", "c2"] {
        assert_eq!(id(&first, node), id(&again, node));
    }
    assert_eq!(p.starts().len(), 2);
    let listed = p.list().await;
    assert_eq!(listed.len(), 2);
    assert!(
        listed
            .iter()
            .all(|(_, state, _)| *state == InstanceState::Running)
    );
    // Detached from the caller's process group.
    let mine = nix::unistd::getpgrp();
    for pid in p.starts() {
        assert_ne!(
            nix::unistd::getpgid(Some(nix::unistd::Pid::from_raw(pid))).unwrap(),
            mine
        );
    }

    let down = p.down(DownMode::Terminate, &["c1", "c2", "c3"]).await;
    assert!(
        matches!(down.get(&name("c1")), Some(Outcome::Done(_))),
        "{down:?}"
    );
    assert_eq!(down.get(&name("c3")), Some(&Outcome::AlreadyDone));
    assert!(p.starts().into_iter().all(|pid| !runs(pid)));
    assert_eq!(p.list().await, []);
    assert_eq!(p.books(), [""; 0]);
    let down = p.down(DownMode::Terminate, &["c1"]).await;
    assert_eq!(down.get(&name("c1")), Some(&Outcome::AlreadyDone));
}

#[tokio::test]
async fn another_call_for_a_running_node_is_a_conflict() {
    let p = Place::new();
    p.up(&p.call("1", CREATE, &["c1"])).await;
    let second = p.up(&p.call("2", CREATE, &["c1"])).await;
    assert_eq!(error(&second, "c1").kind(), ErrorKind::Conflict);
    assert_eq!(p.starts().len(), 1);
}

#[tokio::test]
async fn a_killed_slurmd_is_gone_and_can_be_called_again() {
    let p = Place::new();
    let first = p.up(&p.call("1", CREATE, &["c1"])).await;
    kill(p.starts()[0]);
    wait_until("dead", || !runs(p.starts()[0]));
    // The `sleep` below it still has its tags: it has to go, too.
    let states: Vec<InstanceState> = p.list().await.into_iter().map(|i| i.1).collect();
    assert!(
        states.iter().all(|s| *s == InstanceState::Failed),
        "{states:?}"
    );
    let second = p.up(&p.call("2", CREATE, &["c1"])).await;
    assert_ne!(id(&first, "c1"), id(&second, "c1"));
    assert_eq!(p.list().await.len(), 1);
}

#[tokio::test]
async fn lost_books_are_found_in_proc() {
    let p = Place::new();
    let call = p.call("1", CREATE, &["c1", "c2"]);
    let first = p.up(&call).await;
    fs::remove_dir_all(p.path("run")).unwrap();
    let listed = p.list().await;
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert_eq!(id(&p.up(&call).await, "c1"), id(&first, "c1"));
    assert_eq!(p.starts().len(), 2);
    p.down(DownMode::Terminate, &["c1", "c2"]).await;
    assert!(p.starts().into_iter().all(|pid| !runs(pid)));
}

/// kill -9 between writing the intent and starting, and between starting and
/// noting the pid: the replay starts what is missing, and only that.
#[tokio::test]
async fn a_crash_around_the_start_is_made_good_by_the_replay() {
    let p = Place::new();
    let call = p.call("1", CREATE, &["c1"]);
    let first = p.up(&call).await;
    let book = p.path("run/tests/c1.json");
    let mut intent: serde_json::Value = serde_json::from_slice(&fs::read(&book).unwrap()).unwrap();
    intent["state"] = "starting".into();
    intent["process"] = serde_json::Value::Null;

    fs::write(&book, intent.to_string()).unwrap();
    assert_eq!(p.list().await[0].1, InstanceState::Running);
    assert_eq!(id(&p.up(&call).await, "c1"), id(&first, "c1"));
    assert_eq!(p.starts().len(), 1, "adopted");

    p.down(DownMode::Terminate, &["c1"]).await;
    fs::write(&book, intent.to_string()).unwrap();
    assert_eq!(p.list().await[0].1, InstanceState::Starting);
    assert_eq!(id(&p.up(&call).await, "c1"), id(&first, "c1"));
    assert_eq!(p.starts().len(), 2, "started");
}

#[tokio::test]
async fn a_slurmd_that_ends_at_once_says_why() {
    let p = Place::new();
    p.touch("fail");
    for lifecycle in [CREATE, START] {
        let up = p.up(&p.call("1", lifecycle, &["c1"])).await;
        let e = error(&up, "c1");
        assert_eq!(
            (e.kind(), e.may_have_acted()),
            (ErrorKind::Invalid, Effect::None)
        );
        for part in [
            "slurmd: error: no such thing",
            "exit status: 3",
            "-N c1",
            "by hand",
        ] {
            assert!(e.to_string().contains(part), "{e}");
        }
        p.down(DownMode::Terminate, &["c1"]).await;
        assert_eq!(p.books(), [""; 0]);
    }
}

#[tokio::test]
async fn a_missing_slurmd_says_what_to_do() {
    let p = Place::with(|c| c.slurmd = "/nowhere/slurmd".into());
    let up = p.up(&p.call("1", CREATE, &["c1"])).await;
    let e = error(&up, "c1");
    assert!(e.to_string().contains("set provider.here.slurmd"), "{e}");
    assert_eq!(p.books(), [""; 0]);
}

fn by_hand(slurmd: &Path, conf: &Path) -> Child {
    Command::new(slurmd)
        .arg("-f")
        .arg(conf)
        .args(["-N", "c1"])
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_slurmd_started_by_hand_is_never_doubled_listed_or_killed() {
    let p = Place::new();
    let mut child = by_hand(&p.path("slurmd"), &p.path("slurm.conf"));
    wait_until("started", || p.starts().len() == 1);
    assert_eq!(p.list().await, []);
    let up = p.up(&p.call("1", CREATE, &["c1"])).await;
    let e = error(&up, "c1");
    assert_eq!(e.kind(), ErrorKind::Conflict);
    assert!(
        e.to_string().contains(&format!("kill {}", child.id())),
        "{e}"
    );
    assert_eq!(
        p.down(DownMode::Terminate, &["c1"]).await.get(&name("c1")),
        Some(&Outcome::AlreadyDone)
    );
    assert!(runs(child.id().cast_signed()));
    child.kill().unwrap();
    child.wait().unwrap();
    // The same node name of another slurm.conf is not in the way.
    fs::write(p.path("other.conf"), "").unwrap();
    let mut other = by_hand(&p.path("slurmd"), &p.path("other.conf"));
    wait_until("started", || p.starts().len() == 2);
    id(&p.up(&p.call("2", CREATE, &["c1"])).await, "c1");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[tokio::test]
async fn another_clusters_nodes_are_not_ours() {
    let p = Place::new();
    p.up(&p.call("1", CREATE, &["c1"])).await;
    let other = Context::within("another", Duration::from_secs(5));
    assert!(p.provider.list(&other).await.unwrap().instances.is_empty());
    let down = PowerDown {
        node: name("c1"),
        generation: Generation(9),
        instance: None,
        mode: DownMode::Terminate,
    };
    let down = p.provider.power_down(&other, &[down]).await;
    assert_eq!(down.get(&name("c1")), Some(&Outcome::AlreadyDone));
    assert_eq!(p.list().await.len(), 1);
}

#[tokio::test]
async fn start_after_deallocate_keeps_the_identity() {
    let p = Place::new();
    let first = id(&p.up(&p.call("1", START, &["c1"])).await, "c1");
    for call in ["2", "3"] {
        let down = p.down(DownMode::Deallocate, &["c1"]).await;
        assert_eq!(id(&down, "c1"), first);
        assert_eq!(
            p.list().await,
            [("c1".to_owned(), InstanceState::Stopped, first.clone())]
        );
        let down = p.down(DownMode::Deallocate, &["c1"]).await;
        assert_eq!(down.get(&name("c1")), Some(&Outcome::AlreadyDone));
        assert_eq!(id(&p.up(&p.call(call, START, &["c1"])).await, "c1"), first);
    }
    // A start of what runs already changes nothing.
    let up = p.up(&p.call("4", START, &["c1"])).await;
    assert_eq!(up.get(&name("c1")), Some(&Outcome::AlreadyDone));
    p.down(DownMode::Terminate, &["c1"]).await;
    assert_eq!(p.list().await, []);
    assert_eq!(p.books(), [""; 0]);
}

#[tokio::test]
async fn only_the_named_instance_goes_down() {
    let p = Place::new();
    let up = p.up(&p.call("1", CREATE, &["c1"])).await;
    let mut down = PowerDown {
        node: name("c1"),
        generation: Generation(9),
        instance: Some("c1.older".into()),
        mode: DownMode::Terminate,
    };
    let outcome = p
        .provider
        .power_down(&cx(), std::slice::from_ref(&down))
        .await;
    assert_eq!(outcome.get(&name("c1")), Some(&Outcome::AlreadyDone));
    assert_eq!(p.list().await.len(), 1);
    down.instance = Some(id(&up, "c1"));
    p.provider.power_down(&cx(), &[down]).await;
    assert_eq!(p.list().await, []);
}

#[tokio::test]
async fn a_stubborn_slurmd_is_killed_with_what_it_detached() {
    let p = Place::with(|c| c.stop_timeout = Duration::from_millis(300));
    p.touch("stubborn");
    p.touch("detach");
    p.up(&p.call("1", CREATE, &["c1"])).await;
    let detached = || {
        fs::read_dir("/proc").unwrap().flatten().any(|e| {
            let read = |what| fs::read(e.path().join(what)).unwrap_or_default();
            read("cmdline") == b"sleep\x00301\x00"
                && String::from_utf8_lossy(&read("environ"))
                    .contains(p.dir.path().to_str().unwrap())
        })
    };
    wait_until("detached", detached);
    let down = p.down(DownMode::Terminate, &["c1"]).await;
    assert!(
        matches!(down.get(&name("c1")), Some(Outcome::Done(_))),
        "{down:?}"
    );
    assert!(!runs(p.starts()[0]));
    assert!(!detached());
}

#[tokio::test]
async fn a_boot_takes_its_time_and_needs_no_one_to_wait() {
    let p = Place::with(|c| c.boot_delay = Duration::from_secs(3));
    let call = p.call("1", CREATE, &["c1", "c2"]);
    let up = p.up(&call).await;
    let pending: Vec<Pending> = up
        .iter()
        .map(|(_, o)| match o {
            Outcome::Accepted(p) => p.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(pending[0].direction, Direction::Up);
    assert!(pending[0].poll_after <= Duration::from_secs(3));
    assert_eq!(p.starts().len(), 0);
    assert!(
        p.list()
            .await
            .iter()
            .all(|i| i.1 == InstanceState::Starting)
    );
    assert!(matches!(
        p.up(&call).await.get(&name("c1")),
        Some(Outcome::Accepted(_))
    ));
    // A power-down during the boot ends it.
    p.down(DownMode::Terminate, &["c2"]).await;
    // Another process, later: the one that asked may be gone.
    let later = LocalProvider::new(p.provider.config().clone());
    tokio::time::sleep(Duration::from_millis(3_050)).await;
    let polled = later.poll(&cx(), &pending).await;
    assert_eq!(Some(id(&polled, "c1")), pending[0].instance);
    assert_eq!(error(&polled, "c2").kind(), ErrorKind::NotFound);
    assert_eq!(
        id(&later.poll(&cx(), &pending).await, "c1"),
        id(&polled, "c1")
    );
    assert_eq!(p.starts().len(), 1);
}

#[tokio::test]
async fn an_interrupted_power_down_is_seen_and_finished() {
    let p = Place::new();
    p.up(&p.call("1", CREATE, &["c1"])).await;
    let book = p.path("run/tests/c1.json");
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&book).unwrap()).unwrap();
    json["state"] = "stopping".into();
    json["since_ms"] = slurmburst_core::clock::Clock::system().now_ms().into();
    fs::write(&book, json.to_string()).unwrap();
    assert_eq!(p.list().await[0].1, InstanceState::Terminating);
    let up = p.up(&p.call("2", CREATE, &["c1"])).await;
    assert!(
        matches!(up.get(&name("c1")), Some(Outcome::Waiting { .. })),
        "{up:?}"
    );
    // Nobody goes on with it: then it runs, as everybody has to know.
    json["since_ms"] = 0.into();
    fs::write(&book, json.to_string()).unwrap();
    assert_eq!(p.list().await[0].1, InstanceState::Running);
    p.down(DownMode::Terminate, &["c1"]).await;
    assert_eq!(p.list().await, []);
    assert!(!runs(p.starts()[0]));
}

#[tokio::test]
async fn too_many_and_too_late_are_refused_whole() {
    let p = Place::with(|c| c.max_batch = 1);
    let mut call = p.call("1", CREATE, &["c1"]);
    call.nodes.push(CallNode {
        name: name("c2"),
        generation: Generation(7),
    });
    let up = p.up(&call).await;
    assert_eq!(error(&up, "c1").kind(), ErrorKind::Invalid);
    assert_eq!(error(&up, "c2").kind(), ErrorKind::Invalid);
    let down = p.down(DownMode::Terminate, &["c1", "c2"]).await;
    assert_eq!(error(&down, "c2").kind(), ErrorKind::Invalid);
    let late = Context::within("tests", Duration::ZERO);
    let up = p
        .provider
        .power_up(&late, &[p.call("2", CREATE, &["c1"])])
        .await;
    assert!(matches!(up.get(&name("c1")), Some(Outcome::Skipped(_))));
    assert_eq!(p.starts().len(), 0);
}

#[tokio::test]
async fn a_damaged_book_is_a_gap_and_stops_only_its_node() {
    let p = Place::new();
    p.up(&p.call("1", CREATE, &["c1"])).await;
    fs::write(p.path("run/tests/c2.json"), "{").unwrap();
    let listing = p.provider.list(&cx()).await.unwrap();
    assert_eq!((listing.instances.len(), listing.gaps.len()), (1, 1));
    assert!(listing.gaps[0].error.to_string().contains("c2.json"));
    let up = p.up(&p.call("2", CREATE, &["c2", "c3"])).await;
    assert!(error(&up, "c2").to_string().contains("c2.json"));
    id(&up, "c3");
}
