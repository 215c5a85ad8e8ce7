//! `slurmburst vm`: list, show, adopt, restart, stop.

use serde_json::{Value, json};

use crate::support::{err, out};
use crate::world::{CLUSTER, SIZE, World, of};

/// A Slurm that shows d1 with a job and d2 without, and answers nothing else.
const BUSY: &str = "#!/bin/sh
case \"$*\" in
*'show node'*)
    for node in d1:ALLOCATED+CLOUD d2:IDLE+CLOUD; do
        echo \"NodeName=${node%:*} Arch=x86_64 CPUAlloc=0 CPUTot=1 State=${node#*:} ThreadsPerCore=1 Partitions=cloud\"
    done ;;
--version) echo slurm 24.11.5 ;;
*) exit 1 ;;
esac
";

#[tokio::test(flavor = "multi_thread")]
async fn list_and_show_tell_whose_machines_there_are() {
    let world = World::new().await;
    world
        .by_hand(
            "d1",
            json!({ "slurmburst-cluster": CLUSTER, "team": "physics" }),
        )
        .await;
    world
        .by_hand("d2", json!({ "slurmburst-cluster": "them-1" }))
        .await;
    world.by_hand("web1", json!({})).await;
    let (all, code) = world.json(&["vm", "list"]);
    assert_eq!((code, &all["problems"]), (Some(0), &json!([])), "{all:#}");
    assert_eq!(all["machines"].as_array().unwrap().len(), 3);
    let one = |node: &str, key: &str| of(&all, "machines", node, key).clone();
    assert_eq!(
        (one("d1", "owner"), one("d2", "owner"), one("web1", "owner")),
        ("adopted".into(), "another-cluster".into(), "nobody".into())
    );
    assert_eq!(
        (one("d1", "in_site"), one("web1", "in_site")),
        (true.into(), false.into())
    );
    for (key, value) in [
        ("provider", json!("cloud")),
        ("state", json!("running")),
        ("power", json!("running")),
        ("provisioning", json!("Succeeded")),
        ("size", json!(SIZE)),
        ("region", json!("eastus")),
        ("zone", Value::Null),
        ("market", json!("on-demand")),
        ("cluster", json!(CLUSTER)),
        (
            "tags",
            json!({ "slurmburst-cluster": CLUSTER, "team": "physics" }),
        ),
    ] {
        assert_eq!(one("d1", key), value, "{key}");
    }
    assert!(
        one("d1", "addresses")[0].is_string()
            && one("d1", "created_ms").is_i64()
            && one("d1", "id").is_string()
    );

    let table = out(&world.run(&["vm", "list"]));
    let line = |node: &str| {
        table
            .lines()
            .find(|l| l.starts_with(node))
            .unwrap_or_else(|| panic!("{table}"))
    };
    assert!(
        table.starts_with("NODE") && line("d1").contains("adopted"),
        "{table}"
    );
    assert!(
        line("d2").contains("another-cluster") && line("d2").ends_with("of them-1"),
        "{table}"
    );
    let (one, _) = world.json(&["vm", "list", "d1"]);
    assert_eq!(one["machines"].as_array().unwrap().len(), 1);

    let shown = world.run(&["vm", "show", "d[1,3]"]);
    assert_eq!(shown.status.code(), Some(1));
    let text = out(&shown);
    for says in [
        "d1\n",
        "    owner         adopted (hpc1-7f3a9c)",
        "team=physics",
        "no machine: d3",
    ] {
        assert!(text.contains(says), "{says}: {text}");
    }
    assert_eq!(world.run(&["vm", "show", "d1"]).status.code(), Some(0));
    assert_eq!(world.run(&["vm", "list", "d[3-1]"]).status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn adopt_shows_what_it_found_and_refuses_another_clusters() {
    let world = World::new().await;
    world.by_hand("d1", json!({ "team": "physics" })).await;
    world
        .by_hand("d2", json!({ "slurmburst-cluster": "them-1" }))
        .await;
    let (answer, code) = world.json(&["vm", "adopt", "d[1-3],c1,x1"]);
    assert_eq!(code, Some(1), "{answer:#}");
    let of = |node: &str, key: &str| of(&answer, "nodes", node, key).clone();
    assert_eq!(of("d1", "result"), "done");
    assert_eq!(
        (of("d2", "result"), of("d2", "error")["code"].clone()),
        ("failed".into(), "NameTaken".into())
    );
    for (node, why) in [
        ("d3", "no machine"),
        ("c1", "start-deallocate"),
        ("x1", "in no [[nodes]] group"),
    ] {
        assert_eq!(of(node, "result"), "refused");
        assert!(
            of(node, "why").as_str().unwrap().contains(why),
            "{node}: {answer:#}"
        );
    }
    let (listed, _) = world.json(&["vm", "list"]);
    let tags = |node: &str| crate::world::of(&listed, "machines", node, "tags").clone();
    assert_eq!(
        tags("d1"),
        json!({ "team": "physics", "slurmburst-cluster": CLUSTER, "slurmburst-node": "d1", "slurmburst-origin": "adopted" })
    );
    assert_eq!(tags("d2"), json!({ "slurmburst-cluster": "them-1" }));
    assert_eq!(world.cloud().books().count("PATCH virtualMachines"), 1);

    let again = world.run(&["vm", "adopt", "d1"]);
    assert_eq!(again.status.code(), Some(0), "{}", err(&again));
    let text = out(&again);
    assert!(
        text.contains("Standard_D4s_v5") && text.contains("already so"),
        "{text}"
    );
    let log = std::fs::read_to_string(world.site.path("log")).unwrap();
    assert!(log.contains("vm adopt d[1-2]"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_wants_it_said_that_it_stays_billed() {
    let world = World::new().await;
    world
        .by_hand("d1", json!({ "slurmburst-cluster": CLUSTER }))
        .await;
    let refused = world.run(&["vm", "stop", "d1", "--yes"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = err(&refused);
    assert!(
        said.contains("billed as before") && said.contains("vm deallocate d1"),
        "{said}"
    );
    assert_eq!(world.power("d1"), "running");
    let (answer, code) = world.json(&["vm", "stop", "d1", "--still-billed", "--yes"]);
    assert_eq!(
        (code, of(&answer, "nodes", "d1", "result")),
        (Some(0), &json!("done")),
        "{answer:#}"
    );
    assert_eq!(world.power("d1"), "stopped");
    let (listed, _) = world.json(&["vm", "list", "d1"]);
    assert_eq!(of(&listed, "machines", "d1", "state"), "stopped-billed");
}

#[tokio::test(flavor = "multi_thread")]
async fn restart_asks_where_slurm_uses_the_node() {
    let world = World::new().await;
    for node in ["d1", "d2"] {
        world
            .by_hand(node, json!({ "slurmburst-cluster": CLUSTER }))
            .await;
    }
    // Slurm does not answer: that counts as a doubt.
    let silent = world.run(&["vm", "restart", "d1"]);
    assert_eq!(silent.status.code(), Some(2));
    assert!(
        err(&silent).contains("does not say whether it uses d1"),
        "{}",
        err(&silent)
    );
    world.site.scontrol(BUSY);
    let busy = world.run(&["vm", "restart", "d[1-2]"]);
    assert_eq!(busy.status.code(), Some(2));
    assert!(
        err(&busy).contains("Slurm uses d1: jobs there will die"),
        "{}",
        err(&busy)
    );
    assert_eq!(world.cloud().books().count("restart"), 0);
    let (answer, code) = world.json(&["vm", "restart", "d2"]);
    assert_eq!(
        (code, of(&answer, "nodes", "d2", "result")),
        (Some(0), &json!("done")),
        "{answer:#}"
    );
    let (answer, code) = world.json(&["vm", "restart", "d1", "--yes", "--no-wait"]);
    assert_eq!(
        (code, of(&answer, "nodes", "d1", "result")),
        (Some(0), &json!("under-way")),
        "{answer:#}"
    );
    assert_eq!(world.cloud().books().count("restart"), 2);
}
