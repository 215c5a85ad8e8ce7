//! `max_lifetime`: written when a machine is made, told by every listing.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails like this")]

mod site;

use site::{Azure, create, cx, parse, provider};

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_tells_when_a_machines_time_is_over() {
    let azure = Azure::start().await;
    let keys = azure.at(&azure.emulator.endpoint()) + &azure.trusted() + &azure.with_secret();
    for (node, placement, lifetime_ms) in [
        ("c1", "max_lifetime = \"2h\"", Some(7_200_000)),
        ("c2", "", None),
    ] {
        let site = parse(&azure.site_file_with(&keys, placement));
        let provider = provider(&site);
        create(&cx(), &site, provider.as_ref(), node).await;
        let listing = provider.list(&cx()).await.unwrap();
        let machine = listing.instances.iter().find(|i| i.node.as_str() == node);
        let machine = machine.unwrap();
        let launched = machine.launched_ms.unwrap();
        let want = lifetime_ms.map(|span: i64| launched + span);
        assert_eq!(machine.expires_ms, want, "{machine:?}");
    }
}
