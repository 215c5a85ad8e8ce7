//! `slurmburst images`, `slurmburst quota`, and what `slurmburst check` says of Azure.

use serde_json::{Value, json};

use crate::support::out;
use crate::world::{CLUSTER, World};

#[tokio::test(flavor = "multi_thread")]
async fn images_and_quota_answer() {
    let world = World::new().await;
    let (images, code) = world.json(&[
        "images",
        "--publisher",
        "almalinux",
        "--offer",
        "almalinux-hpc",
    ]);
    assert_eq!(code, Some(0));
    assert_eq!(
        images["images"],
        json!([{
            "provider": "cloud", "publisher": "almalinux", "offer": "almalinux-hpc", "sku": "9-hpc-gen2",
            "version": "9.6.2025070101", "image": "almalinux:almalinux-hpc:9-hpc-gen2:latest",
        }])
    );
    let publishers = out(&world.run(&["images"]));
    assert!(
        publishers.starts_with("PUBLISHER") && publishers.contains("Canonical"),
        "{publishers}"
    );

    world
        .cloud()
        .change(|s| _ = s.quota.insert("standardDSv5Family".into(), 12));
    let family = |answer: &Value| {
        let all = answer["quotas"].as_array().unwrap();
        all.iter()
            .find(|q| q["name"] == "standardDSv5Family")
            .unwrap()
            .clone()
    };
    let (quota, code) = world.json(&["quota"]);
    assert_eq!((code, &quota["fits"]), (Some(0), &json!(true)), "{quota:#}");
    let of = family(&quota);
    assert_eq!(
        (&of["used"], &of["limit"], &of["wanted"]),
        (&json!(0), &json!(12), &json!(12))
    );
    world.by_hand("web1", json!({})).await;
    let (quota, code) = world.json(&["quota"]);
    assert_eq!(
        (code, &family(&quota)["fits"]),
        (Some(1), &json!(false)),
        "{quota:#}"
    );
    let table = out(&world.run(&["quota"]));
    assert!(
        table
            .lines()
            .any(|l| l.contains("standardDSv5Family") && l.contains(" NO ")),
        "{table}"
    );
    assert!(!table.contains("standardBSFamily"));
    assert!(out(&world.run(&["quota", "--all"])).contains("standardBSFamily"));
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_what_azure_would_say() {
    let world = World::new().await;
    for node in ["d1", "d2"] {
        world
            .by_hand(node, json!({ "slurmburst-cluster": CLUSTER }))
            .await;
    }
    let findings = |world: &World| -> Vec<(String, String, String)> {
        let (checked, _) = world.json(&["check"]);
        let all = checked["findings"].as_array().unwrap().iter();
        let text = |f: &Value, key: &str| f[key].as_str().unwrap_or_default().to_owned();
        let ours = all.filter(|f| text(f, "what").starts_with("provider cloud: "));
        ours.map(|f| {
            (
                text(f, "what").replace("provider cloud: ", ""),
                text(f, "level"),
                text(f, "fix"),
            )
        })
        .collect()
    };
    let bad = |all: &[(String, String, String)]| -> Vec<(String, String)> {
        let bad = all.iter().filter(|(_, level, _)| level != "ok");
        bad.map(|(what, _, fix)| (what.clone(), fix.clone()))
            .collect()
    };
    let all = findings(&world);
    for what in [
        "credential",
        "subscription",
        "permissions",
        "size",
        "image",
        "subnet",
        "quota",
        "ResumeTimeout",
        "SuspendTimeout",
    ] {
        assert!(
            all.iter().any(|(w, level, _)| w == what && level == "ok"),
            "{what}: {all:#?}"
        );
    }
    // d3 is missing, and that is all.
    let wrong = bad(&all);
    assert!(
        matches!(wrong.as_slice(), [(what, fix)] if what == "machines" && fix.contains("make them")),
        "{wrong:?}"
    );

    world.by_hand("d3", json!({})).await;
    let conf = std::fs::read_to_string(world.site.path("slurm.conf")).unwrap();
    let conf = conf
        .replace("ResumeTimeout=600", "ResumeTimeout=60")
        .replace("SuspendTimeout=360", "SuspendTimeout=30");
    world.site.write("slurm.conf", &conf);
    let wrong = bad(&findings(&world));
    for (what, says) in [
        ("machines", "slurmburst vm adopt 'd3'"),
        ("ResumeTimeout", "ResumeTimeout=600"),
        ("SuspendTimeout", "SuspendTimeout=360"),
    ] {
        assert!(
            wrong.iter().any(|(w, fix)| w == what && fix.contains(says)),
            "{what}: {wrong:#?}"
        );
    }
}
