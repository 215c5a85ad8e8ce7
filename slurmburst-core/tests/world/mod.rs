//! A cluster that is not there: a simulated Slurm that calls the programs, simulated
//! clouds, a real ledger in a temporary folder, and convergers that can be killed.
//! Time is tokio's, paused.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use slurmburst_core::clock::Clock;
use slurmburst_core::config::{ConfigError, ConfigTable};
use slurmburst_core::converge::{Converger, FullOptions, Journal, NoJournal, Parts, Report};
use slurmburst_core::error::{Error, ErrorKind};
use slurmburst_core::fake::{FakeCloud, FakeKind, FakeOptions, Record};
use slurmburst_core::hostlist::{HostList, NodeName};
use slurmburst_core::kind::{Operator, ProviderKind, Surroundings};
use slurmburst_core::ledger::{Lease, Ledger, NewWish, Program, Wish};
use slurmburst_core::provider::{CloudProvider, Direction, Lifecycle, Template};
use slurmburst_core::site::{Site, SiteContext};
use slurmburst_core::slurm::conf::SlurmConf;
use slurmburst_core::slurm::fake::{Called, FakeSlurm, Settings};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

pub(crate) const T0: i64 = 1_780_000_000_000;
pub(crate) const CLUSTER: &str = "hpc1-7f3a9c";

/// `kind = "fake"`, whose providers are there already.
struct Given(BTreeMap<String, Arc<FakeCloud>>);

impl ProviderKind for Given {
    fn name(&self) -> &'static str {
        "fake"
    }
    fn provider(
        &self,
        config: &ConfigTable,
        around: &Surroundings,
    ) -> Result<Arc<dyn CloudProvider>, ConfigError> {
        let found = self
            .0
            .get(&around.provider)
            .map(|c| Arc::clone(c) as Arc<dyn CloudProvider>);
        found.ok_or_else(|| config.error("kind", "the test has no such cloud"))
    }
    fn template(&self, config: &ConfigTable, of: Lifecycle) -> Result<Template, ConfigError> {
        FakeKind.template(config, of)
    }
    fn operator(
        &self,
        _: &ConfigTable,
        _: &Surroundings,
    ) -> Result<Option<Arc<dyn Operator>>, ConfigError> {
        Ok(None)
    }
}

