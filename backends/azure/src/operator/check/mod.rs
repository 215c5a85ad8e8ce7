//! Whether the site would work, and what to do where it would not.
//!
//! * `access`: credential, subscription, resource group, permissions.
//! * `nodes`: names, and the machines that were made by hand.
//! * `places`: sizes, images, subnets.
//!
//! It goes on behind what is wrong, but not without a credential.

mod access;
mod nodes;
mod places;

use slurmburst_core::error::Error;
use slurmburst_core::kind::{Finding, Quota};
use slurmburst_core::policy::Group;
use slurmburst_core::provider::Context;

use super::AzureOperator;
use super::sizes::made;

const QUOTA: &str = "ask for more: portal, Quotas, Compute; or `az quota update`";

impl AzureOperator {
    /// As `Operator::check`.
    pub(super) async fn findings(&self, cx: &Context, groups: &[Group]) -> Vec<Finding> {
        let mut findings = self.access(cx).await;
        if findings
            .iter()
            .any(|f| f.what == access::CREDENTIAL && f.fix.is_some())
        {
            return findings;
        }
        findings.extend(self.resource_group(cx).await);
        findings.extend(self.permissions(cx, groups).await);
        findings.extend(nodes::names(groups));
        findings.extend(self.made_by_hand(cx, groups).await);
        if made(groups).next().is_none() {
            return findings;
        }
        match self.sizes(cx, &self.regions(groups)).await {
            Ok(sizes) => {
                findings.extend(self.size_findings(groups, &sizes));
                findings.extend(match self.quotas_of(cx, groups, &sizes).await {
                    Ok(quotas) => quota(&quotas),
                    Err(e) => vec![unseen(
                        "quota",
                        &e,
                        "Microsoft.Compute/locations/usages/read",
                    )],
                });
            }
            Err(e) => findings.push(unseen("size", &e, "Microsoft.Compute/skus/read")),
        }
        findings.extend(self.images_of(cx, groups).await);
        findings.extend(self.subnets_of(cx, groups).await);
        findings
    }
}

/// What could not be looked at: a warning, since machines may be made without.
fn unseen(what: &str, error: &Error, action: &str) -> Finding {
    let fix = match error.cloud_code() {
        Some("AuthorizationFailed") => {
            format!("give the identity {action} on the subscription, for this check alone")
        }
        _ => "try again; `slurmburst check` changes nothing".to_owned(),
    };
    Finding::warning(what, format!("not looked at: {error}"), fix)
}

/// Whether the largest wish, all nodes of all groups, is allowed.
fn quota(quotas: &[Quota]) -> Vec<Finding> {
    let mut short = Vec::new();
    let mut enough = Vec::new();
    for quota in quotas {
        let (Some(wanted), Some(one)) = (quota.wanted, quota.one_node) else {
            continue;
        };
        let said = format!(
            "{} in {}: {} of {} used ({} by this cluster), {wanted} wanted with all nodes up",
            quota.title, quota.region, quota.used, quota.limit, quota.ours
        );
        if quota.limit < one {
            short.push(Finding::error(
                "quota",
                format!("{said}: not even one node"),
                QUOTA,
            ));
        } else if quota.fits() {
            enough.push(Finding::ok("quota", said));
        } else {
            short.push(Finding::warning("quota", said, QUOTA));
        }
    }
    short.extend(enough);
    short
}
