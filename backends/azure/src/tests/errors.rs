//! The table of errors, code by code.

use std::time::Duration;

use slurmburst_core::error::{Advice, Effect, ErrorKind};

use crate::api::fault;
use crate::error::{Refused, failed, refused};

fn body(code: &str, message: &str, detail: &str) -> Vec<u8> {
    let details = match detail {
        "" => serde_json::json!([]),
        code => {
            serde_json::json!([{ "code": code, "message": "{\"operationGroup\":\"CreateVM\"}" }])
        }
    };
    let error = serde_json::json!({ "code": code, "message": message, "details": details });
    serde_json::json!({ "error": error })
        .to_string()
        .into_bytes()
}

#[test]
fn each_code_has_its_kind() {
    use ErrorKind as K;
    let quota = "Operation could not be completed as it results in exceeding approved standardDSv5Family Cores quota. Current Limit: 10, Current Usage: 8, Additional Required: 4";
    for (status, code, message, detail, kind) in [
        (409, "AllocationFailed", "", "", K::Capacity),
        (409, "ZonalAllocationFailed", "", "", K::Capacity),
        (409, "OverconstrainedAllocationRequest", "", "", K::Capacity),
        (
            409,
            "OverconstrainedZonalAllocationRequest",
            "",
            "",
            K::Capacity,
        ),
        (409, "SkuNotAvailable", "", "", K::Capacity),
        (409, "OperationNotAllowed", quota, "", K::Quota),
        (
            409,
            "OperationNotAllowed",
            "LowPriorityCores quota",
            "",
            K::Quota,
        ),
        (
            429,
            "OperationNotAllowed",
            "The server rejected the request",
            "TooManyRequests",
            K::Throttled,
        ),
        (
            409,
            "OperationNotAllowed",
            "",
            "TooManyRequests",
            K::Throttled,
        ),
        (
            409,
            "OperationNotAllowed",
            "the VM is marked for deletion",
            "",
            K::Conflict,
        ),
        (
            400,
            "OperationNotAllowed",
            "not for this size",
            "",
            K::Invalid,
        ),
        (400, "QuotaExceeded", "", "", K::Quota),
        (400, "NicReservedForAnotherVm", "", "", K::Conflict),
        (400, "NicInUse", "", "", K::Conflict),
        (409, "Conflict", "", "", K::Conflict),
        (409, "AnotherOperationInProgress", "", "", K::Conflict),
        (409, "AttachDiskWhileBeingDetached", "", "", K::Conflict),
        (409, "PropertyChangeNotAllowed", "", "", K::Conflict),
        (412, "PreconditionFailed", "", "", K::Conflict),
        (
            429,
            "RetryableErrorDueToAnotherOperation",
            "",
            "",
            K::Conflict,
        ),
        (401, "ExpiredAuthenticationToken", "", "", K::Auth),
        (401, "InvalidAuthenticationToken", "", "", K::Auth),
        (403, "AuthorizationFailed", "", "", K::Auth),
        (403, "LinkedAuthorizationFailed", "", "", K::Auth),
        (404, "ResourceGroupNotFound", "", "", K::Invalid),
        (404, "SubscriptionNotFound", "", "", K::Invalid),
        (404, "ResourceNotFound", "", "", K::NotFound),
        (404, "NotFound", "", "", K::NotFound),
        (400, "InvalidParameter", "", "", K::Invalid),
        (403, "RequestDisallowedByPolicy", "", "", K::Invalid),
        (500, "InternalServerError", "", "", K::Unavailable),
        (429, "SubscriptionRequestsThrottled", "", "", K::Throttled),
        (400, "SubnetIsFull", "", "", K::Quota),
        (
            400,
            "DeploymentFailed",
            "see details",
            "AllocationFailed",
            K::Capacity,
        ),
        (400, "NeverHeardOfIt", "", "", K::Invalid),
        (409, "NeverHeardOfIt", "", "", K::Conflict),
        (503, "NeverHeardOfIt", "", "", K::Unavailable),
        (418, "", "", "", K::Invalid),
    ] {
        let with = Refused {
            status,
            ..Refused::default()
        };
        let error = refused("create c1", &with, &fault(&body(code, message, detail)));
        assert_eq!(error.kind(), kind, "{status} {code} {message}");
        let unknown = status >= 500;
        assert_eq!(
            error.may_have_acted() == Effect::Unknown,
            unknown,
            "{status} {code}"
        );
        let shown = error.cloud_code().unwrap();
        assert!(
            [code, detail].contains(&shown) || shown == "HTTP 418",
            "{code} is shown as {shown}"
        );
        assert!(error.to_string().contains("create c1"), "{error}");
    }
}

#[test]
fn what_azure_says_of_waiting_is_kept() {
    let nic = fault(&body(
        "NicReservedForAnotherVm",
        "reserved for 180 seconds",
        "",
    ));
    let with = Refused {
        status: 400,
        ..Refused::default()
    };
    assert_eq!(
        refused("x", &with, &nic).delay(),
        Some(Duration::from_secs(180))
    );
    let after = Some(Duration::from_secs(7));
    let with = Refused {
        status: 429,
        retry_after: after,
        request_id: Some("r-7"),
    };
    let error = refused("create c1", &with, &fault(b""));
    assert_eq!(error.advice(), Advice::Retry(Duration::from_secs(7)));
    assert_eq!(
        error.to_string(),
        "throttled: create c1: HTTP 429 (HTTP 429) [request r-7]"
    );
}

#[test]
fn a_failed_operation_is_over() {
    for (code, kind) in [
        ("AllocationFailed", ErrorKind::Capacity),
        ("OperationNotAllowed", ErrorKind::Unexpected),
        ("OSProvisioningTimedOut", ErrorKind::Unexpected),
        ("OperationPreempted", ErrorKind::Unexpected),
        ("InternalExecutionError", ErrorKind::Unexpected),
        ("NeverHeardOfIt", ErrorKind::Unexpected),
        ("InvalidParameter", ErrorKind::Invalid),
    ] {
        let error = failed("create c1", &fault(&body(code, "why", "")));
        assert_eq!((error.kind(), error.cloud_code()), (kind, Some(code)));
        assert_eq!(error.may_have_acted(), Effect::None);
        assert!(
            !matches!(error.advice(), Advice::Retry(_)),
            "{code} would be asked for ever"
        );
    }
}
