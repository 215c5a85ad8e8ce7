use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::{call_nodes, chore_nodes};
use crate::error::Result;
use crate::hostlist::NodeName;
use crate::outcome::{Outcome, Outcomes};
use crate::provider::{
    Call, Capabilities, Chore, CloudProvider, Context, Listing, Pending, Placement, PowerDown,
    Rendered,
};

/// Looks, and changes nothing: what would change something is skipped.
#[derive(Debug)]
pub struct DryRun {
    inner: Arc<dyn CloudProvider>,
}

impl DryRun {
    /// A dry run of `inner`.
    pub fn new(inner: Arc<dyn CloudProvider>) -> DryRun {
        DryRun { inner }
    }
}

impl fmt::Display for DryRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DryRun({})", self.inner)
    }
}

fn skipped(nodes: impl IntoIterator<Item = NodeName>) -> Outcomes {
    Outcomes::all(nodes, &Outcome::Skipped("dry run".into()))
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl CloudProvider for DryRun {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn list(&self, cx: &Context) -> Result<Listing> {
        self.inner.list(cx).await
    }

    async fn power_up(&self, _cx: &Context, calls: &[Call]) -> Outcomes {
        skipped(call_nodes(calls))
    }

    async fn power_down(&self, _cx: &Context, batch: &[PowerDown]) -> Outcomes {
        skipped(batch.iter().map(|d| d.node.clone()))
    }

    async fn poll(&self, cx: &Context, pending: &[Pending]) -> Outcomes {
        self.inner.poll(cx, pending).await
    }

    async fn tidy(&self, _cx: &Context, chores: &[Chore]) -> Outcomes {
        skipped(chore_nodes(chores))
    }

    fn render(&self, placement: &Placement, nodes: &[NodeName]) -> Result<Vec<Rendered>> {
        self.inner.render(placement, nodes)
    }
}
