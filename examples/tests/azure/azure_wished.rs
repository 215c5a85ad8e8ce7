//! `slurmburst vm`: create, delete, start, deallocate, which go through the ledger.

use std::process::Command;

use serde_json::json;

use crate::support::{SLURMBURST, at_a_terminal, err, out};
use crate::world::{CLUSTER, SIZE, World, of};

/// A Slurm that keeps every node powered down.
const OFF: &str = "#!/bin/sh
case \"$*\" in
*'show node'*) echo \"NodeName=d1 Arch=x86_64 CPUAlloc=0 CPUTot=1 State=IDLE+CLOUD+POWERED_DOWN ThreadsPerCore=1 Partitions=cloud\" ;;
--version) echo slurm 24.11.5 ;;
*) exit 1 ;;
esac
";

#[tokio::test(flavor = "multi_thread")]
async fn create_and_delete_are_wishes_and_leave_nothing() {
    let world = World::new().await;
    let (answer, code) = world.json(&["vm", "create", "c[1-2],d1,x1"]);
    assert_eq!(code, Some(1), "{answer:#}");
    let result = |node: &str| of(&answer, "nodes", node, "result").clone();
    assert_eq!(
        (result("c1"), result("c2")),
        ("done".into(), "done".into()),
        "{answer:#}"
    );
    assert_eq!(
        (result("d1"), result("x1")),
        ("refused".into(), "refused".into())
    );
    let why = of(&answer, "nodes", "d1", "why").as_str().unwrap();
    assert!(why.contains("slurmburst vm start"), "{why}");
    assert_eq!(world.cloud().books().vms, 2);
    // Once more is no second machine.
    let again = world.run(&["vm", "create", "c1"]);
    assert_eq!(
        again.status.code(),
        Some(0),
        "{}{}",
        out(&again),
        err(&again)
    );
    let books = world.cloud().books();
    assert_eq!((books.count("PUT virtualMachines"), books.vms), (2, 2));
    // It is in the books as anything else is.
    let (history, _) = world.json(&["history", "c1"]);
    let what: Vec<&str> = history["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|e| e["what"].as_str())
        .collect();
    assert_eq!(
        (what.first(), what.last()),
        (Some(&"wish-up"), Some(&"up")),
        "{history:#}"
    );

    // Nobody is there to be asked.
    let unasked = world.run(&["vm", "delete", "c[1-2]"]);
    assert_eq!(unasked.status.code(), Some(2));
    assert!(err(&unasked).contains("say --yes"), "{}", err(&unasked));
    assert_eq!(
        world.run(&["vm", "delete", "c1", "--json"]).status.code(),
        Some(2)
    );
    assert_eq!(world.cloud().books().count("DELETE"), 0);
    // Somebody is, and says no, and then yes.
    let asked = |answer: &str| {
        let mut command = Command::new(SLURMBURST);
        command.args(["vm", "delete", "c1"]).env_clear();
        command.env("SLURM_CONF", world.site.path("slurm.conf"));
        at_a_terminal(command, answer)
    };
    let no = asked("n\n");
    assert!(
        no.contains("Delete the machines of c1? [y/N]") && no.contains("nothing was done"),
        "{no}"
    );
    assert_eq!(world.cloud().books().count("DELETE"), 0);
    let yes = asked("y\n");
    assert!(yes.contains("c1     done"), "{yes}");
    assert!(
        yes.contains("vm delete [") && yes.contains("] 0 of 1, "),
        "{yes}"
    );
    let (answer, code) = world.json(&["vm", "delete", "c[1-2]", "--yes"]);
    assert_eq!(code, Some(0), "{answer:#}");
    let books = world.cloud().books();
    assert_eq!((books.vms, books.nics, books.disks), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_fails_says_why_and_leaves_nothing() {
    let world = World::new().await;
    // A converger that has something to tell a Slurm that never answers stays.
    world.site.scontrol(
        &OFF.replace("NodeName=d1", "NodeName=c3")
            .replace("+POWERED_DOWN", ""),
    );
    world.cloud().exhaust(SIZE, None);
    let (answer, code) = world.json(&["vm", "create", "c3"]);
    assert_eq!(code, Some(1), "{answer:#}");
    let why = of(&answer, "nodes", "c3", "why").as_str().unwrap();
    assert!(why.contains("AllocationFailed"), "{answer:#}");
    assert_eq!(of(&answer, "nodes", "c3", "result"), "failed");
    // What it left is cleared away; waiting for that ends the converger too.
    let (answer, code) = world.json(&["vm", "delete", "c3", "--yes"]);
    assert_eq!(code, Some(0), "{answer:#}");
    let books = world.cloud().books();
    assert_eq!((books.vms, books.nics, books.disks), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn start_and_deallocate_keep_the_machine() {
    let world = World::new().await;
    world
        .by_hand("d1", json!({ "slurmburst-cluster": CLUSTER }))
        .await;
    let (answer, code) = world.json(&["vm", "deallocate", "d1", "--yes"]);
    assert_eq!(code, Some(0), "{answer:#}");
    assert_eq!(world.power("d1"), "deallocated");
    world.site.scontrol(OFF);
    let (answer, code) = world.json(&["vm", "start", "d1"]);
    assert_eq!(
        (code, of(&answer, "nodes", "d1", "result")),
        (Some(0), &json!("done")),
        "{answer:#}"
    );
    assert_eq!(world.power("d1"), "running");
    let note = answer["notes"][0].as_str().unwrap();
    assert!(
        note.contains("scontrol update nodename=d1 state=power_up"),
        "{note}"
    );
    for (action, other) in [("delete", "deallocate"), ("create", "start")] {
        let refused = world.run(&["vm", action, "d1", "--yes"]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(
            out(&refused).contains(&format!("`slurmburst vm {other}`")),
            "{}",
            out(&refused)
        );
    }
    let books = world.cloud().books();
    assert_eq!((books.count("DELETE"), books.count("poweroff")), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_the_converger_is_at_work_for_is_left_alone() {
    let world = World::new().await;
    world
        .by_hand("d1", json!({ "slurmburst-cluster": CLUSTER }))
        .await;
    assert!(world.run(&["pause"]).status.success());
    let paused = world.run(&["vm", "start", "d1"]);
    assert_eq!(paused.status.code(), Some(1));
    assert!(
        err(&paused).contains("slurmburst unpause"),
        "{}",
        err(&paused)
    );
    // slurmctld's wish waits, and a person's restart does not come between.
    let resumed = Command::new(env!("CARGO_BIN_EXE_slurmburst-resume"))
        .arg("c1")
        .env_clear()
        .env("SLURM_CONF", world.site.path("slurm.conf"))
        .status();
    assert!(resumed.unwrap().success());
    let refused = world.run(&["vm", "restart", "c1", "--yes"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        out(&refused).contains("the converger is at work for it"),
        "{}",
        out(&refused)
    );
    // Power-downs go on in a pause: nothing is left for the converger.
    let (answer, code) = world.json(&["vm", "delete", "c1", "--yes"]);
    assert_eq!(code, Some(0), "{answer:#}");
    let books = world.cloud().books();
    assert_eq!(
        (books.count("restart"), books.count("PUT")),
        (0, 1),
        "d1 by hand"
    );
}
