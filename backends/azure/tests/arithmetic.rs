//! Calls and time, by the emulator's books and its real token buckets, against
//! what the arithmetic says. Virtual time, but for the last.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails like this"
)]

mod emulated;

use std::time::Duration;

use emulated::{Cost, Measured, Plan, World, bound, list};
use slurmburst_azure_emulator::{Clock, Emulator, Settings, Timings};
use tokio::time::sleep;

const THOUSAND: &str = "c[1-1000]";

fn thousand(keys: &'static str) -> World {
    World::new(Plan {
        hosts: THOUSAND,
        keys,
        ..Plan::default()
    })
}

/// Within two seconds of what the bucket takes, and nobody was refused.
fn held(what: &str, requests: u64, cost: &Cost) {
    println!("{what}: {cost}");
    let (bound, took) = (bound(requests), cost.accepted - cost.first);
    let refused = &cost.after().refusals;
    assert_eq!(cost.throttled(), 0, "{what}: refused: {refused:?}");
    let late = took.saturating_sub(bound);
    assert!(
        late <= Duration::from_secs(2),
        "{what}: {took:?}, and the bucket takes {bound:?}"
    );
}

/// Lists every eight seconds and no oftener, twenty pages each: of machines, and
/// of power states or of network interfaces.
fn bounded_by_pages(what: &str, cost: &Cost) {
    let lists = cost.took.as_secs() / 8 + 2;
    assert!(cost.reads <= lists * 2 * 20, "{what}: {cost}");
    // The newest image; and a power state that Azure has left out of its list, now and then.
    assert!(cost.single_reads() <= 100, "{what}: {cost}");
}

async fn up(world: &World, nodes: &str) -> Cost {
    let measured = Measured::begin(world);
    world.resume(nodes);
    let report = world.run().await;
    assert_eq!(report.up, list(nodes).len() as u64, "{report:?}");
    assert_eq!(report.failed, 0);
    measured.end()
}

async fn down(world: &World, nodes: &str) -> Cost {
    world.suspend(nodes).await;
    let measured = Measured::begin(world);
    let report = world.run().await;
    assert_eq!(report.down, list(nodes).len() as u64, "{report:?}");
    measured.end()
}

