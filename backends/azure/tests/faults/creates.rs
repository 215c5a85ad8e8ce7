//! Creates that do not go well: refused, accepted and failed, or lost.

use slurmburst_azure_emulator::{Act, Debris, Fault};

use crate::emulated::{Plan, World};
use crate::{PERSISTENT, answer, fails_later};

const TWO_ZONES: &[&str] = &["zone = \"1\"", "zone = \"2\""];

/// What a fault comes to.
#[derive(Debug, Clone, Copy)]
enum Then {
    /// It passes, and the node comes up where it was to.
    Up,
    /// The node comes up on the next rung; without one it fails, of this kind.
    Elsewhere(&'static str),
    /// The node fails at once, of this kind: no rung would help.
    Fails(&'static str),
}

/// One of three nodes meets this fault when it is made.
async fn first_of_three(plan: Plan, act: &Act, times: Option<u32>) -> World {
    let world = World::new(plan);
    let mut fault = Fault::new(act.clone()).on("PUT", "virtualMachines/c1");
    fault.times = times;
    world.cloud.fault(fault);
    world.resume("c[1-3]");
    world.run().await;
    world
}

async fn comes_to(what: &str, code: &str, act: &Act, then: Then) {
    let two_zones = || Plan {
        placements: TWO_ZONES,
        ..Plan::default()
    };
    let up = |world: &World, zone: &str, what: &str| {
        let told = world.history("c1");
        assert_eq!(world.wanted().len(), 3, "{what}: {told:#?}");
        let placement = world.placement("c1");
        assert!(placement.ends_with(zone), "{what}: {placement}: {told:#?}");
    };
    match then {
        Then::Up => {
            let world = first_of_three(two_zones(), act, Some(PERSISTENT)).await;
            up(&world, "/1", what);
            world.ends_well(what).await;
        }
        Then::Elsewhere(kind) => {
            let world = first_of_three(two_zones(), act, Some(1)).await;
            up(&world, "/2", what);
            world.ends_well(what).await;
            let what = format!("{what}, on every rung");
            let world = first_of_three(two_zones(), act, None).await;
            world.has_failed("c1", kind, code, &what);
            world.ends_well(&what).await;
        }
        Then::Fails(kind) => {
            let world = first_of_three(two_zones(), act, None).await;
            world.has_failed("c1", kind, code, what);
            assert!(world.placement("c1").ends_with("/1"), "{what}: it went on");
            world.ends_well(what).await;
        }
    }
}

const QUOTA: &str = "Operation could not be completed as it results in exceeding approved \
    standardDSv5Family Cores quota.";
const STATE: &str = "Operation 'create' is not allowed since the VM is marked for deletion.";

#[tokio::test(start_paused = true)]
async fn a_create_that_is_refused() {
    use Then::{Elsewhere, Fails, Up};
    for (status, code, message, then) in [
        (409, "AllocationFailed", "no room", Elsewhere("capacity")),
        (
            409,
            "ZonalAllocationFailed",
            "no room",
            Elsewhere("capacity"),
        ),
        (
            409,
            "OverconstrainedAllocationRequest",
            "no room",
            Elsewhere("capacity"),
        ),
        (
            409,
            "OverconstrainedZonalAllocationRequest",
            "no room",
            Elsewhere("capacity"),
        ),
        (409, "SkuNotAvailable", "not here", Elsewhere("capacity")),
        (409, "OperationNotAllowed", QUOTA, Elsewhere("quota")),
        (403, "QuotaExceeded", "enough", Elsewhere("quota")),
        (400, "SubnetIsFull", "no address", Elsewhere("quota")),
        (409, "OperationNotAllowed", STATE, Up),
        (429, "OperationNotAllowed", "too many", Up),
        (429, "TooManyRequests", "too many", Up),
        (400, "NicReservedForAnotherVm", "for 180 s", Up),
        (400, "NicInUse", "another's", Up),
        (409, "Conflict", "another request", Up),
        (409, "AnotherOperationInProgress", "another", Up),
        (409, "PropertyChangeNotAllowed", "zones", Up),
        (412, "PreconditionFailed", "it is there", Up),
        (500, "InternalServerError", "sorry", Up),
        (503, "ServiceUnavailable", "sorry", Up),
        (504, "GatewayTimeout", "sorry", Up),
        (403, "AuthorizationFailed", "not allowed", Fails("auth")),
        (
            403,
            "LinkedAuthorizationFailed",
            "not allowed",
            Fails("auth"),
        ),
        (
            403,
            "RequestDisallowedByPolicy",
            "not allowed",
            Fails("invalid"),
        ),
        (
            404,
            "ResourceGroupNotFound",
            "no such group",
            Fails("invalid"),
        ),
        (
            404,
            "SubscriptionNotFound",
            "no such subscription",
            Fails("invalid"),
        ),
        (400, "InvalidParameter", "wrong", Fails("invalid")),
        (400, "ACodeThatNobodyKnows", "?", Fails("invalid")),
    ] {
        let act = answer(status, code, message);
        comes_to(&format!("{status} {code}: {message}"), code, &act, then).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_create_that_is_accepted_and_fails() {
    use Then::{Elsewhere, Fails, Up};
    for debris in [Debris::Vm, Debris::Orphans] {
        for (code, message, then) in [
            ("AllocationFailed", "no room", Elsewhere("capacity")),
            ("ZonalAllocationFailed", "no room", Elsewhere("capacity")),
            (
                "OverconstrainedAllocationRequest",
                "no room",
                Elsewhere("capacity"),
            ),
            (
                "OverconstrainedZonalAllocationRequest",
                "no room",
                Elsewhere("capacity"),
            ),
            ("SkuNotAvailable", "not here", Elsewhere("capacity")),
            ("OperationNotAllowed", QUOTA, Elsewhere("quota")),
            ("QuotaExceeded", "enough", Elsewhere("quota")),
            (
                "OSProvisioningTimedOut",
                "it does not answer",
                Elsewhere("unexpected"),
            ),
            ("InternalExecutionError", "sorry", Elsewhere("unexpected")),
            ("NicReservedForAnotherVm", "for 180 s", Up),
            ("Conflict", "another request", Up),
            ("ACodeThatNobodyKnows", "?", Elsewhere("unexpected")),
            ("RequestDisallowedByPolicy", "not allowed", Fails("invalid")),
            ("AuthorizationFailed", "not allowed", Fails("auth")),
        ] {
            let act = fails_later(code, message, debris);
            comes_to(&format!("{code}, leaving {debris:?}"), code, &act, then).await;
        }
    }
    let what = "an operation that is preempted";
    comes_to(what, "OperationPreempted", &Act::PreemptOperation, Up).await;
}

/// A public address goes with its machine, not with the NIC alone.
#[tokio::test(start_paused = true)]
async fn the_address_of_a_create_that_fails() {
    let world = World::new(Plan {
        keys: "public_ip = true",
        ..Plan::default()
    });
    let act = fails_later("AllocationFailed", "no room", Debris::Orphans);
    let fault = Fault::new(act).on("PUT", "virtualMachines/c1");
    world.cloud.fault(fault);
    world.resume("c[1-2]");
    world.run().await;
    assert_eq!(world.wanted().len(), 1, "{:#?}", world.history("c1"));
    world.cloud.heal();
    world.minutes(6).await;
    let books = world.books();
    assert_eq!((books.vms, books.nics, books.public_ips), (1, 1, 1));
    world.suspend("c2").await;
    world.run().await;
    world.minutes(2).await;
    let books = world.books();
    let left = (books.vms, books.nics, books.disks, books.public_ips);
    assert_eq!(left, (0, 0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_or_a_reply_that_is_lost() {
    for (what, act) in [
        ("a reset", Act::Reset),
        ("a lost reply", Act::LoseReply),
        ("a reply of ten minutes", Act::Delay(600.0)),
        ("a throttle of Resource Manager", Act::ArmThrottle(7)),
        ("a throttle of Compute", Act::ComputeThrottle(40)),
    ] {
        comes_to(what, "", &act, Then::Up).await;
    }
}
