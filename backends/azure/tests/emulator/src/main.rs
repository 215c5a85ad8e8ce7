//! The emulator as a program: prints one line of JSON that says where it is,
//! and runs until its input ends.

use std::io::{Read, Write};
use std::process::ExitCode;

use slurmburst_azure_emulator::{Clock, Emulator, Settings};

#[tokio::main]
async fn main() -> ExitCode {
    let (mut settings, mut speed) = (Settings::default(), 1.0);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        match (name.as_str(), value.parse::<f64>()) {
            ("--speed", Ok(times)) => speed = times,
            ("--page-size", Ok(items)) => settings.page_size = items as usize,
            ("--retry-after", Ok(seconds)) => {
                settings.retry_after = Some(seconds as u64).filter(|s| *s > 0);
            }
            _ => {
                let usage = "usage: slurmburst-azure-emulator [--speed N] [--page-size N] [--retry-after SECONDS]\n";
                let _ = std::io::stderr().write_all(usage.as_bytes());
                return ExitCode::from(2);
            }
        }
    }
    match Emulator::start(settings, Clock::wall(speed)).await {
        Ok(azure) => {
            let mut out = std::io::stdout();
            let _ = writeln!(out, "{}", azure.describe());
            let _ = out.flush();
            let wait = tokio::task::spawn_blocking(|| {
                let _ = std::io::stdin().read_to_end(&mut Vec::new());
            });
            let _ = wait.await;
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "the emulator cannot start: {error}");
            ExitCode::FAILURE
        }
    }
}
