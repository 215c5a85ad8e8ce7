//! What the README says is so: its site files are good, its roles suffice.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails like this")]

mod site;

use serde_json::Value;
use slurmburst_core::outcome::Outcome;
use slurmburst_core::provider::{CloudProvider, DownMode};

use site::{Azure, create, cx, down, parse, quick, settle};

const README: &str = include_str!("../README.md");

/// Its blocks of this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let after = README.split(fence.as_str()).skip(1);
    after
        .map(|text| text.split("```").next().unwrap())
        .collect()
}

#[tokio::test]
async fn its_site_files_are_good() {
    let azure = Azure::start().await;
    azure.file("admin.pub", "ssh-ed25519 AAAA admin\n", 0o644);
    azure.file("cloud-init.yaml", blocks("yaml")[0], 0o644);
    let mut files = blocks("toml");
    assert_eq!(files.len(), 2);
    // And the one among the examples, where they are.
    let example = std::fs::read_to_string("../../examples/sites/azure.toml").unwrap_or_default();
    files.extend((!example.is_empty()).then_some(example.as_str()));
    for text in files {
        let here = format!("{}/", azure.dir.path().display());
        let site = parse(&text.replace("/etc/slurm/", &here));
        assert_eq!(site.cluster_id, "hpc1-7f3a9c");
    }
}

/// The actions of its roles, by their names.
fn actions(role: &str) -> Vec<String> {
    let roles = blocks("json").into_iter();
    let mut roles = roles.map(|text| serde_json::from_str::<Value>(text).unwrap());
    let role = roles.find(|r| r["Name"] == role).unwrap();
    let actions = role["Actions"].as_array().unwrap().iter();
    actions.map(|a| a.as_str().unwrap().to_owned()).collect()
}

/// A machine made, listed and deleted, and one that there is no room for.
async fn a_life(azure: &Azure) {
    let keys = azure.at(&azure.emulator.endpoint()) + &azure.trusted() + &azure.with_secret();
    let site = azure.site(&keys);
    let provider = quick(&site);
    let made = create(&cx(), &site, &provider, "c1").await;
    let made = settle(&provider, made).await;
    assert!(matches!(made, Outcome::Done(_)), "{made:?}");
    let listing = provider.list(&cx()).await.unwrap();
    assert!(listing.is_complete(), "{:?}", listing.gaps);
    assert_eq!(listing.instances.len(), 1);
    let off = down(&provider, "c1", DownMode::Deallocate).await;
    assert!(off.is_success(), "{off:?}");
    let gone = down(&provider, "c1", DownMode::Terminate).await;
    assert!(gone.is_success(), "{gone:?}");

    azure.emulator.cloud().exhaust("Standard_D2s_v5", None);
    let made = create(&cx(), &site, &provider, "c2").await;
    let Outcome::Failed(error) = settle(&provider, made).await else {
        panic!("there was room");
    };
    assert_eq!(error.cloud_code(), Some("AllocationFailed"), "{error}");
    let gone = down(&provider, "c2", DownMode::Terminate).await;
    assert!(gone.is_success(), "{gone:?}");
    assert_eq!(azure.emulator.cloud().books().vms, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_roles_suffice_and_nothing_is_refused() {
    let azure = Azure::start().await;
    let cloud = azure.emulator.cloud();
    cloud.permit_only(&actions("slurmburst nodes"), &actions("slurmburst view"));
    a_life(&azure).await;
    let refused = cloud.books().refusals.get("AuthorizationFailed").copied();
    assert_eq!(refused, None, "{:?}", cloud.books().refusals);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_first_role_alone_suffices() {
    let azure = Azure::start().await;
    let cloud = azure.emulator.cloud();
    cloud.permit_only(&actions("slurmburst nodes"), &[]);
    a_life(&azure).await;
    assert!(cloud.books().refusals["AuthorizationFailed"] > 0);
}
