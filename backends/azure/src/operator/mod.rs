//! [`AzureOperator`]: what a person may ask of Azure.
//!
//! * `machines`: the machines, as a person wants to see them.
//! * `act`: restart, stop, adopt.
//! * `images`: what the marketplace has.
//! * `sizes` and `quota`: what is used, may be used, and would be needed.
//! * `check`: whether the site would work, a file for each part of the answer.
//!
//! It uses the provider's client and its view of the resource group, and no
//! wrapper: what Azure refuses for now is waited for here.

mod act;
mod check;
mod images;
mod machines;
mod quota;
mod sizes;

use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use slurmburst_core::error::{Advice, Effect, ErrorKind, Result};
use slurmburst_core::hostlist::{HostSet, NodeName};
use slurmburst_core::kind::{
    Action, Finding, Image, ImageFilter, MachineInfo, Operator, Quota, Usual,
};
use slurmburst_core::outcome::Outcomes;
use slurmburst_core::policy::Group;
use slurmburst_core::provider::{Context, Lifecycle, Pending};
use tokio::time::sleep;

use crate::provider::AzureProvider;

/// Requests that are under way at once.
const TOGETHER: usize = 16;

/// What the check of a site may take.
const CHECK_LIMIT: Duration = Duration::from_secs(55);

/// What a person may ask of an Azure provider.
#[derive(Debug)]
pub struct AzureOperator {
    provider: AzureProvider,
    cluster_id: String,
}

impl AzureOperator {
    /// For the machines of this cluster. Makes no call.
    pub fn new(provider: AzureProvider, cluster_id: impl Into<String>) -> AzureOperator {
        AzureOperator {
            provider,
            cluster_id: cluster_id.into(),
        }
    }
}

#[async_trait]
impl Operator for AzureOperator {
    async fn check(&self, groups: &[Group]) -> Vec<Finding> {
        let cx = Context::within(self.cluster_id.as_str(), CHECK_LIMIT);
        self.findings(&cx, groups).await
    }

    /// A create and a delete as recorded by Microsoft; the other two are
    /// experience.
    fn usual(&self, lifecycle: Lifecycle) -> Option<Usual> {
        let (up, down) = match lifecycle {
            Lifecycle::CreateDelete => (88, 330),
            Lifecycle::StartDeallocate => (60, 90),
        };
        Some(Usual {
            up: Duration::from_secs(up),
            down: Duration::from_secs(down),
        })
    }

    async fn machines(&self, cx: &Context, nodes: Option<&HostSet>) -> Result<Vec<MachineInfo>> {
        self.seen(cx, nodes).await
    }

    async fn act(&self, cx: &Context, action: Action, nodes: &[NodeName]) -> Outcomes {
        self.begin(cx, action, nodes).await
    }

    async fn progress(&self, cx: &Context, pending: &[Pending]) -> Outcomes {
        self.look(cx, pending).await
    }

    async fn images(&self, cx: &Context, filter: &ImageFilter) -> Result<Vec<Image>> {
        self.marketplace(cx, filter).await
    }

    async fn quota(&self, cx: &Context, groups: &[Group]) -> Result<Vec<Quota>> {
        self.quotas(cx, groups).await
    }
}

/// Asks, and again for as long as Azure says "not now" and the deadline allows.
async fn patiently<T, F>(cx: &Context, mut ask: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    loop {
        let error = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let later = matches!(error.kind(), ErrorKind::Throttled | ErrorKind::Conflict)
            && error.may_have_acted() == Effect::None;
        match error.advice() {
            Advice::Retry(after) if later && after < cx.remaining() => {
                sleep(after).await;
            }
            _ => return Err(error),
        }
    }
}
