//! The Azure CLI drives the emulator, over TLS: only where somebody asks for it,
//! since it is 731 MB.
#![allow(clippy::print_stderr, clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use slurmburst_azure_emulator::{Act, Clock, Debris, Emulator, Fault, Settings};

#[tokio::test(flavor = "multi_thread")]
async fn the_azure_cli_drives_the_emulator() {
    let Some(venv) = std::env::var_os("SLURMBURST_AZ_VENV") else {
        eprintln!("SKIPPED: $SLURMBURST_AZ_VENV is not set; `tests/setup.sh az` makes it, 731 MB");
        return;
    };
    let settings = Settings {
        // The CLI would sleep for it in real seconds.
        retry_after: None,
        // It keeps its token for as long as it was told, in real time.
        token_life: Duration::from_secs(1_000_000),
        page_size: 1,
        ..Settings::default()
    };
    let azure = Emulator::start(settings, Clock::wall(100.0)).await.unwrap();
    let no_room = Act::FailOperation {
        code: "AllocationFailed".into(),
        message: "no room".into(),
        debris: Debris::Vm,
    };
    let faults = [
        Fault::new(no_room).on("PUT", "virtualMachines/c2"),
        Fault::new(Act::ArmThrottle(1)).on("POST", "virtualMachines/c1/deallocate"),
    ];
    for fault in faults {
        azure.cloud().fault(fault.times(1));
    }
    let settings = azure.cloud().settings();
    let (client, secret) = settings.clients.first_key_value().unwrap();
    let status = tokio::process::Command::new("bash")
        .arg("../az_flow.sh")
        .arg(Path::new(&venv).join("bin/az"))
        .env("ENDPOINT", azure.endpoint())
        .env("SUBSCRIPTION", settings.subscription())
        .env("GROUP", &settings.group)
        .env("LOCATION", &settings.location)
        .env("SUBNET", settings.subnet_id())
        .env("TENANT", &settings.tenant)
        .env("CLIENT", client)
        .env("SECRET", secret)
        .env("REQUESTS_CA_BUNDLE", azure.ca_file())
        .env("AZURE_CONFIG_DIR", azure.dir().join("dotazure"))
        .env("no_proxy", "localhost,127.0.0.1")
        .status()
        .await
        .unwrap();
    assert!(status.success(), "the flow failed: {status}");
    let books = azure.cloud().books();
    assert_eq!((books.vms, books.nics, books.disks), (0, 0, 0));
    for (what, times) in [
        ("PUT virtualMachines", 2),
        ("POST virtualMachines/poweroff", 1),
        // Once refused.
        ("POST virtualMachines/deallocate", 2),
        ("POST virtualMachines/start", 1),
        ("POST virtualMachines/restart", 1),
        ("DELETE virtualMachines", 2),
    ] {
        let called = books.calls.get(what).copied().unwrap_or(0);
        assert_eq!(called, times, "{what}: {:?}", books.calls);
    }
    let throttled = books.statuses.get(&429).copied();
    assert_eq!(throttled, Some(1), "{:?}", books.statuses);
}
