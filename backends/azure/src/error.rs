//! From what Azure says to what it means: the one table.

use std::time::Duration;

use slurmburst_core::error::{Advice, Effect, Error, ErrorKind};
use slurmburst_core::provider::INSTANCE_GONE;

use crate::api::{Fault, Unreadable};

/// After a failed create Azure keeps the NIC for the VM that never was.
pub(crate) const NIC_RESERVED: Duration = Duration::from_secs(180);

/// The code of a NIC that waits for the VM that it was made for.
pub(crate) const NIC_RESERVED_CODE: &str = "NicReservedForAnotherVm";

/// Our own word for what was accepted and did not happen.
pub(crate) const OPERATION_LOST: &str = "OperationLost";

/// What came with a refusal beside its body.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refused<'a> {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) request_id: Option<&'a str>,
}

/// A refused request: nothing was done, unless the server itself was at fault.
pub(crate) fn refused(what: &str, with: &Refused<'_>, fault: &Fault) -> Error {
    let (kind, code, hint) = kind_of(with.status, fault);
    let mut error = Error::new(kind, sentence(what, with.status, fault, hint));
    let acted = with.status >= 500 || with.status == 408;
    error = error.effect(if acted { Effect::Unknown } else { Effect::None });
    error = match code {
        "" => error.code(format!("HTTP {}", with.status)),
        code => error.code(code),
    };
    if let Some(id) = with.request_id {
        error = error.request_id(id);
    }
    match with.retry_after {
        Some(after) => error.retry_after(after),
        None if code == NIC_RESERVED_CODE => error.retry_after(NIC_RESERVED),
        None => error,
    }
}

/// An accepted operation that failed. It is over, so nothing of it is under way
/// any more, and asking again would only hear the same.
pub(crate) fn failed(what: &str, fault: &Fault) -> Error {
    // As a plain refusal it would have been this.
    let (kind, code, hint) = kind_of(409, fault);
    let retry = matches!(
        Error::new(kind, "").effect(Effect::None).advice(),
        Advice::Retry(_)
    );
    let kind = if retry { ErrorKind::Unexpected } else { kind };
    Error::new(kind, sentence(what, 0, fault, hint))
        .effect(Effect::None)
        .code(code)
}

/// The same of a create or a start. What would be tried again as a refusal closes
/// this attempt and counts against no placement: once what it left is gone, the
/// node is placed anew, until its deadline.
pub(crate) fn failed_up(what: &str, fault: &Fault) -> Error {
    let (kind, code, hint) = kind_of(409, fault);
    let advice = Error::new(kind, "").effect(Effect::None).advice();
    let lost = code == OPERATION_LOST;
    if !(matches!(advice, Advice::Retry(_)) && (known(code).is_some() || lost)) {
        return failed(what, fault);
    }
    let text = format!("{} ({code}); tried again", sentence(what, 0, fault, hint));
    Error::new(ErrorKind::NotFound, text)
        .effect(Effect::None)
        .code(INSTANCE_GONE)
}

/// A body that cannot be read: the request may have acted.
pub(crate) fn unreadable(what: &str, error: &Unreadable) -> Error {
    Error::new(ErrorKind::Unexpected, format!("{what}: {}", error.0)).effect(Effect::Unknown)
}

fn sentence(what: &str, status: u16, fault: &Fault, hint: &str) -> String {
    // The innermost reason says most; a message is bounded, since it is stored.
    let message = fault
        .all()
        .into_iter()
        .rev()
        .map(|f| f.message.trim())
        .find(|m| !m.is_empty());
    let said = match message {
        Some(text) if text.chars().count() > 400 => {
            format!("{}...", text.chars().take(400).collect::<String>())
        }
        Some(text) => text.to_owned(),
        None if status > 0 => format!("HTTP {status}"),
        None => "no reason given".to_owned(),
    };
    let sep = if hint.is_empty() { "" } else { "; " };
    format!("{what}: {said}{sep}{hint}")
}

const LOGIN: &str = "the credential was refused: check auth, tenant_id and client_id, and whether its secret has expired";
const ROLE: &str = "give the identity the role of the README on the resource group; a new assignment takes some minutes to count";

/// Kind, Azure's own code, and what to do.
fn kind_of(status: u16, fault: &Fault) -> (ErrorKind, &str, &'static str) {
    let all = fault.all();
    // A wrapper's code says nothing; what it wraps does.
    let telling = all.iter().rev().find(|f| known(&f.code).is_some());
    let code = telling.map_or(fault.code.as_str(), |f| f.code.as_str());
    if all.iter().any(|f| f.code == "TooManyRequests") {
        return (ErrorKind::Throttled, "TooManyRequests", "");
    }
    if code == "OperationNotAllowed" {
        let quota = all.iter().any(|f| {
            let text = f.message.to_ascii_lowercase();
            text.contains("quota") || text.contains("exceeding approved")
        });
        return match (status, quota) {
            (429, _) => (ErrorKind::Throttled, code, ""),
            (_, true) => (ErrorKind::Quota, code, QUOTA),
            // The machine is in a state in which this cannot be done now.
            (409, false) => (ErrorKind::Conflict, code, ""),
            (_, false) => (ErrorKind::Invalid, code, ""),
        };
    }
    if let Some((kind, hint)) = known(code) {
        return (kind, code, hint);
    }
    let (kind, hint) = match status {
        401 => (ErrorKind::Auth, LOGIN),
        403 => (ErrorKind::Auth, ROLE),
        404 => (ErrorKind::NotFound, ""),
        408 => (ErrorKind::Timeout, ""),
        409 | 412 => (ErrorKind::Conflict, ""),
        429 => (ErrorKind::Throttled, ""),
        400..=499 => (ErrorKind::Invalid, ""),
        500..=599 => (ErrorKind::Unavailable, ""),
        _ => (ErrorKind::Unexpected, ""),
    };
    // An operation's unknown code says nothing of conflicts.
    (kind, code, hint)
}

