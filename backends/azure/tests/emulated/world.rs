//! A site on the emulator: a simulated Slurm that calls the programs, a real
//! ledger in a temporary folder, and convergers that can be killed.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use slurmburst_azure::AzureKind;
use slurmburst_azure_emulator::{Books, Clock as AzureClock, Cloud, Emulator};
use slurmburst_core::clock::Clock;
use slurmburst_core::converge::{Converger, FullOptions, NoJournal, Parts, Report};
use slurmburst_core::hostlist::NodeName;
use slurmburst_core::kind::ProviderKind;
use slurmburst_core::ledger::{Lease, Ledger, NewWish, Program, Wish};
use slurmburst_core::provider::Direction;
use slurmburst_core::site::Site;
use slurmburst_core::slurm::conf::SlurmConf;
use slurmburst_core::slurm::fake::{Called, FakeSlurm, Settings};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::{CLUSTER, Pipe, Plan, by_hand, list, name, plan};

pub(crate) const T0: i64 = 1_780_000_000_000;

pub(crate) struct World {
    dir: TempDir,
    plan: Plan,
    kind: Arc<dyn ProviderKind>,
    /// The provider's keys that say where Azure is.
    at: String,
    pub(crate) cloud: Cloud,
    pub(crate) slurm: FakeSlurm,
    pub(crate) clock: Clock,
    conf: Arc<SlurmConf>,
    nodes: Vec<NodeName>,
    /// The programs' connection to the ledger.
    programs: Mutex<Ledger>,
}

impl World {
    /// In virtual time.
    pub(crate) fn new(plan: Plan) -> World {
        let cloud = Cloud::new(plan.settings.clone(), AzureClock::tokio());
        let kind: Arc<dyn ProviderKind> = Arc::new(Pipe::new(cloud.clone()));
        World::build(plan, cloud, kind, String::new(), Clock::tokio(T0))
    }

    /// By the wall's clock, over a socket.
    pub(crate) fn over(plan: Plan, emulator: &Emulator) -> World {
        let (cloud, at) = (emulator.cloud().clone(), plan::at(emulator));
        World::build(
            plan,
            cloud,
            Arc::new(AzureKind::default()),
            at,
            Clock::system(),
        )
    }

    fn build(
        plan: Plan,
        cloud: Cloud,
        kind: Arc<dyn ProviderKind>,
        at: String,
        clock: Clock,
    ) -> World {
        let dir = match tempfile::tempdir_in("/dev/shm") {
            Ok(dir) => dir,
            Err(_) => tempfile::tempdir().unwrap(),
        };
        plan.write(dir.path());
        let slurm = FakeSlurm::new(Settings {
            resume_timeout: Duration::from_secs(plan.resume_timeout),
            suspend_timeout: Duration::from_secs(plan.suspend_timeout),
            ..Settings::default()
        });
        let nodes = list(plan.hosts);
        slurm.add(&nodes);
        World {
            programs: Mutex::new(Ledger::open(dir.path(), clock.clone()).unwrap()),
            conf: Arc::new(SlurmConf::load(dir.path().join("slurm.conf")).unwrap()),
            dir,
            plan,
            kind,
            at,
            cloud,
            slurm,
            clock,
            nodes,
        }
    }

    pub(crate) fn site(&self) -> Site {
        self.plan.site(self.dir.path(), &self.kind, &self.at)
    }

    /// A ledger of one's own, as another process has.
    pub(crate) fn open_ledger(&self) -> Ledger {
        Ledger::open(self.dir.path(), self.clock.clone()).unwrap()
    }

    pub(crate) fn books(&self) -> Books {
        self.cloud.books()
    }

    /// The emulator's time.
    pub(crate) fn now(&self) -> Duration {
        self.cloud.clock().now()
    }

    /// A job wants these: Slurm powers them up and calls ResumeProgram.
    pub(crate) fn resume(&self, nodes: &str) {
        self.slurm.power_up(&list(nodes));
        self.deliver();
    }

