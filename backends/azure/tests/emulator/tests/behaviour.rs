//! The habits of Azure that the emulator keeps.
#![allow(clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Mutex};

use common::Client;
use serde_json::{Value, json};
use slurmburst_azure_emulator::{Act, Debris, Fault, Settings};

#[tokio::test]
async fn a_vm_lives_and_leaves_nothing() {
    let azure = Client::new(Settings::default()).await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&told);
    azure
        .cloud
        .on_power_state(move |vm, up| hears.lock().unwrap().push((vm.to_string(), up)));

    let put = azure.create("n1").await;
    assert_eq!(
        (put.status, &put.body["properties"]["provisioningState"]),
        (201, &json!("Creating"))
    );
    assert_eq!(put.header("location"), "");
    assert!(!put.header("x-ms-request-id").is_empty());
    assert!(put.body["properties"]["osProfile"]["customData"].is_null());
    let operation = put.header("azure-asyncoperation");
    assert!(operation.len() > 3500, "{}", operation.len());
    assert_eq!(azure.get(&operation).await.body["status"], "InProgress");
    // Verbatim or not at all.
    let other = operation.replace("&s=", "&S=");
    assert_eq!(azure.get(&other).await.status, 400);
    azure.pass(88);
    let done = azure.get(&operation).await;
    assert_eq!(
        (done.status, &done.body["status"]),
        (200, &json!("Succeeded"))
    );
    assert_eq!(
        azure.state("n1").await,
        ["ProvisioningState/succeeded", "PowerState/running"]
    );

    let off = azure.post("n1", "deallocate").await;
    assert_eq!(off.status, 202);
    let monitor = off.header("location");
    assert!(monitor.contains("monitor=true"));
    assert_eq!(azure.get(&monitor).await.status, 202);
    azure.pass(60);
    assert_eq!(azure.get(&monitor).await.status, 200);
    assert_eq!(azure.state("n1").await[1], "PowerState/deallocated");
    azure.post("n1", "start").await;
    azure.pass(30);

    let gone = azure.call("DELETE", &azure.vm("n1"), Value::Null).await;
    assert_eq!(gone.status, 202);
    azure.pass(329);
    assert_eq!(
        azure.get(&azure.vm("n1")).await.body["properties"]["provisioningState"],
        "Deleting"
    );
    azure.pass(1);
    assert_eq!(azure.get(&azure.vm("n1")).await.code(), "ResourceNotFound");
    assert_eq!(
        azure
            .call("DELETE", &azure.vm("n1"), Value::Null)
            .await
            .status,
        204
    );
    let books = azure.cloud.books();
    assert_eq!((books.vms, books.nics, books.disks), (0, 0, 0));
    assert_eq!(books.count("PUT virtualMachines"), 1);
    let news: Vec<bool> = told.lock().unwrap().iter().map(|(_, up)| *up).collect();
    assert_eq!(news, [true, false, true, false]);
}

#[tokio::test]
async fn a_failed_create_answers_200_and_leaves_debris_that_is_reserved() {
    let azure = Client::new(Settings::default()).await;
    azure.cloud.fault(
        Fault::allocation_failed()
            .on("PUT", "virtualMachines/n1")
            .times(1),
    );
    let put = azure.create("n1").await;
    azure.pass(88);
    let end = azure.get(&put.header("azure-asyncoperation")).await;
    assert_eq!((end.status, &end.body["status"]), (200, &json!("Failed")));
    assert_eq!(end.code(), "AllocationFailed");
    assert_eq!(
        azure.state("n1").await,
        ["ProvisioningState/failed/AllocationFailed"]
    );
    let books = azure.cloud.books();
    assert_eq!((books.vms, books.nics, books.disks), (1, 1, 1));

    // The VM goes within the reservation, so its NIC stays.
    azure.call("DELETE", &azure.vm("n1"), Value::Null).await;
    azure.pass(30);
    let books = azure.cloud.books();
    assert_eq!((books.vms, books.nics, books.disks), (0, 1, 0));
    let nic = azure.nic("n1-nic");
    assert!(azure.get(&nic).await.body["properties"]["virtualMachine"].is_null());
    let early = azure.call("DELETE", &nic, Value::Null).await;
    assert_eq!(
        (early.status, early.code()),
        (400, "NicReservedForAnotherVm")
    );
    // Another VM may not have it either, the same one may.
    let mut model = azure.model("n2");
    model["properties"]["networkProfile"] = json!({"networkInterfaces": [{"id": nic}]});
    assert_eq!(
        azure.call("PUT", &azure.vm("n2"), model).await.code(),
        "NicReservedForAnotherVm"
    );
    azure.pass(151);
    assert_eq!(azure.call("DELETE", &nic, Value::Null).await.status, 202);
    azure.pass(5);
    assert_eq!(azure.cloud.books().nics, 0);
}

