//! Pages, power states that are missing, rate limits: what bounds the calls.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::Client;
use slurmburst_azure_emulator::{Clock, Cloud, Settings};

#[tokio::test]
async fn lists_come_in_pages_without_power_unless_status_only() {
    let settings = Settings {
        page_size: 4,
        ..Settings::default()
    };
    let azure = Client::new(settings).await;
    for n in 0..20 {
        azure.create(&format!("n{n}")).await;
    }
    azure.pass(88);
    let list = azure.group("Microsoft.Compute/virtualMachines");
    let refused = azure.get(&format!("{list}?$expand=instanceView")).await;
    assert_eq!(refused.status, 400);
    let filtered =
        format!("{list}?$expand=instanceView&$filter='virtualMachineScaleSet/id'%20eq%20'/x'");
    assert_eq!(azure.get(&filtered).await.status, 200);

    let all = format!(
        "/subscriptions/{}/providers/Microsoft.Compute/virtualMachines?statusOnly=true",
        azure.settings.subscription()
    );
    for (first, has_tags) in [(list.as_str(), true), (all.as_str(), false)] {
        let (mut next, mut items, mut pages) = (first.to_string(), Vec::new(), 0);
        while !next.is_empty() {
            let page = azure.get(&next).await;
            assert_eq!(page.status, 200, "{}", page.body);
            items.extend(page.body["value"].as_array().unwrap().clone());
            next = page.body["nextLink"]
                .as_str()
                .unwrap_or_default()
                .to_string();
            pages += 1;
        }
        assert_eq!((items.len(), pages), (20, 5));
        assert!(items.iter().all(|vm| vm["tags"].is_object() == has_tags));
        let views = items.iter().map(|vm| {
            vm["properties"]["instanceView"]["statuses"]
                .as_array()
                .map_or(0, Vec::len)
        });
        let with_power = views.filter(|n| *n == 2).count();
        // One in seventeen is missing.
        assert_eq!(with_power, if has_tags { 0 } else { 19 });
        assert_eq!(
            items[0]["id"].as_str().unwrap().contains("/BURST/"),
            !has_tags
        );
    }
}

#[tokio::test]
async fn limits_hold_back_and_say_how_long() {
    let azure = Client::new(Settings::default()).await;
    for n in 0..200 {
        let put = azure.create(&format!("n{n}")).await;
        assert_eq!(
            put.header("x-ms-ratelimit-remaining-subscription-writes"),
            (199 - n).to_string()
        );
        let compute = format!(
            "Microsoft.Compute/PutVMSubscriptionMaximum;{},Microsoft.Compute/PutVMResource;11",
            1499 - n
        );
        assert_eq!(put.header("x-ms-ratelimit-remaining-resource"), compute);
    }
    let refused = azure.create("n200").await;
    assert_eq!(
        (refused.status, refused.code()),
        (429, "SubscriptionRequestsThrottled")
    );
    assert_eq!(refused.header("retry-after"), "1");
    azure.pass(1);
    assert_eq!(azure.create("n200").await.status, 201);
    // One VM's own bucket: twelve and then four a minute.
    azure.pass(600);
    for _ in 0..12 {
        assert_eq!(azure.post("n1", "start").await.status, 202);
        azure.pass(2);
    }
    let refused = azure.post("n1", "start").await;
    assert_eq!(
        (refused.status, refused.code()),
        (202, ""),
        "24 s passed, so there is one more"
    );
    let refused = azure.post("n1", "start").await;
    assert_eq!(
        (refused.status, refused.code()),
        (429, "OperationNotAllowed")
    );
    assert_eq!(
        refused.body["error"]["details"][0]["code"],
        "TooManyRequests"
    );
    assert!(
        refused
            .header("x-ms-ratelimit-remaining-resource")
            .ends_with("UpdateVMResource;0")
    );
}

#[tokio::test(start_paused = true)]
async fn a_thousand_vms_take_no_real_minutes() {
    let azure = Client::of(Cloud::new(Settings::default(), Clock::tokio())).await;
    let (mut sent, mut refused) = (0, 0);
    while sent < 1000 {
        let put = azure.create(&format!("n{sent}")).await;
        if put.status == 201 {
            sent += 1;
        } else {
            refused += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    assert_eq!(refused, 800);
    tokio::time::sleep(Duration::from_secs(88)).await;
    let books = azure.cloud.books();
    assert_eq!((books.running, books.nics, books.disks), (1000, 1000, 1000));
    let last = books.up_at.values().max().unwrap().as_secs();
    assert!(
        (168..=169).contains(&last),
        "80 s of writes and 88 s of create, not {last}"
    );
}
