//! [`Operator`]: what a person wants of a provider and slurmctld does not.

use async_trait::async_trait;

use super::{Finding, Image, ImageFilter, MachineInfo, Quota, Usual};
use crate::error::{Error, ErrorKind, Result};
use crate::hostlist::{HostSet, NodeName};
use crate::outcome::Outcomes;
use crate::policy::Group;
use crate::provider::{Context, Lifecycle, Pending};

/// What a person wants of a provider and slurmctld does not.
///
/// What the programs do too (create, start, deallocate, delete) is not here: a
/// person wishes it, as a program does, and the converger does it. So nobody
/// works against it, and a node that is brought up twice has one machine.
///
/// All but the check is optional: what a kind leaves out answers that it does not
/// offer it. Nothing here is retried or paced by a wrapper; an implementation
/// heeds the limits of its cloud by itself.
#[async_trait]
pub trait Operator: Send + Sync {
    /// Whether this provider would work for these groups: credential,
    /// permissions, network, image, size, quota. Every finding with its fix. Of
    /// each group it is shown its own placements only.
    async fn check(&self, groups: &[Group]) -> Vec<Finding>;

    /// How long it usually takes to bring a machine up and down, where that is
    /// long enough for Slurm's timeouts to matter.
    fn usual(&self, _lifecycle: Lifecycle) -> Option<Usual> {
        None
    }

    /// The machines that bear the names of these nodes, whosever they are; for
    /// `None` all that can be seen where this provider's nodes live.
    ///
    /// # Errors
    /// They could not be listed.
    async fn machines(&self, _cx: &Context, _nodes: Option<&HostSet>) -> Result<Vec<MachineInfo>> {
        Err(not_offered("to show machines"))
    }

    /// Does this to the machines of these nodes. What takes long is answered
    /// with what [`Operator::progress`] goes on with.
    async fn act(&self, _cx: &Context, action: Action, nodes: &[NodeName]) -> Outcomes {
        let error = not_offered(&format!("to {} machines", action.as_str()));
        Outcomes::failed(nodes.iter().cloned(), &error)
    }

    /// How far what [`Operator::act`] began has come.
    async fn progress(&self, _cx: &Context, pending: &[Pending]) -> Outcomes {
        let nodes = pending.iter().map(|p| p.node.clone());
        Outcomes::failed(nodes, &not_offered("to follow what it began"))
    }

    /// The images that machines can be made from.
    ///
    /// # Errors
    /// They could not be listed.
    async fn images(&self, _cx: &Context, _filter: &ImageFilter) -> Result<Vec<Image>> {
        Err(not_offered("to list images"))
    }

    /// What the account may use and does use, and what these groups would need
    /// if all their nodes were up.
    ///
    /// # Errors
    /// It could not be asked.
    async fn quota(&self, _cx: &Context, _groups: &[Group]) -> Result<Vec<Quota>> {
        Err(not_offered("to show quota"))
    }
}

/// What an operator does to a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Action {
    /// Boots it again.
    Restart,
    /// Switches it off. It is still billed.
    Stop,
    /// Marks one that was made by hand as this cluster's. One of another cluster
    /// is refused; other tags stay.
    Adopt,
}

impl Action {
    /// The word used in commands and errors.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Restart => "restart",
            Action::Stop => "stop",
            Action::Adopt => "adopt",
        }
    }
}

fn not_offered(what: &str) -> Error {
    let text = format!("this kind of provider does not offer {what}");
    Error::new(ErrorKind::Unsupported, text).code("NotOffered")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::outcome::Outcome;

    struct Bare;

    #[async_trait]
    impl Operator for Bare {
        async fn check(&self, _: &[Group]) -> Vec<Finding> {
            Vec::new()
        }
    }

    #[tokio::test]
    async fn what_is_left_out_says_so() {
        let cx = Context::within("c", Duration::from_secs(1));
        let c1 = NodeName::new("c1").unwrap();
        let said = |error: &Error| {
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(
                error
                    .message()
                    .starts_with("this kind of provider does not offer")
            );
        };
        said(&Bare.machines(&cx, None).await.unwrap_err());
        said(&Bare.images(&cx, &ImageFilter::default()).await.unwrap_err());
        said(&Bare.quota(&cx, &[]).await.unwrap_err());
        for action in [Action::Restart, Action::Stop, Action::Adopt] {
            match Bare
                .act(&cx, action, std::slice::from_ref(&c1))
                .await
                .get(&c1)
            {
                Some(Outcome::Failed(error)) => {
                    said(error);
                    assert!(error.message().contains(action.as_str()), "{error}");
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(Bare.usual(Lifecycle::CreateDelete), None);
    }
}
