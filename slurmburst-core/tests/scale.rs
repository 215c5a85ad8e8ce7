//! Ten thousand nodes in virtual time: how close to the clouds' own limits the
//! converger comes, and what that costs. `--nocapture` prints the figures.
#![cfg(all(feature = "app", feature = "fake"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a test fails like this, and prints what it measured"
)]

use std::time::Duration;

use slurmburst_core::converge::Report;
use slurmburst_core::fake::FakeOptions;
use slurmburst_core::hostlist::NodeName;
use slurmburst_core::ledger::Program;
use slurmburst_core::provider::{CallClass, Cost, OpKind};
use slurmburst_core::slurm::control::Change;
use tokio::time::{Instant, sleep};

mod world;

use world::{Plan, World, group, list};

const NODES: usize = 10_000;
/// What each change of Slurm may cost at most in calls of `scontrol update`.
const UPDATES: u64 = NODES as u64 / 100 + 2;

/// What a cloud allows, and how many nodes one call takes.
struct Limits {
    burst: f64,
    per_second: f64,
    cost: Cost,
    max_batch: usize,
}

impl Limits {
    /// How long the bucket itself takes for all nodes.
    fn bound(&self) -> Duration {
        let tokens = match self.cost {
            Cost::PerCall => NODES.div_ceil(self.max_batch),
            Cost::PerNode => NODES,
        };
        Duration::from_secs_f64((tokens as f64 - self.burst).max(0.0) / self.per_second)
    }

    fn class(&self) -> CallClass {
        CallClass {
            name: "creates".into(),
            ops: vec![OpKind::Create],
            cost: self.cost,
            burst: self.burst,
            per_second: self.per_second,
        }
    }

    fn world(&self, change: impl FnOnce(&mut FakeOptions)) -> World {
        let site = format!(
            "return_after = \"2s\"\n{}[slurm]\nset_node_addr = \"always\"\n",
            group("c[1-10000]", "create-delete", &["a"])
        );
        let plan = Plan {
            resume_timeout: 7_200,
            ..Plan::default()
        }
        .site(site)
        .cloud(|c| {
            c.delay = Duration::from_millis(100);
            c.boot_delay = Duration::ZERO;
            c.max_batch = self.max_batch;
            c.page_size = 1_000;
            c.classes = vec![self.class()];
            change(c);
        });
        plan.build()
    }
}

/// What one run cost, beyond its report.
struct Spent {
    virtual_time: Duration,
    cpu: Duration,
}

async fn measured(world: &World, name: &str, scene: impl Future<Output = ()>) -> (Report, Spent) {
    let (begun, cpu) = (Instant::now(), cpu_time());
    let mut converger = world.converger();
    let mut reload = || None;
    let run = async {
        converger.run(None, &mut reload).await.unwrap();
    };
    tokio::join!(scene, run);
    let report = converger.report().clone();
    let cost = Spent {
        virtual_time: begun.elapsed(),
        cpu: cpu_time() - cpu,
    };
    eprintln!(
        "{name}: {:.1} s virtual, {:.2} s of CPU, peak {} MiB, {} passes, {} listings, {} calls, {} updates",
        cost.virtual_time.as_secs_f64(),
        cost.cpu.as_secs_f64(),
        peak_kib() / 1_024,
        report.passes,
        report.listings,
        report.power_up_calls,
        report.slurm_updates,
    );
    (report, cost)
}

/// All nodes up; never more than the cloud's own bound and 5 %, never throttled.
fn held(world: &World, limits: &Limits, report: &Report, cost: &Spent) {
    assert_eq!((report.up, report.failed), (NODES as u64, 0));
    assert_eq!(world.running().len(), NODES);
    world.never_two_at_once();
    let bound = limits.bound();
    // What is not the bucket's: one call there and back, two passes, the wake-up.
    let allowed = bound.mul_f64(1.05) + Duration::from_secs(1);
    assert!(
        cost.virtual_time <= allowed,
        "{:?} where the bucket takes {bound:?}",
        cost.virtual_time
    );
    assert!(
        report.listings <= report.passes,
        "one listing per provider and pass"
    );
    assert!(
        report.slurm_updates <= UPDATES,
        "{} updates",
        report.slurm_updates
    );
    let throttled = world.ledger(|l| l.events(None, 1_000_000).unwrap());
    let throttled = throttled
        .iter()
        .filter(|e| e.detail.as_deref().is_some_and(|d| d.contains("throttled")));
    assert_eq!(throttled.count(), 0, "nobody was throttled");
    let creates = world.cloud().read(|b| b.count(OpKind::Create)).unwrap();
    assert_eq!(
        creates,
        NODES.div_ceil(limits.max_batch) as u64,
        "whole batches, each sent once"
    );
    assert!(peak_kib() < 100 * 1_024, "{} KiB", peak_kib());
}

fn nodes() -> Vec<NodeName> {
    list("c[1-10000]")
}

