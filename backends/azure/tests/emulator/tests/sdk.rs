//! Microsoft's own Python SDK drives the emulator, over TLS.
#![allow(clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use std::path::Path;

use slurmburst_azure_emulator::{Clock, Emulator, Settings};

#[tokio::test(flavor = "multi_thread")]
async fn the_official_python_sdk_drives_the_emulator() {
    let Some(venv) = std::env::var_os("SLURMBURST_AZURE_VENV") else {
        eprintln!("SKIPPED: $SLURMBURST_AZURE_VENV is not set; `tests/setup.sh python` makes it");
        return;
    };
    let settings = Settings {
        page_size: 8,
        // The SDK would sleep for it in real seconds.
        retry_after: None,
        ..Settings::default()
    };
    let azure = Emulator::start(settings, Clock::wall(100.0)).await.unwrap();
    let status = tokio::process::Command::new(Path::new(&venv).join("bin/python"))
        .arg("../sdk_flow.py")
        .arg(azure.describe().to_string())
        .env("no_proxy", "localhost,127.0.0.1")
        .status()
        .await
        .unwrap();
    assert!(status.success(), "the flow failed: {status}");
    let books = azure.cloud().books();
    assert_eq!((books.vms, books.disks), (0, 0));
    assert!(books.duplicates.is_empty());
}