    /// They were idle for SuspendTime; Slurm takes a moment to call.
    pub(crate) async fn suspend(&self, nodes: &str) {
        self.slurm.suspend(&list(nodes));
        sleep(Duration::from_millis(1_001)).await;
        self.deliver();
    }

    /// The programs that Slurm would have called since the last time.
    fn deliver(&self) {
        let mut by_program: BTreeMap<&str, (Program, Vec<NodeName>)> = BTreeMap::new();
        for called in self.slurm.calls() {
            let (program, node) = match called {
                Called::Resume(n) => (Program::Resume, n),
                Called::Suspend(n) => (Program::Suspend, n),
                Called::ResumeFail(n) => (Program::ResumeFail, n),
            };
            let slot = by_program.entry(program.as_str());
            slot.or_insert((program, Vec::new())).1.push(node);
        }
        for (program, nodes) in by_program.into_values() {
            let (direction, limit) = match program {
                Program::Resume => (Direction::Up, self.plan.resume_timeout.saturating_sub(5)),
                _ => (Direction::Down, self.plan.suspend_timeout),
            };
            let deadline_ms = self.clock.now_ms() + i64::try_from(limit * 1_000).unwrap();
            let wish = |node: &NodeName| NewWish {
                node: node.clone(),
                direction,
                deadline_ms,
                program,
            };
            let wishes: Vec<NewWish> = nodes.iter().map(wish).collect();
            self.programs.lock().unwrap().record(&wishes).unwrap();
        }
    }

    /// Machines that run register with Slurm.
    fn register(&self) {
        let running = self
            .cloud
            .vms()
            .into_iter()
            .filter(|(_, p, _)| p == "running");
        let nodes = running.map(|(vm, ..)| name(&vm));
        let taken: Vec<NodeName> = nodes
            .filter(|n| self.slurm.state(n).contains("POWERING_UP"))
            .collect();
        self.slurm.up(&taken);
    }

    /// Slurm and its nodes, while this lasts.
    async fn alive<T>(&self, until: impl Future<Output = T>) -> T {
        let live = async {
            loop {
                self.deliver();
                self.register();
                sleep(Duration::from_millis(500)).await;
            }
        };
        tokio::select! {
            biased;
            done = until => done,
            () = live => unreachable!("it lives for ever"),
        }
    }

    /// A converger as a program starts one.
    pub(crate) fn converger(&self) -> Converger {
        Converger::new(Parts {
            lease: Lease::try_acquire(self.dir.path())
                .unwrap()
                .expect("nobody holds the lease"),
            site: Arc::new(self.site()),
            conf: Arc::clone(&self.conf),
            ledger: self.open_ledger(),
            slurm: Arc::new(self.slurm.clone()),
            clock: self.clock.clone(),
            journal: Arc::new(NoJournal),
        })
        .unwrap()
    }

    /// A converger works until it has nothing to do.
    pub(crate) async fn run(&self) -> Report {
        self.run_while(async {}).await
    }

