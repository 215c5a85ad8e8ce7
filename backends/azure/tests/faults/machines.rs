//! Machines that are there: deletes, starts and deallocates that do not go well.

use slurmburst_azure_emulator::{Act, Debris, Fault};

use crate::emulated::{Plan, World};
use crate::{PERSISTENT, answer, fails_later};

/// A power-down that meets this comes about all the same.
#[tokio::test(start_paused = true)]
async fn a_delete_that_goes_wrong() {
    let failed = |code| fails_later(code, "as the test wants it", Debris::Vm);
    for (what, act) in [
        ("a conflict", answer(409, "Conflict", "not now")),
        (
            "another operation",
            answer(409, "AnotherOperationInProgress", "not now"),
        ),
        (
            "no permission for a while",
            answer(403, "AuthorizationFailed", "not now"),
        ),
        ("a 500", answer(500, "InternalServerError", "not now")),
        (
            "an unknown refusal",
            answer(400, "ACodeThatNobodyKnows", "not now"),
        ),
        ("a throttle", Act::ArmThrottle(30)),
        ("a reset", Act::Reset),
        ("a lost reply", Act::LoseReply),
        ("a failure later", failed("InternalExecutionError")),
        ("no room, of all things", failed("AllocationFailed")),
        ("a preemption", Act::PreemptOperation),
    ] {
        let world = World::new(Plan::default());
        world.resume("c[1-3]");
        world.run().await;
        let fault = Fault::new(act).on("DELETE", "virtualMachines/c1");
        world.cloud.fault(fault.times(PERSISTENT));
        world.suspend("c[1-2]").await;
        world.run().await;
        assert_eq!(world.wanted().len(), 1, "{what}");
        assert_eq!(world.books().vms, 1, "{what}: {:#?}", world.history("c1"));
        world.ends_well(what).await;
    }
}

#[tokio::test(start_paused = true)]
async fn starts_and_deallocates_that_go_wrong() {
    for forbidden in [false, true] {
        for (what, act) in [
            ("a conflict", answer(409, "Conflict", "not now")),
            ("a 503", answer(503, "ServiceUnavailable", "not now")),
            ("a throttle", Act::ComputeThrottle(30)),
            ("a reset", Act::Reset),
            ("a lost reply", Act::LoseReply),
        ] {
            let world = World::new(Plan {
                lifecycle: "start-deallocate",
                placements: &[""],
                ..Plan::default()
            });
            world.made_by_hand().await;
            if forbidden {
                let action = "microsoft.compute/virtualmachines/read";
                world.cloud.forbid(action, true);
            }
            let fault = |action: &str| {
                let path = format!("virtualMachines/c1/{action}");
                Fault::new(act.clone()).on("POST", &path).times(PERSISTENT)
            };
            world.cloud.fault(fault("start"));
            world.resume("c[1-3]");
            let report = world.run().await;
            assert_eq!(
                (report.up, report.failed),
                (3, 0),
                "{what}: {:#?}",
                world.history("c1")
            );
            assert_eq!(world.books().running, 3, "{what}");
            world.cloud.fault(fault("deallocate"));
            world.suspend("c[1-3]").await;
            world.run().await;
            let off = |(_, power, _): &(String, String, String)| power == "deallocated";
            assert!(
                world.cloud.vms().iter().all(off),
                "{what}: {:?}",
                world.cloud.vms()
            );
            assert_eq!(world.books().vms, 3, "{what}: none is deleted");
        }
    }
}

/// Accepted, and it does not come about: it is asked for again.
#[tokio::test(start_paused = true)]
async fn a_deallocate_that_fails_later() {
    let world = World::new(Plan {
        lifecycle: "start-deallocate",
        placements: &[""],
        ..Plan::default()
    });
    world.made_by_hand().await;
    world.resume("c[1-3]");
    world.run().await;
    let act = fails_later("InternalExecutionError", "not now", Debris::Vm);
    let fault = Fault::new(act).on("POST", "virtualMachines/c1/deallocate");
    world.cloud.fault(fault.times(PERSISTENT));
    world.suspend("c[1-3]").await;
    world.run().await;
    let off = |(_, power, _): &(String, String, String)| power == "deallocated";
    let vms = world.cloud.vms();
    assert!(
        vms.len() == 3 && vms.iter().all(off),
        "{vms:?}: {:#?}",
        world.history("c1")
    );
}

/// Somebody starts a machine between its deallocation and our look at it.
#[tokio::test(start_paused = true)]
async fn a_deallocate_that_somebody_undoes() {
    for forbidden in [false, true] {
        let world = World::new(Plan {
            lifecycle: "start-deallocate",
            placements: &[""],
            ..Plan::default()
        });
        world.made_by_hand().await;
        if forbidden {
            let action = "microsoft.compute/virtualmachines/read";
            world.cloud.forbid(action, true);
        }
        world.resume("c[1-3]");
        world.run().await;
        world.suspend("c[1-3]").await;
        world.run_while(world.start_once_deallocated("c1")).await;
        let vms = world.cloud.vms();
        assert!(
            vms.iter().all(|(_, power, _)| power == "deallocated"),
            "{vms:?}: {:#?}",
            world.history("c1")
        );
    }
}

/// No room for a start: the machine stays as it was, and Slurm is told.
#[tokio::test(start_paused = true)]
async fn a_start_without_capacity() {
    let world = World::new(Plan {
        lifecycle: "start-deallocate",
        placements: &[""],
        ..Plan::default()
    });
    world.made_by_hand().await;
    world.cloud.exhaust("Standard_D2s_v5", None);
    world.resume("c1");
    world.run().await;
    world.has_failed("c1", "capacity", "AllocationFailed", "a start");
    world.minutes(3).await;
    assert_eq!((world.books().vms, world.books().running), (3, 0));
}
