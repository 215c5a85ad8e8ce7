//! Azure is ill: throttling, errors, cut connections and outages over a time.

use std::time::Duration;

use slurmburst_azure_emulator::{Act, Fault};

use crate::emulated::World;
use crate::{answer, twenty};

/// Every other request, whatever it is, for a minute and a half; going up and going down.
#[tokio::test(start_paused = true)]
async fn storms() {
    for (what, act) in [
        ("429 of Resource Manager", Act::ArmThrottle(5)),
        ("429 of Compute", Act::ComputeThrottle(20)),
        (
            "500",
            answer(500, "InternalServerError", "<html>a page of a proxy</html>"),
        ),
        ("502", answer(502, "", "<html>a page of a proxy</html>")),
        (
            "503",
            answer(503, "ServiceUnavailable", "<html>a page of a proxy</html>"),
        ),
        ("resets", Act::Reset),
        ("lost replies", Act::LoseReply),
        ("slow answers", Act::Delay(20.0)),
    ] {
        for every in [1, 2] {
            let what = format!("{what}, each of {every}");
            let world = World::new(twenty());
            let storm = || {
                let until = world.now() + Duration::from_secs(90);
                world
                    .cloud
                    .fault(Fault::new(act.clone()).every(every).until(until));
            };
            storm();
            world.resume("c[1-20]");
            let report = world.run().await;
            assert_eq!(
                (report.up, report.failed),
                (20, 0),
                "{what}: {:#?}",
                world.history("c7")
            );
            world.all_is_well(&what);
            storm();
            world.suspend("c[1-20]").await;
            world.run().await;
            assert_eq!(world.books().vms, 0, "{what}: {:#?}", world.history("c7"));
            world.ends_well(&what).await;
        }
    }
}

/// A part of Azure does not answer: what is not seen is not concluded from.
#[tokio::test(start_paused = true)]
async fn partial_outages() {
    for (what, path) in [
        ("network interfaces", "networkInterfaces"),
        ("disks", "Microsoft.Compute/disks"),
        (
            "the list of machines",
            "burst/providers/Microsoft.Compute/virtualMachines",
        ),
        ("tokens", "oauth2"),
        ("images", "publishers"),
    ] {
        let world = World::new(twenty());
        let until = world.now() + Duration::from_secs(200);
        let down = Fault::answer(503, "ServiceUnavailable", "an outage");
        let mut fault = down.until(until);
        fault.path = Some(path.into());
        world.cloud.fault(fault.clone());
        world.resume("c[1-20]");
        let report = world.run().await;
        assert_eq!(
            (report.up, report.failed),
            (20, 0),
            "{what}: {:#?}",
            world.history("c7")
        );
        world.cloud.heal();
        world
            .cloud
            .fault(fault.until(world.now() + Duration::from_secs(200)));
        world.suspend("c[1-20]").await;
        world.run().await;
        world.ends_well(what).await;
    }
}