/// What a test wants; the rest is as usual.
pub(crate) struct Plan {
    /// By the provider's name.
    pub(crate) clouds: Vec<(&'static str, FakeOptions)>,
    /// The site file without the providers.
    pub(crate) site: String,
    pub(crate) slurm: Settings,
    pub(crate) resume_timeout: u64,
    pub(crate) suspend_timeout: u64,
}

impl Default for Plan {
    /// Ten nodes, create-delete, on one cloud that boots in 5 s and stops in 3 s.
    fn default() -> Plan {
        Plan {
            clouds: vec![("a", cloud())],
            site: group("c[1-10]", "create-delete", &["a"]),
            slurm: Settings::default(),
            resume_timeout: 300,
            suspend_timeout: 30,
        }
    }
}

impl Plan {
    pub(crate) fn cloud(mut self, change: impl FnOnce(&mut FakeOptions)) -> Plan {
        change(&mut self.clouds[0].1);
        self
    }
    pub(crate) fn site(mut self, site: impl Into<String>) -> Plan {
        self.site = site.into();
        self
    }
    pub(crate) fn build(self) -> World {
        World::new(self)
    }
}

/// Boots in 5 s, stops in 3 s, answers in 200 ms, and takes the same name once.
pub(crate) fn cloud() -> FakeOptions {
    FakeOptions {
        delay: Duration::from_millis(200),
        boot_delay: Duration::from_secs(5),
        stop_delay: Duration::from_secs(3),
        ..FakeOptions::default()
    }
}

/// A `[[nodes]]` table with a placement on each of these providers.
pub(crate) fn group(hosts: &str, lifecycle: &str, providers: &[&str]) -> String {
    let mut text = format!("[[nodes]]\nhostlist = \"{hosts}\"\nlifecycle = \"{lifecycle}\"\n");
    for provider in providers {
        text += &format!("[[nodes.placement]]\nprovider = \"{provider}\"\n");
    }
    text
}

pub(crate) struct World {
    dir: TempDir,
    pub(crate) site: Arc<Site>,
    pub(crate) conf: Arc<SlurmConf>,
    pub(crate) slurm: FakeSlurm,
    pub(crate) clouds: BTreeMap<String, Arc<FakeCloud>>,
    pub(crate) clock: Clock,
    pub(crate) journal: Arc<dyn Journal>,
    /// The programs' connection to the ledger.
    programs: Mutex<Ledger>,
    /// Nodes whose machine runs and whose slurmd never comes.
    pub(crate) mute: Mutex<Vec<NodeName>>,
}

impl World {
    pub(crate) fn new(plan: Plan) -> World {
        let clock = Clock::tokio(T0);
        let dir = match tempfile::tempdir_in("/dev/shm") {
            Ok(dir) => dir,
            Err(_) => tempfile::tempdir().unwrap(),
        };
        let clouds: BTreeMap<String, Arc<FakeCloud>> = plan
            .clouds
            .into_iter()
            .map(|(name, options)| {
                let options = FakeOptions {
                    clock: clock.clone(),
                    ..options
                };
                (name.to_owned(), Arc::new(FakeCloud::new(options)))
            })
            .collect();
        let path = dir.path().join("slurm.conf");
        let conf = format!(
            "ClusterName=hpc1\nSlurmctldHost=here\nResumeTimeout={}\nSuspendTimeout={}\n",
            plan.resume_timeout, plan.suspend_timeout
        );
        std::fs::write(&path, conf).unwrap();
        let conf = Arc::new(SlurmConf::load(&path).unwrap());
        let slurm = FakeSlurm::new(Settings {
            resume_timeout: Duration::from_secs(plan.resume_timeout),
            suspend_timeout: Duration::from_secs(plan.suspend_timeout),
            ..plan.slurm
        });
        let mut world = World {
            programs: Mutex::new(Ledger::open(dir.path(), clock.clone()).unwrap()),
            site: Arc::new(parse(dir.path(), &plan.site, &clouds)),
            dir,
            conf,
            slurm,
            clouds,
            clock,
            journal: Arc::new(NoJournal),
            mute: Mutex::default(),
        };
        world
            .slurm
            .add(&world.site.nodes().iter().collect::<Vec<_>>());
        world.site = Arc::clone(&world.site);
        world
    }

    pub(crate) fn use_site(&mut self, text: &str) {
        self.site = Arc::new(parse(self.dir.path(), text, &self.clouds));
    }

    pub(crate) fn cloud(&self) -> &FakeCloud {
        self.clouds.values().next().unwrap()
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.now_ms()
    }

    /// With the ledger as the programs see it.
    pub(crate) fn ledger<R>(&self, look: impl FnOnce(&mut Ledger) -> R) -> R {
        look(&mut self.programs.lock().unwrap())
    }

    pub(crate) fn wish(&self, node: &str) -> Wish {
        self.ledger(|l| l.wish(&name(node)).unwrap())
            .expect("a wish")
    }

    /// A job wants these: Slurm powers them up and calls ResumeProgram.
    pub(crate) fn resume(&self, nodes: &str) {
        self.slurm.power_up(&list(nodes));
        self.deliver();
    }

    /// They were idle for SuspendTime.
    pub(crate) fn suspend(&self, nodes: &str) {
        self.slurm.suspend(&list(nodes));
    }

    /// What one of the programs records.
    pub(crate) fn record(&self, program: Program, nodes: &[NodeName]) -> Vec<Wish> {
        let wishes: Vec<NewWish> = nodes.iter().map(|n| self.new_wish(program, n)).collect();
        self.ledger(|l| l.record(&wishes).unwrap())
    }

    fn new_wish(&self, program: Program, node: &NodeName) -> NewWish {
        let (direction, limit) = match program {
            Program::Resume => {
                let limit = self.conf.resume_timeout(node);
                (Direction::Up, limit - self.site.margin(limit))
            }
            _ => (Direction::Down, self.conf.suspend_timeout(node)),
        };
        NewWish {
            node: node.clone(),
            direction,
            deadline_ms: self.now() + i64::try_from(limit.as_millis()).unwrap(),
            program,
        }
    }

    /// The programs that Slurm would have called since the last time.
    pub(crate) fn deliver(&self) {
        let mut by_program: BTreeMap<&str, (Program, Vec<NodeName>)> = BTreeMap::new();
        for called in self.slurm.calls() {
            let (program, node) = match called {
                Called::Resume(n) => (Program::Resume, n),
                Called::Suspend(n) => (Program::Suspend, n),
                Called::ResumeFail(n) => (Program::ResumeFail, n),
            };
            by_program
                .entry(program.as_str())
                .or_insert((program, Vec::new()))
                .1
                .push(node);
        }
        for (program, nodes) in by_program.into_values() {
            self.record(program, &nodes);
        }
    }

