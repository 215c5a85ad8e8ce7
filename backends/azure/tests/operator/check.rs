//! Whether a site would work, and what is said where it would not.

use serde_json::json;
use slurmburst_azure::{AzureOperator, AzureProvider};
use slurmburst_azure_emulator::Settings;
use slurmburst_core::kind::{Finding, Level, Operator};
use slurmburst_core::provider::Lifecycle;

use crate::world::{CLUSTER, World};

fn found<'a>(findings: &'a [Finding], what: &str) -> Vec<(Level, &'a str, &'a str)> {
    let of = findings.iter().filter(|f| f.what == what);
    of.map(|f| {
        (
            f.level,
            f.found.as_str(),
            f.fix.as_deref().unwrap_or_default(),
        )
    })
    .collect()
}

/// The one finding about this, which is bad.
fn bad(findings: &[Finding], what: &str, level: Level, says: &str, fix: &str) {
    match found(findings, what).as_slice() {
        [(l, text, how), ..] if *l == level && text.contains(says) && how.contains(fix) => {}
        other => panic!("{what}: {level:?} {says:?} {fix:?}: {other:?}\n{findings:#?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_would_work_has_nothing_to_mend() {
    let world = World::new(Settings::default()).await;
    world
        .by_hand("d1", json!({ "slurmburst-cluster": CLUSTER }))
        .await;
    let groups = [
        world.group(
            "c[1-100]",
            world.placement(Lifecycle::CreateDelete, json!({})),
        ),
        world.group("d1", world.placement(Lifecycle::StartDeallocate, json!({}))),
    ];
    let findings = world.operator().check(&groups).await;
    assert!(
        findings.iter().all(|f| f.level == Level::Ok),
        "{findings:#?}"
    );
    for what in [
        "credential",
        "subscription",
        "resource group",
        "permissions",
        "node names",
        "machines",
        "size",
        "quota",
        "image",
        "subnet",
    ] {
        assert!(!found(&findings, what).is_empty(), "{what}: {findings:#?}");
    }
    // Nothing was changed by looking.
    let books = world.cloud().books();
    assert_eq!((books.classes.get("writes"), books.vms), (Some(&1), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_credential_nothing_else_is_asked() {
    let world = World::new(Settings::default()).await;
    std::fs::write(world.dir.path().join("secret"), "wrong").unwrap();
    let findings = world.operator().check(&[]).await;
    assert_eq!(findings.len(), 1, "{findings:#?}");
    bad(&findings, "credential", Level::Error, "", "[provider.here]");
    assert!(!findings[0].found.contains("wrong"));
    let mut config = world.config();
    config.endpoint = "https://localhost:1".into();
    config.authority_host = "https://localhost:1".into();
    let operator = AzureOperator::new(AzureProvider::new(config), CLUSTER);
    bad(
        &operator.check(&[]).await,
        "credential",
        Level::Error,
        "",
        "proxy or ca_bundle",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_finding_has_its_fix() {
    let settings = Settings {
        subnet_prefix: "10.0.0.0/28".into(),
        quota: [
            ("standardDSv5Family".to_owned(), 12),
            ("standardHBrsv3Family".to_owned(), 100),
        ]
        .into(),
        ..Settings::default()
    };
    let world = World::new(settings).await;
    world.by_hand("d1", json!({})).await;
    world
        .by_hand("d2", json!({ "slurmburst-cluster": "them-1" }))
        .await;
    let cloud = world.cloud();
    cloud.forbid("microsoft.compute/virtualmachines/delete", false);
    cloud.forbid("microsoft.compute/virtualmachines/poweroff/action", false);
    cloud.forbid("microsoft.network/publicipaddresses/write", false);
    cloud.forbid("microsoft.network/networksecuritygroups/join/action", false);
    let create = |change| world.placement(Lifecycle::CreateDelete, change);
    let settings = cloud.settings();
    let guard = settings.id("Microsoft.Network/networkSecurityGroups", "guard");
    let mut zone = create(json!({ "public_ip": true, "network_security_group_id": guard }));
    zone.template.size = Some("Standard_HB120rs_v3".into());
    zone.template.zone = Some("2".into());
    let mut unknown =
        create(json!({ "image": { "urn": ["resf", "rocky-9", "rocky-9-gen2", "latest"] } }));
    unknown.template.size = Some("Standard_D4s_v9".into());
    let no_image = create(json!({
        "image": { "urn": ["almalinux", "almalinux-hpc", "9-hpc-gen2", "1.2.3"] },
        "subnet_id": format!("{}x", world.cloud().settings().subnet_id()),
    }));
    let groups = [
        world.group("c[1-20]", create(json!({}))),
        world.group("z1", zone),
        world.group("u1", unknown),
        world.group("n_1,i1", no_image),
        world.group(
            "d[1-3]",
            world.placement(Lifecycle::StartDeallocate, json!({})),
        ),
    ];
    let findings = world.operator().check(&groups).await;
    let bad = |what, level, says, fix| bad(&findings, what, level, says, fix);
    bad(
        "permissions",
        Level::Error,
        "virtualMachines/delete",
        "virtualMachines/delete",
    );
    bad_in(&findings, "permissions", "publicIPAddresses/write");
    bad_in(
        &findings,
        "permissions",
        "networkSecurityGroups/join/action there",
    );
    let all = found(&findings, "permissions");
    assert!(
        all.iter()
            .any(|(l, text, _)| *l == Level::Warning && text.contains("powerOff")),
        "{all:?}"
    );
    bad("node names", Level::Error, "n_1", "rename");
    let machines = found(&findings, "machines");
    for (says, fix) in [
        ("d3: no such VM", "make them"),
        ("d2: tagged by another", "of its own"),
        ("d1: not adopted", "slurmburst vm adopt 'd1'"),
    ] {
        assert!(
            machines
                .iter()
                .any(|(_, text, how)| text.contains(says) && how.contains(fix)),
            "{says}: {machines:?}"
        );
    }
    let sizes = found(&findings, "size");
    for says in [
        "not in zone 2, only in 1",
        "Standard_D4s_v9 is not offered in eastus",
    ] {
        assert!(
            sizes
                .iter()
                .any(|(_, text, how)| text.contains(says) && how.contains("az vm list-skus")),
            "{says}: {sizes:?}"
        );
    }
    let quotas = found(&findings, "quota");
    assert!(
        quotas
            .iter()
            .any(|(l, text, _)| *l == Level::Warning && text.contains("DSv5")),
        "{quotas:?}"
    );
    assert!(
        quotas
            .iter()
            .any(|(l, text, _)| *l == Level::Error && text.contains("HBrsv3")),
        "{quotas:?}"
    );
    let images = found(&findings, "image");
    for (says, fix) in [
        ("sold under a plan", "plan = { name"),
        (
            "1.2.3 is not offered",
            "slurmburst images --publisher almalinux",
        ),
    ] {
        assert!(
            images
                .iter()
                .any(|(_, text, how)| text.contains(says) && how.contains(fix)),
            "{says}: {images:?}"
        );
    }
    let subnets = found(&findings, "subnet");
    for (level, fix) in [
        (Level::Warning, "larger subnet"),
        (Level::Error, "subnet_id"),
    ] {
        assert!(
            subnets
                .iter()
                .any(|(l, _, how)| *l == level && how.contains(fix)),
            "{fix}: {subnets:?}"
        );
    }
    for finding in &findings {
        assert_eq!(
            finding.level == Level::Ok,
            finding.fix.is_none(),
            "{finding:?}"
        );
    }
    // What the role does not let us look at is said, and is no error.
    cloud.forbid("microsoft.compute/skus", false);
    let mut config = world.config();
    config.resource_group = "none".into();
    let operator = AzureOperator::new(AzureProvider::new(config), CLUSTER);
    let elsewhere = operator.check(&groups[..1]).await;
    bad_in(&elsewhere, "resource group", "az group create --name none");
    bad_in(&elsewhere, "size", "Microsoft.Compute/skus/read");
}

fn bad_in(findings: &[Finding], what: &str, fix: &str) {
    let all = found(findings, what);
    assert!(
        all.iter().any(|(_, _, how)| how.contains(fix)),
        "{what}: {findings:#?}"
    );
}
