//! Work that is interrupted: by credentials that end, kills, and newer wishes.

use std::time::Duration;

use slurmburst_azure_emulator::{Act, Fault, Settings, Timings};
use tokio::time::sleep;

use crate::emulated::{Plan, World, name};
use crate::twenty;

#[tokio::test(start_paused = true)]
async fn tokens_that_run_out_in_the_middle() {
    let short = Settings {
        token_life: Duration::from_secs(20),
        ..Settings::default()
    };
    let world = World::new(Plan {
        settings: short,
        ..twenty()
    });
    world.resume("c[1-20]");
    let report = world.run().await;
    assert_eq!((report.up, report.failed), (20, 0));
    world.ends_well("tokens of twenty seconds").await;
    for second in (0..120).step_by(11) {
        let what = format!("all tokens are void after {second} s");
        let world = World::new(twenty());
        world.resume("c[1-20]");
        let scene = async {
            sleep(Duration::from_secs(second)).await;
            world.cloud.expire_tokens();
        };
        let report = world.run_while(scene).await;
        assert_eq!(
            (report.up, report.failed),
            (20, 0),
            "{what}: {:#?}",
            world.history("c7")
        );
        world.ends_well(&what).await;
    }
}

/// The secret is changed in the portal, and an hour later in the file's place too.
#[tokio::test(start_paused = true)]
async fn a_secret_that_is_refused_in_the_middle() {
    for second in [0, 1, 40, 100] {
        let what = format!("the secret is refused after {second} s");
        let world = World::new(twenty());
        let clients = world.cloud.settings().clients;
        world.resume("c[1-20]");
        let scene = async {
            sleep(Duration::from_secs(second)).await;
            world.cloud.change(|s| s.clients.clear());
            world.cloud.expire_tokens();
            sleep(Duration::from_secs(600)).await;
            world.cloud.change(|s| s.clients = clients);
        };
        world.run_while(scene).await;
        for node in ["c1", "c20"] {
            let told = world.history(node);
            let up = world.wanted().contains(node);
            let failed = told.iter().any(|e| e.contains(" failed auth: "));
            assert!(up || failed, "{what}: {told:#?}");
        }
        world.ends_well(&what).await;
    }
}

/// A token that was taken before is refused: the next one is asked for at once.
#[tokio::test(start_paused = true)]
async fn a_token_that_is_withdrawn() {
    for code in ["InvalidAuthenticationToken", "AuthenticationFailed", ""] {
        let world = World::new(twenty());
        world.resume("c1");
        world.run().await;
        let fault = Fault::answer(401, code, "withdrawn");
        world
            .cloud
            .fault(fault.on("PUT", "virtualMachines/c2").times(1));
        world.resume("c[2-3]");
        let report = world.run().await;
        assert_eq!((report.up, report.failed), (2, 0), "{code}");
        world.ends_well(code).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_converger_that_is_killed() {
    for (what, lost) in [("killed", false), ("replies lost, and killed", true)] {
        for second in (0..130).step_by(9) {
            let what = format!("{what} after {second}.3 s");
            let at = Duration::from_millis(second * 1_000 + 300);
            let world = World::new(twenty());
            if lost {
                let fault = Fault::new(Act::LoseReply).on("PUT", "virtualMachines/");
                world.cloud.fault(fault.every(2).times(40));
            }
            world.resume("c[1-20]");
            world.killed_after(at).await;
            world.minutes(3).await;
            world.all_is_well(&what);
            assert_eq!(world.wanted().len(), 20, "{what}");
            let twice = |n: u32| world.books().happened(&format!("c{n}"), "create") != 1;
            assert!(!(1..=20).any(twice), "{what}: a machine was made twice");
            world.suspend("c[1-10]").await;
            world.killed_after(at).await;
            world.minutes(3).await;
            world.all_is_well(&what);
            assert_eq!(world.wanted().len(), 10, "{what}");
            world.ends_well(&what).await;
        }
    }
}

/// A node is wanted again a second after it was suspended, and its old machine
/// takes five minutes and a half to go.
#[tokio::test(start_paused = true)]
async fn a_resume_one_second_after_a_suspend_whose_delete_is_slow() {
    let slow = || Settings {
        timings: Timings {
            delete_forced: Duration::from_secs(330),
            ..Timings::default()
        },
        ..Settings::default()
    };
    for (what, resume_timeout, comes_up) in [
        ("long enough", 600, true),
        ("shorter than the delete", 300, false),
    ] {
        let world = World::new(Plan {
            settings: slow(),
            resume_timeout,
            suspend_timeout: 1,
            ..Plan::default()
        });
        world.resume("c[1-3]");
        world.run().await;
        let before = world.books();
        let begun = world.now();
        let scene = async {
            world.suspend("c1").await;
            sleep(Duration::from_secs(1)).await;
            // Slurm takes no node that still powers down.
            while !world.state("c1").contains("POWERED_DOWN") {
                sleep(Duration::from_millis(100)).await;
            }
            world.resume("c1");
        };
        world.run_while(scene).await;
        let told = world.history("c1");
        assert_eq!(world.wanted().contains("c1"), comes_up, "{what}: {told:#?}");
        let again = world.books().happened("c1", "create") - before.happened("c1", "create");
        assert_eq!(again, usize::from(comes_up), "{what}: {told:#?}");
        if comes_up {
            let took = world.books().up_at["c1"] - begun;
            // The delete, the create, and a look every ten seconds.
            assert!(
                took < Duration::from_secs(330 + 88 + 30),
                "{what}: {took:?}"
            );
        }
        world.ends_well(what).await;
    }
}

/// Gone behind our back: evicted, or deleted in the portal.
#[tokio::test(start_paused = true)]
async fn machines_that_vanish() {
    for (what, evicted) in [("deleted in the portal", false), ("evicted", true)] {
        let world = World::new(Plan {
            placements: &["zone = \"1\"\nmarket = \"spot\""],
            ..Plan::default()
        });
        world.resume("c[1-3]");
        world.run().await;
        match evicted {
            true => world.cloud.evict("c1"),
            false => world.cloud.vanish("c1"),
        }
        world.slurm.not_responding(&[name("c1")]);
        world.minutes(4).await;
        assert!(
            world.state("c1").contains("POWERED_DOWN"),
            "{what}: {}",
            world.state("c1")
        );
        assert_eq!(world.books().vms, 2, "{what}");
        // It is usable again.
        world.resume("c1");
        world.run().await;
        assert_eq!(
            world.wanted().len(),
            3,
            "{what}: {:#?}",
            world.history("c1")
        );
        world.ends_well(what).await;
    }
}