    /// A converger works while this happens, and until nothing is left to do.
    pub(crate) async fn run_while(&self, scene: impl Future<Output = ()>) -> Report {
        let mut converger = self.converger();
        let mut reload = || None;
        let over = std::cell::Cell::new(false);
        let work = async {
            loop {
                converger.run(None, &mut reload).await.unwrap();
                if over.get() && !converger.has_work().unwrap() {
                    return;
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        let scene = async {
            scene.await;
            over.set(true);
        };
        self.alive(async { tokio::join!(work, scene) }).await;
        converger.report().clone()
    }

    /// A converger that is killed after this long, if it is not done by then.
    pub(crate) async fn killed_after(&self, time: Duration) -> bool {
        let mut converger = self.converger();
        let mut reload = || None;
        let run = converger.run(None, &mut reload);
        self.alive(timeout(time, run)).await.is_err()
    }

    /// The timer, every minute, for so many minutes.
    pub(crate) async fn minutes(&self, minutes: u32) {
        for _ in 0..minutes {
            let mut converger = self.converger();
            let options = FullOptions::default();
            let minute = async {
                converger.run(Some(&options), &mut || None).await.unwrap();
                sleep(Duration::from_secs(60)).await;
            };
            self.alive(minute).await;
        }
    }

    /// Machines that a person made once and deallocated, with the cluster's tag.
    pub(crate) async fn made_by_hand(&self) {
        by_hand::make(
            &self.cloud,
            &self.nodes,
            &json!({ "slurmburst-cluster": CLUSTER }),
        )
        .await;
        by_hand::deallocate(&self.cloud, &self.nodes).await;
    }

    /// A person starts a machine as soon as it is deallocated.
    pub(crate) async fn start_once_deallocated(&self, node: &str) {
        let is_off =
            |(vm, power, _): &(String, String, String)| vm == node && power == "deallocated";
        while !self.cloud.vms().iter().any(is_off) {
            sleep(Duration::from_millis(100)).await;
        }
        by_hand::start(&self.cloud, &name(node)).await;
    }

    pub(crate) fn wish(&self, node: &NodeName) -> Option<Wish> {
        self.programs.lock().unwrap().wish(node).unwrap()
    }

    /// The node's newest attempt to come up was there.
    pub(crate) fn placement(&self, node: &str) -> String {
        let attempts = self
            .programs
            .lock()
            .unwrap()
            .attempts(&name(node), None)
            .unwrap();
        let up = attempts
            .into_iter()
            .rev()
            .find(|a| a.direction == Direction::Up);
        up.map(|a| a.placement).unwrap_or_default()
    }

    pub(crate) fn state(&self, node: &str) -> String {
        self.slurm.state(&name(node))
    }

    /// Slurm's reason.
    pub(crate) fn reason(&self, node: &str) -> String {
        let seen = self.slurm.node(&name(node)).and_then(|n| n.reason);
        seen.map(|r| r.text).unwrap_or_default()
    }

    /// What happened to the node, for messages.
    pub(crate) fn history(&self, node: &str) -> Vec<String> {
        let programs = self.programs.lock().unwrap();
        let events = programs
            .events(Some(&[name(node)]), 1_000)
            .unwrap()
            .into_iter();
        events
            .map(|e| {
                let at = (e.at_ms - T0) / 1_000;
                format!("{at} s {} {}", e.what, e.detail.unwrap_or_default())
            })
            .collect()
    }

    /// The nodes that are wanted, and up as far as the ledger knows.
    pub(crate) fn wanted(&self) -> BTreeSet<String> {
        let is_up = |node: &&NodeName| {
            self.wish(node).is_some_and(|w| {
                w.direction == Direction::Up && w.settled.is_some_and(|s| s.result.is_ok())
            })
        };
        self.nodes
            .iter()
            .filter(is_up)
            .map(ToString::to_string)
            .collect()
    }

    /// What is wanted exists, once, and runs; nothing else does; Slurm agrees.
    pub(crate) fn all_is_well(&self, what: &str) {
        let books = self.books();
        assert!(
            books.duplicates.is_empty(),
            "{what}: twice: {:?}",
            books.duplicates
        );
        assert!(
            books.rewrites.is_empty(),
            "{what}: put twice: {:?}",
            books.rewrites
        );
        for node in &self.nodes {
            let open = self.wish(node).is_some_and(|w| w.settled.is_none());
            let told = self.history(node.as_str());
            assert!(!open, "{what}: the wish of {node} is open: {told:#?}");
            let (state, up) = (
                self.slurm.state(node),
                self.wanted().contains(node.as_str()),
            );
            let believed = !state.contains("POWERED_DOWN") && !state.contains("POWERING");
            assert_eq!(believed, up, "{what}: {node} is {state}: {told:#?}");
        }
        let vms = self.cloud.vms();
        let running: BTreeSet<String> = vms.iter().map(|(vm, ..)| vm.clone()).collect();
        assert_eq!(
            running,
            self.wanted(),
            "{what}: what exists, and what is wanted"
        );
        let off = vms.iter().find(|(_, power, _)| power != "running");
        assert_eq!(off, None, "{what}: not running");
        let parts = (books.nics, books.disks, books.public_ips);
        assert_eq!(
            parts,
            (vms.len(), vms.len(), 0),
            "{what}: NICs, disks, addresses"
        );
    }
}
