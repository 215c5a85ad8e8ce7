//! How far a long-running operation has come.

use serde::Deserialize;

use super::{Fault, Unreadable, read};

/// The state of an operation. A failed one answers HTTP 200 too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Azure is at it.
    Running,
    /// It is done.
    Succeeded,
    /// It failed, or was cancelled or pushed aside by a newer one.
    Failed(Fault),
}

#[derive(Deserialize)]
struct Body {
    status: String,
    error: Option<Fault>,
}

/// Reads the body behind an `Azure-AsyncOperation` address.
pub(crate) fn operation(bytes: &[u8]) -> Result<Operation, Unreadable> {
    let body: Body = read("the operation", bytes)?;
    // What is neither of the three ends is not an end, whatever Azure calls it.
    Ok(match body.status.to_ascii_lowercase().as_str() {
        "succeeded" => Operation::Succeeded,
        end @ ("failed" | "canceled" | "cancelled") => {
            let mut fault = body.error.unwrap_or_default();
            if fault.code.is_empty() {
                // Something must stay visible.
                fault.code = if end == "failed" {
                    "OperationFailed"
                } else {
                    "OperationCanceled"
                }
                .into();
            }
            Operation::Failed(fault)
        }
        _ => Operation::Running,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_is_told_apart() {
        let read = |text: &str| operation(text.as_bytes()).unwrap();
        assert_eq!(
            read(r#"{"status":"InProgress","startTime":"x"}"#),
            Operation::Running
        );
        assert_eq!(read(r#"{"status":"Updating"}"#), Operation::Running);
        assert_eq!(read(r#"{"status":"Succeeded"}"#), Operation::Succeeded);
        let Operation::Failed(fault) = read(
            r#"{"status":"Canceled","error":{"code":"OperationPreempted","message":"newer"}}"#,
        ) else {
            panic!("not failed");
        };
        assert_eq!(fault.code, "OperationPreempted");
        let Operation::Failed(fault) = read(r#"{"status":"Failed"}"#) else {
            panic!("not failed")
        };
        assert_eq!(fault.code, "OperationFailed");
    }
}