    /// Machines that run register with Slurm.
    fn register(&self) {
        let now = self.now();
        let mute = self.mute.lock().unwrap().clone();
        for cloud in self.clouds.values() {
            let running: Vec<NodeName> = cloud
                .read(|b| {
                    let up = b.billed(CLUSTER, now).filter(|m| m.state(now).is_up());
                    up.filter(|m| m.state(now).as_str() == "running")
                        .map(|m| m.node.clone())
                        .collect()
                })
                .unwrap();
            let taken: Vec<NodeName> = running
                .into_iter()
                .filter(|n| !mute.contains(n) && self.slurm.state(n).contains("POWERING_UP"))
                .collect();
            self.slurm.up(&taken);
        }
    }

    /// Slurm and its nodes, for ever.
    async fn live(&self, every: Duration) {
        loop {
            self.deliver();
            self.register();
            sleep(every).await;
        }
    }

    /// Slurm and its nodes, while this lasts.
    pub(crate) async fn alive<T>(&self, until: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            done = until => done,
            () = self.live(Duration::from_millis(100)) => unreachable!("it lives for ever"),
        }
    }

    pub(crate) fn converger(&self) -> Converger {
        Converger::new(Parts {
            lease: Lease::try_acquire(self.dir.path())
                .unwrap()
                .expect("nobody holds the lease"),
            site: Arc::clone(&self.site),
            conf: Arc::clone(&self.conf),
            ledger: Ledger::open(self.dir.path(), self.clock.clone()).unwrap(),
            slurm: Arc::new(self.slurm.clone()),
            clock: self.clock.clone(),
            journal: Arc::clone(&self.journal),
        })
        .unwrap()
    }

    /// A converger works until it has nothing to do.
    pub(crate) async fn run(&self) -> Report {
        let mut converger = self.converger();
        self.alive(converger.run(None, &mut || None)).await.unwrap();
        converger.report().clone()
    }

    /// Convergers work while this happens, and until nothing is left to do:
    /// every program starts one, unless one is at work.
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

    /// The timer, once.
    pub(crate) async fn reconcile(&self, options: &FullOptions) -> Report {
        let mut converger = self.converger();
        self.alive(converger.run(Some(options), &mut || None))
            .await
            .unwrap();
        converger.report().clone()
    }

    /// The timer, every minute, for so many minutes.
    pub(crate) async fn minutes(&self, minutes: u32) {
        for _ in 0..minutes {
            self.reconcile(&FullOptions::default()).await;
            self.pass(60).await;
        }
    }

    /// Time passes for Slurm and its nodes.
    pub(crate) async fn pass(&self, seconds: u64) {
        tokio::select! {
            () = sleep(Duration::from_secs(seconds)) => {}
            () = self.live(Duration::from_secs(1)) => {}
        }
        self.deliver();
    }

    /// A converger that is killed after this long, if it is not done by then.
    pub(crate) async fn killed_after(&self, time: Duration, full: bool) -> bool {
        let mut converger = self.converger();
        let options = FullOptions::default();
        let mut reload = || None;
        let run = converger.run(full.then_some(&options), &mut reload);
        self.alive(timeout(time, run)).await.is_err()
    }

    /// A converger that is killed after so many steps of its own.
    pub(crate) async fn killed_at(&self, step: usize, full: bool) -> bool {
        let mut converger = self.converger();
        let options = FullOptions::default();
        let mut reload = || None;
        let run = converger.run(full.then_some(&options), &mut reload);
        self.alive(Steps {
            left: step,
            future: Box::pin(run),
        })
        .await
        .is_none()
    }

    /// The nodes with a machine that is paid for, in all clouds.
    pub(crate) fn billed(&self) -> Vec<String> {
        self.machines(|m, now| m.state(now).is_billed())
    }

    pub(crate) fn running(&self) -> Vec<String> {
        self.machines(|m, now| m.state(now).as_str() == "running")
    }