const QUOTA: &str =
    "ask for more under Usage + quotas in the portal, or add a placement of another size or region";

/// The table. Read it by kind.
fn known(code: &str) -> Option<(ErrorKind, &'static str)> {
    Some(match code {
        "AllocationFailed"
        | "ZonalAllocationFailed"
        | "OverconstrainedAllocationRequest"
        | "OverconstrainedZonalAllocationRequest"
        | "AllocationFailure"
        | "CapacityReservationGroupFull"
        | "SkuNotAvailable" => (
            ErrorKind::Capacity,
            "add a placement of another zone, size or region",
        ),

        "QuotaExceeded" | "ResourceQuotaExceeded" | "PublicIPCountLimitReached" => {
            (ErrorKind::Quota, QUOTA)
        }
        "SubnetIsFull" | "SubnetsIsFull" => (
            ErrorKind::Quota,
            "the subnet has no free address: use a larger one",
        ),

        "TooManyRequests" | "SubscriptionRequestsThrottled" | "ResourceRequestsThrottled" => {
            (ErrorKind::Throttled, "")
        }

        "AuthenticationFailed"
        | "ExpiredAuthenticationToken"
        | "InvalidAuthenticationToken"
        | "InvalidAuthenticationTokenTenant"
        | "InvalidAuthenticationTokenAudience" => (ErrorKind::Auth, LOGIN),
        "AuthorizationFailed" | "LinkedAuthorizationFailed" | "AuthorizationPermissionMismatch" => {
            (ErrorKind::Auth, ROLE)
        }
        "ReadOnlyDisabledSubscription" => (ErrorKind::Auth, "the subscription is disabled"),
        "SubscriptionNotRegistered" | "MissingSubscriptionRegistration" => (
            ErrorKind::Auth,
            "register the subscription: az provider register --namespace Microsoft.Compute, and Microsoft.Network",
        ),
        "ScopeLocked" => (
            ErrorKind::Auth,
            "a lock is on the resource group or above it: az lock list; take it off",
        ),

        // Of the site file, not of a node: never "there is no such machine".
        "ResourceGroupNotFound" => (ErrorKind::Invalid, "check resource_group"),
        "SubscriptionNotFound" | "InvalidSubscriptionId" => (
            ErrorKind::Invalid,
            "check subscription_id, and that the identity may see it",
        ),
        "RequestDisallowedByPolicy" => (
            ErrorKind::Invalid,
            "a policy of the subscription forbids it: ask who owns it",
        ),
        "InvalidParameter"
        | "InvalidRequestContent"
        | "InvalidRequestFormat"
        | "InvalidResourceReference"
        | "InvalidResourceLocation"
        | "LinkedInvalidPropertyId"
        | "ImageNotFound"
        | "PlatformImageNotFound"
        | "GalleryImageNotFound"
        | "VMMarketplaceInvalidInput"
        | "MarketplacePurchaseEligibilityFailed"
        | "BadRequest"
        | "NoRegisteredProviderFound"
        | "InvalidApiVersionParameter" => (ErrorKind::Invalid, ""),

        "ResourceNotFound" | "NotFound" => (ErrorKind::NotFound, ""),

        "NicReservedForAnotherVm" => (
            ErrorKind::Conflict,
            "Azure keeps the NIC for 180 s after a failed create",
        ),
        "PropertyChangeNotAllowed" => (
            ErrorKind::Conflict,
            "there is a machine of this name already, and it is another",
        ),
        "NicInUse"
        | "Conflict"
        | "PreconditionFailed"
        | "AnotherOperationInProgress"
        | "AttachDiskWhileBeingDetached"
        | "OperationPreempted"
        | "InUseNetworkSecurityGroupCannotBeDeleted"
        | "ResourceGroupBeingDeleted"
        | "RetryableError"
        | "RetryableErrorDueToAnotherOperation" => (ErrorKind::Conflict, ""),

        "InternalServerError" | "ServiceUnavailable" | "ServerTimeout" | "GatewayTimeout" => {
            (ErrorKind::Unavailable, "")
        }
        // Known to be so only by its details.
        "OperationNotAllowed" => (ErrorKind::Conflict, ""),
        "OSProvisioningTimedOut"
        | "OSProvisioningClientError"
        | "VMStartTimedOut"
        | "InternalExecutionError"
        | "InternalOperationError" => (ErrorKind::Unexpected, ""),
        _ => return None,
    })
}
