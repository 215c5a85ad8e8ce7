//! Microsoft's own Python SDK drives the emulator, over TLS.
#![allow(clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use slurmburst_azure_emulator::{Clock, Emulator, Settings};

const PACKAGES: [&str; 2] = ["azure-mgmt-compute>=39,<40", "azure-identity>=1.27,<2"];

/// A Python with the SDK: that of `SLURMBURST_AZURE_VENV`, or one made beside
/// the test programs.
fn python() -> Result<PathBuf, String> {
    let beside = || {
        let exe = std::env::current_exe().unwrap();
        exe.ancestors().nth(3).unwrap().join("venv-azure")
    };
    let venv = std::env::var_os("SLURMBURST_AZURE_VENV").map_or_else(beside, PathBuf::from);
    let python = venv.join("bin/python");
    let has_it = || {
        let import = "import azure.mgmt.compute, azure.identity";
        succeeds(Command::new(&python).args(["-c", import]))
    };
    if has_it().is_ok() {
        return Ok(python);
    }
    succeeds(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    succeeds(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet"])
            .args(PACKAGES),
    )?;
    has_it().map(|()| python.clone())
}

fn succeeds(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!(
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        )),
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_python_sdk_drives_the_emulator() {
    let python = match python() {
        Ok(python) => python,
        Err(why) if std::env::var_os("SLURMBURST_REQUIRE_AZURE_SDK").is_some_and(|v| v == "1") => {
            panic!("the Azure SDK for Python is required but not to be had: {why}")
        }
        Err(why) => {
            eprintln!("SKIPPED: no Azure SDK for Python: {why}");
            return;
        }
    };
    let settings = Settings {
        page_size: 8,
        // The SDK would sleep for it in real seconds.
        retry_after: None,
        ..Settings::default()
    };
    let azure = Emulator::start(settings, Clock::wall(100.0)).await.unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk_flow.py");
    let status = tokio::process::Command::new(python)
        .arg(script)
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
