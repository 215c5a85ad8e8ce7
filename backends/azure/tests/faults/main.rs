//! What can go wrong with Azure, and that it ends well: after a reconcile what is
//! wanted exists, once, and runs; nothing else is left; Slurm has been told of
//! every node that cannot come up. Virtual time.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails like this"
)]

mod creates;
#[path = "../emulated/mod.rs"]
mod emulated;
mod interrupted;
mod machines;
mod storms;

use emulated::{Plan, World};
use slurmburst_azure_emulator::{Act, Debris};
use slurmburst_core::error::ErrorKind;

/// More often than the retries inside one call.
const PERSISTENT: u32 = 4;

fn twenty() -> Plan {
    Plan {
        hosts: "c[1-20]",
        ..Plan::default()
    }
}

fn answer(status: u16, code: &str, message: &str) -> Act {
    Act::Answer {
        status,
        code: code.into(),
        message: message.into(),
        retry_after: None,
    }
}

/// Accepted, and its operation fails.
fn fails_later(code: &str, message: &str, debris: Debris) -> Act {
    Act::FailOperation {
        code: code.into(),
        message: message.into(),
        debris,
    }
}

impl World {
    /// The node has failed, of this kind and for this reason, and Slurm knows.
    pub(crate) fn has_failed(&self, node: &str, kind: &str, code: &str, what: &str) {
        let told = self.history(node);
        let failed = told.iter().rev().find(|e| e.contains(" failed "));
        let failed = failed.unwrap_or_else(|| panic!("{what}: {node} has not failed: {told:#?}"));
        let says =
            failed.contains(&format!(" failed {kind}: ")) && failed.contains(&format!("({code})"));
        assert!(says, "{what}: {told:#?}");
        let wanted = match ErrorKind::from_word(kind).unwrap().has_cool_off() {
            true => format!("slurmburst: {kind} {code} azure/Standard_D2s_v5"),
            // Without a cool-off it is only forced down.
            false => String::new(),
        };
        let reason = self.reason(node);
        assert!(reason.starts_with(&wanted), "{what}: {reason:?}: {told:#?}");
    }

    /// Reconciles until every reservation and cool-off of Azure's is over, looks,
    /// takes everything down, and looks again.
    pub(crate) async fn ends_well(&self, what: &str) {
        self.cloud.heal();
        self.minutes(6).await;
        self.all_is_well(what);
        for node in self.wanted() {
            self.suspend(&node).await;
        }
        self.run().await;
        self.minutes(2).await;
        self.all_is_well(what);
        let books = self.books();
        let left = (books.vms, books.nics, books.disks);
        assert_eq!(left, (0, 0, 0), "{what}: VMs, NICs, disks");
    }
}