fn empty(world: &World) {
    let books = world.books();
    let left = (books.vms, books.nics, books.disks, books.public_ips);
    assert_eq!(left, (0, 0, 0, 0), "VMs, NICs, disks, addresses");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_creates_and_deletes_of_one_program() {
    let world = thousand("");
    let cost = up(&world, THOUSAND).await;
    world.all_is_well("up");
    held("a thousand creates", 1_000, &cost);
    bounded_by_pages("a thousand creates", &cost);
    assert_eq!(
        (cost.writes, cost.calls("PUT virtualMachines")),
        (1_000, 1_000)
    );
    let cost = down(&world, THOUSAND).await;
    held("a thousand deletes", 1_000, &cost);
    bounded_by_pages("a thousand deletes", &cost);
    assert_eq!((cost.writes, cost.deletes), (0, 1_000));
    empty(&world);
}

#[tokio::test(start_paused = true)]
async fn a_fixed_address_costs_a_second_write() {
    let world = thousand("private_ip = \"10.0.16.0\"");
    let cost = up(&world, THOUSAND).await;
    world.all_is_well("up");
    held("a thousand creates with addresses", 2_000, &cost);
    assert_eq!(
        (cost.writes, cost.calls("PUT networkInterfaces")),
        (2_000, 1_000)
    );
    let cost = down(&world, THOUSAND).await;
    held("a thousand deletes", 1_000, &cost);
    assert_eq!((cost.writes, cost.deletes), (0, 1_000));
    empty(&world);
}

/// Each program finds the converger at work and leaves a wake-up.
#[tokio::test(start_paused = true)]
async fn ten_overlapping_programs_of_a_hundred() {
    let world = thousand("");
    let measured = Measured::begin(&world);
    let scene = async {
        for n in 0..10 {
            world.resume(&format!("c[{}-{}]", n * 100 + 1, (n + 1) * 100));
            sleep(Duration::from_millis(370)).await;
        }
    };
    let report = world.run_while(scene).await;
    assert_eq!((report.up, report.failed), (1_000, 0));
    let cost = measured.end();
    held("ten programs", 1_000, &cost);
    assert_eq!(cost.writes, 1_000);
    world.all_is_well("up");
    let measured = Measured::begin(&world);
    let scene = async {
        for n in 0..10 {
            world
                .suspend(&format!("c[{}-{}]", n * 100 + 1, (n + 1) * 100))
                .await;
        }
    };
    world.run_while(scene).await;
    let cost = measured.end();
    // The last program is called ten seconds after the first.
    held("ten programs", 1_000, &cost);
    assert_eq!(cost.deletes, 1_000);
    empty(&world);
}

/// What a killed converger has used up, the next one does not use again.
#[tokio::test(start_paused = true)]
async fn ten_programs_whose_convergers_are_killed() {
    let world = thousand("");
    let measured = Measured::begin(&world);
    for n in 0..10 {
        world.resume(&format!("c[{}-{}]", n * 100 + 1, (n + 1) * 100));
        assert!(world.killed_after(Duration::from_millis(3_700)).await);
    }
    let report = world.run().await;
    assert_eq!(report.failed, 0);
    let cost = measured.end();
    // What was under way is sent again, since what came of it is not known.
    held("ten killed convergers", cost.writes, &cost);
    assert!(cost.writes <= 1_000 + 10 * 64, "{} writes", cost.writes);
    assert_eq!(world.wanted().len(), 1_000);
    world.all_is_well("after ten kills");
}

/// What a role for the resource group alone does not cover.
const POWER_STATES: &str = "microsoft.compute/virtualmachines/read";

async fn by_hand(hosts: &'static str) -> World {
    let world = World::new(Plan {
        hosts,
        lifecycle: "start-deallocate",
        placements: &[""],
        ..Plan::default()
    });
    world.made_by_hand().await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_thousand_starts_and_deallocates() {
    let world = by_hand(THOUSAND).await;
    let cost = up(&world, THOUSAND).await;
    held("a thousand starts", 1_000, &cost);
    assert_eq!(
        (cost.writes, cost.calls("POST virtualMachines/start")),
        (1_000, 1_000)
    );
    let cost = down(&world, THOUSAND).await;
    held("a thousand deallocates", 1_000, &cost);
    let calls = cost.calls("POST virtualMachines/deallocate");
    assert_eq!((cost.writes, cost.deletes, calls), (1_000, 0, 1_000));
    assert_eq!((world.books().vms, world.books().running), (1_000, 0));
}

#[tokio::test(start_paused = true)]
async fn without_the_subscription_two_reads_a_node_at_most() {
    let world = by_hand(THOUSAND).await;
    world.cloud.forbid(POWER_STATES, true);
    for (what, starts) in [
        ("a thousand starts", true),
        ("a thousand deallocates", false),
    ] {
        let cost = if starts {
            up(&world, THOUSAND).await
        } else {
            down(&world, THOUSAND).await
        };
        println!("{what}, no subscription: {cost}");
        assert_eq!((cost.writes, cost.throttled()), (1_000, 0), "{what}");
        // Reads are the tighter bucket here, 25 a second: those of the machines that
        // are done are in the way of those for the next.
        let took = cost.accepted - cost.first;
        assert!(
            took <= bound(1_000) + Duration::from_secs(10),
            "{what}: {took:?}"
        );
        assert!(cost.single_reads() <= 2_000, "{what}: {cost}");
    }
    assert_eq!((world.books().vms, world.books().running), (1_000, 0));
}

/// The table of docs/PERFORMANCE.md.
#[tokio::test(start_paused = true)]
#[ignore = "a measurement: tests/bench.sh azure"]
async fn figures() {
    println!(
        "| | nodes | changes | reads | accepted after | one change a node | two changes a node | over after |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (nodes, hosts) in [(1, "c1"), (100, "c[1-100]"), (1_000, THOUSAND)] {
        let created = |keys| Plan {
            hosts,
            keys,
            ..Plan::default()
        };
        let world = World::new(created(""));
        row("create", nodes, &up(&world, hosts).await);
        row("delete", nodes, &down(&world, hosts).await);
        let world = World::new(created("private_ip = \"10.0.16.0\""));
        row("create, `private_ip`", nodes, &up(&world, hosts).await);
        for (start, deallocate, forbidden) in [
            ("start", "deallocate", false),
            (
                "start, no subscription",
                "deallocate, no subscription",
                true,
            ),
        ] {
            let world = by_hand(hosts).await;
            if forbidden {
                world.cloud.forbid(POWER_STATES, true);
            }
            row(start, nodes, &up(&world, hosts).await);
            row(deallocate, nodes, &down(&world, hosts).await);
        }
    }
}

fn row(what: &str, nodes: u64, cost: &Cost) {
    let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    println!(
        "| {what} | {nodes} | {} | {} | {} | {} | {} | {} |",
        cost.writes + cost.deletes,
        cost.reads,
        seconds(cost.accepted),
        seconds(bound(nodes)),
        seconds(bound(2 * nodes)),
        seconds(cost.took),
    );
}

/// A hundred are within the burst. Real sockets, TLS, and time.
#[tokio::test]
async fn a_hundred_by_the_walls_clock_over_a_socket() {
    let settings = Settings {
        retry_after: Some(1),
        timings: Timings {
            create: Duration::from_secs(2),
            delete_forced: Duration::from_secs(2),
            ..Timings::default()
        },
        ..Settings::default()
    };
    let plan = || Plan {
        settings: settings.clone(),
        hosts: "c[1-100]",
        ..Plan::default()
    };
    let emulator = Emulator::start(settings.clone(), Clock::wall(1.0))
        .await
        .unwrap();
    let world = World::over(plan(), &emulator);
    let cost = up(&world, "c[1-100]").await;
    held("a hundred creates over a socket", 100, &cost);
    assert_eq!(cost.writes, 100);
    world.all_is_well("up");
    let cost = down(&world, "c[1-100]").await;
    held("a hundred deletes over a socket", 100, &cost);
    assert_eq!((cost.writes, cost.deletes), (0, 100));
    empty(&world);
}