    fn machines(&self, which: impl Fn(&Record, i64) -> bool) -> Vec<String> {
        let now = self.now();
        let mut names = Vec::new();
        for cloud in self.clouds.values() {
            let of = |m: &&Record| m.cluster == CLUSTER && which(m, now);
            names.extend(
                cloud
                    .read(|b| {
                        b.machines()
                            .filter(of)
                            .map(|m| m.node.to_string())
                            .collect::<Vec<_>>()
                    })
                    .unwrap(),
            );
        }
        names.sort();
        names
    }

    /// How often machines were made or started, for this node, in all clouds.
    pub(crate) fn launches(&self, node: &str) -> usize {
        let node = name(node);
        let of = |c: &Arc<FakeCloud>| {
            c.read(|b| b.machines_of(&node).map(Record::launches).sum::<usize>())
                .unwrap()
        };
        self.clouds.values().map(of).sum()
    }

    pub(crate) fn never_two_at_once(&self) {
        for cloud in self.clouds.values() {
            let twice = cloud.read(|b| b.duplicates().to_vec()).unwrap();
            assert!(twice.is_empty(), "two machines at once: {twice:?}");
        }
    }

    pub(crate) fn state(&self, node: &str) -> String {
        self.slurm.state(&name(node))
    }

    pub(crate) fn reason(&self, node: &str) -> String {
        self.slurm
            .node(&name(node))
            .and_then(|n| n.reason)
            .map(|r| r.text)
            .unwrap_or_default()
    }

    /// What the history says of the last failure.
    pub(crate) fn failure(&self, node: &str) -> String {
        let events = self.ledger(|l| l.events(Some(&[name(node)]), 1_000).unwrap());
        let failed = events.into_iter().rev().find(|e| e.what == "failed");
        failed.and_then(|e| e.detail).unwrap_or_default()
    }

    /// The words of the node's history.
    pub(crate) fn history(&self, node: &str) -> Vec<String> {
        let events = self.ledger(|l| l.events(Some(&[name(node)]), 1_000).unwrap());
        events.into_iter().map(|e| e.what).collect()
    }
}

fn parse(dir: &Path, text: &str, clouds: &BTreeMap<String, Arc<FakeCloud>>) -> Site {
    let mut all = format!(
        "cluster_id = \"{CLUSTER}\"\nstate_dir = \"{}\"\nlog_file = \"/dev/null\"\n",
        dir.display()
    );
    // Keys of the top come before the first table.
    let (top, rest) = text.split_at(text.find('[').unwrap_or(text.len()));
    all += top;
    for name in clouds.keys() {
        all += &format!("[provider.{name}]\nkind = \"fake\"\n");
    }
    all += rest;
    let kinds: Vec<Arc<dyn ProviderKind>> = vec![Arc::new(Given(clouds.clone()))];
    let context = SiteContext {
        slurm_conf: Some(dir.join("slurm.conf")),
        cluster_name: Some("hpc1".into()),
        absent_kinds: Vec::new(),
    };
    Site::parse(Path::new("site.toml"), &all, &kinds, &context)
        .unwrap_or_else(|e| panic!("{e}\n{all}"))
}

/// A future that is given up after so many polls.
struct Steps<F> {
    left: usize,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Steps<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        pin!(&mut self.future).poll(cx).map(Some)
    }
}

pub(crate) fn name(node: &str) -> NodeName {
    NodeName::new(node).unwrap()
}

pub(crate) fn list(nodes: &str) -> Vec<NodeName> {
    nodes.parse::<HostList>().unwrap().iter().collect()
}

pub(crate) fn error(kind: ErrorKind) -> Error {
    Error::new(kind, "as the test wants it")
}

/// A bucket for everything that changes something, a token a node.
pub(crate) fn writes(burst: f64, per_second: f64) -> slurmburst_core::provider::CallClass {
    use slurmburst_core::provider::{CallClass, Cost, OpKind};
    CallClass {
        name: "writes".into(),
        ops: vec![
            OpKind::Create,
            OpKind::Start,
            OpKind::Deallocate,
            OpKind::Terminate,
        ],
        cost: Cost::PerNode,
        burst,
        per_second,
    }
}

/// The seeds of a random test: so many, or as many as `SLURMBURST_SEEDS` says.
pub(crate) fn seeds(usual: u64) -> std::ops::Range<u64> {
    let wanted = std::env::var("SLURMBURST_SEEDS")
        .ok()
        .and_then(|n| n.parse().ok());
    1..1 + wanted.unwrap_or(usual)
}