#[tokio::test]
async fn a_failed_create_may_leave_orphans_alone() {
    let azure = Client::new(Settings::default()).await;
    azure.cloud.fault(Fault::new(Act::FailOperation {
        code: "OSProvisioningTimedOut".into(),
        message: "late".into(),
        debris: Debris::Orphans,
    }));
    azure.create("n1").await;
    azure.pass(88);
    azure.cloud.heal();
    let books = azure.cloud.books();
    assert_eq!((books.vms, books.nics, books.disks), (0, 1, 1));
    let disks = azure.get(&azure.group("Microsoft.Compute/disks")).await;
    assert_eq!(
        disks.body["value"][0]["properties"]["diskState"],
        "Unattached"
    );
    // The same node may come again at once: the NIC is reserved for it.
    assert_eq!(azure.create("n1").await.status, 201);
    azure.pass(88);
    // A failed VM that is put again is tried again.
    azure.cloud.exhaust("Standard_D2s_v5", None);
    azure.create("n2").await;
    azure.pass(88);
    assert_eq!(
        azure.state("n2").await,
        ["ProvisioningState/failed/AllocationFailed"]
    );
    azure.cloud.heal();
    assert_eq!(azure.create("n2").await.status, 200);
    azure.pass(88);
    assert_eq!(azure.state("n2").await[1], "PowerState/running");
}

#[tokio::test]
async fn one_operation_at_a_time_and_what_takes_down_preempts() {
    let azure = Client::new(Settings::default()).await;
    let put = azure.create("n1").await;
    assert_eq!(azure.post("n1", "start").await.code(), "Conflict");
    let nic = azure
        .call("DELETE", &azure.nic("n1-nic"), Value::Null)
        .await;
    assert_eq!(
        (nic.status, nic.code()),
        (409, "AnotherOperationInProgress")
    );
    assert_eq!(
        azure
            .call("DELETE", &azure.vm("n1"), Value::Null)
            .await
            .status,
        202
    );
    let end = azure.get(&put.header("azure-asyncoperation")).await;
    assert_eq!(
        (end.body["status"].as_str(), end.code()),
        (Some("Canceled"), "OperationPreempted")
    );
    // A VM that is going takes nothing but another delete.
    assert_eq!(azure.create("n1").await.code(), "OperationNotAllowed");
    assert_eq!(
        azure
            .call("DELETE", &azure.vm("n1"), Value::Null)
            .await
            .status,
        202
    );
    azure.pass(330);
    assert_eq!(azure.create("n1").await.status, 201);
    assert_eq!(azure.cloud.books().happened("n1", "create"), 2);
}

#[tokio::test]
async fn etags_and_conditions() {
    let azure = Client::new(Settings::default()).await;
    let (vm, model) = (azure.vm("n1"), azure.model("n1"));
    let once = [("if-none-match", "*")];
    let put = azure.with("PUT", &vm, &once, model.clone()).await;
    assert_eq!(
        (put.status, put.body["etag"].as_str()),
        (201, Some("\"1\""))
    );
    let twice = azure.with("PUT", &vm, &once, model.clone()).await;
    assert_eq!((twice.status, twice.code()), (412, "PreconditionFailed"));
    azure.pass(88);
    let tags = json!({"tags": {"a": "b"}});
    let patched = azure
        .with("PATCH", &vm, &[("if-match", "\"1\"")], tags.clone())
        .await;
    assert_eq!(
        (patched.status, patched.body["etag"].as_str()),
        (200, Some("\"2\""))
    );
    azure.pass(5);
    assert_eq!(
        azure
            .with("PATCH", &vm, &[("if-match", "\"1\"")], tags)
            .await
            .status,
        412
    );
    assert_eq!(azure.get(&vm).await.body["tags"], json!({"a": "b"}));
    // The same PUT again is accepted; other custom data is not.
    assert_eq!(azure.call("PUT", &vm, model.clone()).await.status, 200);
    azure.pass(5);
    let mut other = model;
    other["properties"]["osProfile"]["customData"] = json!("b3RoZXI=");
    let again = azure.call("PUT", &vm, other).await;
    assert_eq!(
        (again.status, again.code()),
        (409, "PropertyChangeNotAllowed")
    );
    assert_eq!(azure.cloud.books().rewrites["n1"], 1);
}

