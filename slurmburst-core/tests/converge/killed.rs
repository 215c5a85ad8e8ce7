//! A converger that is killed at any moment, and another one that goes on.

use std::time::Duration;

use slurmburst_core::fake::Chaos;
use slurmburst_core::ledger::Program;
use slurmburst_core::provider::Direction;
use tokio::time::sleep;

use crate::world::{Plan, World, cloud, group, list, name, seeds};

fn plan() -> Plan {
    Plan {
        clouds: vec![("a", cloud()), ("b", cloud())],
        site: group("c[1-6]", "create-delete", &["a", "b"]),
        suspend_timeout: 5,
        ..Plan::default()
    }
    .cloud(|c| {
        c.capacity = Some(2);
        c.max_batch = 3;
        // New machines are listed late.
        c.consistency_window = Duration::from_secs(4);
    })
}

/// What is wanted is there, once; what is not wanted is not; Slurm knows.
fn all_is_well(world: &World, what: &str) {
    world.never_two_at_once();
    for node in list("c[1-6]") {
        let wish = world.ledger(|l| l.wish(&node).unwrap());
        let wanted = wish.as_ref().is_some_and(|w| {
            let settled = w
                .settled
                .as_ref()
                .unwrap_or_else(|| panic!("{what}: {node} is open"));
            w.direction == Direction::Up && settled.result.is_ok()
        });
        let count = world
            .billed()
            .iter()
            .filter(|n| **n == node.to_string())
            .count();
        assert_eq!(
            count,
            usize::from(wanted),
            "{what}: {node} {:?}",
            world.history(node.as_str())
        );
        let state = world.state(node.as_str());
        // And Slurm thinks so too.
        assert!(!state.contains("POWERING_UP"), "{what}: {node} {state}");
        assert_eq!(
            !state.contains("POWERED_DOWN"),
            wanted,
            "{what}: {node} {state} {:?}",
            world.history(node.as_str())
        );
    }
    assert!(world.ledger(|l| l.marks().unwrap()).is_empty(), "{what}");
}

/// The timer goes on for long enough.
async fn go_on(world: &World) {
    world.minutes(9).await;
}

#[tokio::test(start_paused = true)]
async fn a_power_up_killed_at_any_step() {
    let mut step = 0;
    loop {
        let world = plan().build();
        world.resume("c[1-6]");
        let killed = world.killed_at(step, false).await;
        go_on(&world).await;
        all_is_well(&world, &format!("step {step}"));
        assert_eq!(world.running().len(), 6, "step {step}");
        if !killed {
            break;
        }
        step += 1 + step / 12;
    }
    assert!(step > 10, "{step} steps were too few to say anything");
}

#[tokio::test(start_paused = true)]
async fn a_power_up_killed_at_any_time() {
    for time in (0..9_000).step_by(190) {
        let world = plan().build();
        world.resume("c[1-6]");
        world.killed_after(Duration::from_millis(time), false).await;
        go_on(&world).await;
        all_is_well(&world, &format!("{time} ms"));
        assert_eq!(world.running().len(), 6, "{time} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_power_down_killed_at_any_time() {
    for time in (0..6_000).step_by(230) {
        let world = plan().build();
        world.resume("c[1-6]");
        world.run().await;
        world.pass(1).await;
        world.suspend("c[1-4]");
        world.pass(2).await;
        world.killed_after(Duration::from_millis(time), false).await;
        go_on(&world).await;
        all_is_well(&world, &format!("{time} ms"));
        assert_eq!(world.running(), ["c5", "c6"], "{time} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_killed_at_any_time_is_told_and_returned() {
    for time in (0..6_000).step_by(170) {
        let world = plan().build();
        world.clouds["b"].set_capacity(Some(0));
        world.resume("c[1-6]");
        world.killed_after(Duration::from_millis(time), false).await;
        go_on(&world).await;
        all_is_well(&world, &format!("{time} ms"));
        let idle = list("c[1-6]")
            .iter()
            .filter(|n| world.state(n.as_str()).contains("POWERED_DOWN"))
            .count();
        assert_eq!((world.running().len(), idle), (2, 4), "{time} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn killed_again_and_again_while_wishes_cross() {
    for seed in seeds(40) {
        let world = plan()
            .cloud(|c| {
                // Every other time on a bad day.
                c.chaos = (seed % 2 == 0).then_some(Chaos {
                    seed,
                    refuse: 0.15,
                    lose_reply: 0.2,
                    partial: 0.1,
                    slow: (0.1, Duration::from_secs(9)),
                });
            })
            .build();
        let mut random = seed;
        let mut next = |below: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        for _ in 0..6 {
            let node = name(&format!("c{}", 1 + next(6)));
            if world.slurm.state(&node).contains("POWERED_DOWN") {
                world.slurm.power_up(&[node]);
            } else {
                world.slurm.suspend(&[node]);
            }
            world.deliver();
            world
                .killed_after(Duration::from_millis(next(6_000)), next(3) == 0)
                .await;
            if next(2) == 0 {
                world.alive(sleep(Duration::from_millis(next(9_000)))).await;
            }
        }
        go_on(&world).await;
        all_is_well(&world, &format!("seed {seed}"));
    }
}

#[tokio::test(start_paused = true)]
async fn lost_replies_and_a_kill_and_a_suspend() {
    use slurmburst_core::fake::{Fault, Trouble};
    use slurmburst_core::provider::OpKind;
    for time in (0..20_000).step_by(700) {
        let world = plan().build();
        world
            .cloud()
            .fault(Fault::new(Trouble::LoseReply).on(OpKind::Create).times(5));
        world.resume("c[1-3]");
        world.killed_after(Duration::from_millis(time), false).await;
        world.slurm.add(&list("c2"));
        world.record(Program::ResumeFail, &list("c2"));
        world
            .killed_after(Duration::from_millis(time / 2), false)
            .await;
        go_on(&world).await;
        world.never_two_at_once();
        assert!(
            !world.billed().contains(&"c2".to_owned()),
            "{time} ms: {:?}",
            world.history("c2")
        );
    }
}