#[tokio::test(start_paused = true)]
async fn one_program_of_ten_thousand_a_token_a_node() {
    let limits = Limits {
        burst: 200.0,
        per_second: 10.0,
        cost: Cost::PerNode,
        max_batch: 100,
    };
    let world = limits.world(|_| ());
    world.record(Program::Resume, &nodes());
    let (report, cost) = measured(&world, "a token a node, by 100", async {}).await;
    held(&world, &limits, &report, &cost);
}

#[tokio::test(start_paused = true)]
async fn one_program_of_ten_thousand_a_call_a_node() {
    let limits = Limits {
        burst: 200.0,
        per_second: 10.0,
        cost: Cost::PerNode,
        max_batch: 1,
    };
    let world = limits.world(|_| ());
    world.record(Program::Resume, &nodes());
    let (report, cost) = measured(&world, "a token and a call a node", async {}).await;
    held(&world, &limits, &report, &cost);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_overlapping_programs_of_a_hundred() {
    let limits = Limits {
        burst: 2.0,
        per_second: 0.5,
        cost: Cost::PerCall,
        max_batch: 100,
    };
    let world = limits.world(|_| ());
    let all = nodes();
    let mut programs = all.chunks(100);
    world.record(Program::Resume, programs.next().unwrap());
    // Each program finds the converger at work and leaves a wake-up.
    let scene = async {
        for chunk in programs {
            sleep(Duration::from_millis(37)).await;
            world.record(Program::Resume, chunk);
        }
    };
    let (report, cost) = measured(&world, "a hundred programs", scene).await;
    held(&world, &limits, &report, &cost);
}

#[tokio::test(start_paused = true)]
async fn machines_that_boot_are_asked_after_in_batches() {
    let limits = Limits {
        burst: 10.0,
        per_second: 1.0,
        cost: Cost::PerCall,
        max_batch: 100,
    };
    let world = limits.world(|c| c.boot_delay = Duration::from_secs(60));
    world.record(Program::Resume, &nodes());
    let (report, cost) = measured(&world, "with a boot of 60 s", async {}).await;
    assert_eq!((report.up, world.running().len()), (NODES as u64, NODES));
    let allowed = limits.bound().mul_f64(1.05) + Duration::from_secs(62);
    assert!(cost.virtual_time <= allowed, "{:?}", cost.virtual_time);
    assert!(
        report.slurm_updates <= UPDATES,
        "{} updates",
        report.slurm_updates
    );
    assert!(peak_kib() < 100 * 1_024, "{} KiB", peak_kib());
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_that_cannot_come_up_are_told_in_hundreds() {
    let limits = Limits {
        burst: 200.0,
        per_second: 100.0,
        cost: Cost::PerNode,
        max_batch: 100,
    };
    let world = limits.world(|c| c.capacity = Some(0));
    world.slurm.power_up(&nodes());
    let _ = world.slurm.calls();
    world.record(Program::Resume, &nodes());
    let (report, cost) = measured(&world, "all fail", async {}).await;
    assert_eq!((report.up, report.failed), (0, NODES as u64));
    // The bucket would take 98 s. Calls that wait for its tokens already are sent
    // (16 of them, one a second); all others are taken back.
    assert!(
        cost.virtual_time < Duration::from_secs(20),
        "{:?}",
        cost.virtual_time
    );
    let asked = world.cloud().read(|b| b.count(OpKind::Create)).unwrap();
    assert!(asked <= 18, "{asked} calls");
    // Forced down and marked: two changes of each node.
    let log = world.slurm.log();
    let calls = |which: fn(&Change) -> bool| {
        log.iter()
            .filter(|(_, c)| which(c))
            .map(|(n, _)| n.len().div_ceil(100) as u64)
            .sum::<u64>()
    };
    let forced = calls(|c| matches!(c, Change::PowerDownForce));
    let marked = calls(|c| matches!(c, Change::Down { .. }));
    assert!(
        forced <= UPDATES && marked <= UPDATES,
        "{forced} and {marked} updates"
    );
    assert_eq!(report.slurm_updates, forced + marked);
    let reason = world.reason("c77");
    assert!(reason.starts_with("slurmburst: capacity"), "{reason}");
    assert!(peak_kib() < 100 * 1_024, "{} KiB", peak_kib());
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_go_down() {
    let limits = Limits {
        burst: 200.0,
        per_second: 100.0,
        cost: Cost::PerCall,
        max_batch: 100,
    };
    let world = limits.world(|c| c.stop_delay = Duration::from_secs(20));
    world.record(Program::Resume, &nodes());
    measured(&world, "up", async {}).await;
    world.record(Program::Suspend, &nodes());
    let (report, cost) = measured(&world, "down", async {}).await;
    assert_eq!((report.down, world.billed().len()), (NODES as u64, 0));
    assert!(
        cost.virtual_time < Duration::from_secs(30),
        "{:?}",
        cost.virtual_time
    );
    assert!(peak_kib() < 100 * 1_024, "{} KiB", peak_kib());
}

/// CPU time of this process so far, in user and system.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = rest
        .split_ascii_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|f| f.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

/// The most memory that this process ever had, in KiB; 0 where it cannot be asked.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}