#[tokio::test]
async fn scripted_faults_cut_lose_and_refuse() {
    let mut azure = Client::new(Settings::default()).await;
    azure
        .cloud
        .fault(Fault::new(Act::Reset).on("PUT", "n1").times(1));
    azure
        .cloud
        .fault(Fault::new(Act::LoseReply).on("PUT", "n2").times(1));
    azure.cloud.fault(
        Fault::sku_not_available("Standard_D2s_v5", "eastus")
            .on("PUT", "n3")
            .times(1),
    );
    azure
        .cloud
        .fault(Fault::new(Act::ArmThrottle(7)).on("PUT", "n4").times(1));
    azure
        .cloud
        .fault(Fault::new(Act::PreemptOperation).on("PUT", "n5").times(1));
    let bytes = |name: &str| azure.model(name).to_string().into_bytes();
    let path = |name: &str| format!("{}?api-version=2024-07-01", azure.vm(name));
    assert!(
        azure
            .send("PUT", &path("n1"), &[], bytes("n1"))
            .await
            .is_none()
    );
    assert_eq!(azure.cloud.books().vms, 0);
    assert!(
        azure
            .send("PUT", &path("n2"), &[], bytes("n2"))
            .await
            .is_none()
    );
    assert_eq!(azure.cloud.books().vms, 1);
    assert_eq!(azure.create("n3").await.code(), "SkuNotAvailable");
    assert_eq!(azure.create("n4").await.header("retry-after"), "7");
    let put = azure.create("n5").await;
    azure.pass(88);
    assert_eq!(
        azure.get(&put.header("azure-asyncoperation")).await.body["status"],
        "Canceled"
    );

    azure.cloud.exhaust("Standard_D2s_v5", Some("2"));
    let mut zonal = azure.model("n6");
    zonal["zones"] = json!(["2"]);
    let put = azure.call("PUT", &azure.vm("n6"), zonal).await;
    azure.pass(88);
    assert_eq!(
        azure.get(&put.header("azure-asyncoperation")).await.code(),
        "ZonalAllocationFailed"
    );

    azure
        .cloud
        .forbid("Microsoft.Compute/virtualMachines/read", true);
    let all = format!(
        "/subscriptions/{}/providers/Microsoft.Compute/virtualMachines?statusOnly=true",
        azure.settings.subscription()
    );
    assert_eq!(azure.get(&all).await.code(), "AuthorizationFailed");
    assert_eq!(azure.get(&azure.vm("n6")).await.status, 200);

    azure.cloud.expire_tokens();
    let late = azure.get(&azure.vm("n6")).await;
    assert_eq!(
        (late.status, late.code()),
        (401, "ExpiredAuthenticationToken")
    );
    assert!(late.header("www-authenticate").starts_with("Bearer "));
    azure.token = azure.cloud.token();
    assert_eq!(azure.get(&azure.vm("n6")).await.status, 200);
}

#[tokio::test]
async fn quota_spot_and_static_addresses() {
    let mut settings = Settings::default();
    settings.quota.insert("standardDSv5Family".into(), 4);
    let azure = Client::new(settings).await;
    azure.create("n1").await;
    let mut spot = azure.model("s1");
    spot["properties"]["priority"] = json!("Spot");
    spot["properties"]["evictionPolicy"] = json!("Delete");
    azure.call("PUT", &azure.vm("s1"), spot).await;
    // A NIC made beforehand, with an address of its own.
    let nic = azure.nic("fixed");
    let model = json!({"location": "eastus", "tags": {"a": "b"}, "properties": {"ipConfigurations": [{"name": "ip", "properties":
        {"subnet": {"id": azure.settings.subnet_id()}, "privateIPAllocationMethod": "Static", "privateIPAddress": "10.0.7.7"}}]}});
    assert_eq!(azure.call("PUT", &nic, model.clone()).await.status, 201);
    assert_eq!(
        azure.call("PUT", &azure.nic("other"), model).await.code(),
        "PrivateIPAddressInUse"
    );
    let mut with_nic = azure.model("n2");
    with_nic["properties"]["networkProfile"] =
        json!({"networkInterfaces": [{"id": nic, "properties": {"deleteOption": "Delete"}}]});
    assert_eq!(
        azure.call("PUT", &azure.vm("n2"), with_nic).await.status,
        201
    );
    let full = azure.create("n3").await;
    assert_eq!((full.status, full.code()), (409, "OperationNotAllowed"));
    assert!(
        full.body["error"]["message"]
            .as_str()
            .unwrap()
            .contains("standardDSv5Family Cores quota")
    );
    azure.pass(88);
    assert_eq!(
        azure.call("DELETE", &nic, Value::Null).await.code(),
        "NicInUse"
    );
    assert_eq!(azure.post("s1", "simulateEviction").await.status, 204);
    azure.pass(30);
    assert_eq!(azure.get(&azure.vm("s1")).await.status, 404);
    azure.call("DELETE", &azure.vm("n2"), Value::Null).await;
    azure.pass(330);
    let books = azure.cloud.books();
    assert_eq!((books.vms, books.nics, books.disks), (1, 1, 1));
}

#[tokio::test]
async fn a_small_subnet_fills_and_frees() {
    let settings = Settings {
        subnet_prefix: "10.0.0.0/29".into(),
        ..Settings::default()
    };
    let azure = Client::new(settings).await;
    for round in 0..3 {
        for n in 0..3 {
            let put = azure.create(&format!("n{n}")).await;
            assert_eq!(put.status, 201, "round {round}: {}", put.body);
        }
        assert_eq!(azure.create("n3").await.code(), "SubnetIsFull");
        azure.pass(88);
        for n in 0..3 {
            azure
                .call("DELETE", &azure.vm(&format!("n{n}")), Value::Null)
                .await;
        }
        azure.pass(330);
    }
    assert_eq!(azure.cloud.books().nics, 0);
}
