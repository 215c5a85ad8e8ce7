//! What can wait: leftovers deleted, tags written.

use std::collections::BTreeMap;
use std::time::Duration;

use azure_core::http::Method;
use futures::future::join_all;
use serde_json::json;
use slurmburst_core::error::{Error, ErrorKind, Result};
use slurmburst_core::hostlist::NodeName;
use slurmburst_core::outcome::{Machine, Outcome, Outcomes};
use slurmburst_core::provider::{Chore, Context, Leftover};

use crate::api::{self, name_in};
use crate::client::Ask;
use crate::error::NIC_RESERVED_CODE;
use crate::names::{Part, Whose, whose};
use crate::provider::AzureProvider;

/// Chores that are under way at once.
const TOGETHER: usize = 16;

impl AzureProvider {
    /// As `CloudProvider::tidy`.
    pub(crate) async fn chores(
        &self,
        cx: &Context,
        chores: &[Chore],
        nodes: Vec<NodeName>,
    ) -> Outcomes {
        let mut outcomes = Outcomes::new(nodes);
        for some in chores.chunks(TOGETHER) {
            let done = join_all(some.iter().map(|chore| async move {
                let outcome = match chore {
                    Chore::Delete(leftover) => self.delete_leftover(cx, leftover).await,
                    Chore::Tag {
                        node,
                        instance,
                        tags,
                    } => self.write_tags(cx, node, instance, tags).await,
                    other => {
                        let text = format!("this provider cannot do {other:?}");
                        Err(Error::new(ErrorKind::Unsupported, text))
                    }
                };
                (chore.node(), outcome.unwrap_or_else(Outcome::Failed))
            }))
            .await;
            for (node, outcome) in done {
                // Of several chores of a node the one that did not go well speaks.
                let bad = outcomes
                    .get(node)
                    .is_some_and(|o| matches!(o, Outcome::Failed(e) if e.cloud_code().is_some()));
                if !bad {
                    outcomes.set(node, outcome);
                }
            }
        }
        outcomes
    }

    async fn delete_leftover(&self, cx: &Context, leftover: &Leftover) -> Result<Outcome> {
        if !leftover.certain {
            let why = format!("{} is not certainly ours", leftover.id);
            return Ok(Outcome::Skipped(why));
        }
        // Checked once more: only what bears a name that we alone give, here.
        let ours = |part: Part, like: String| {
            let name = name_in(&leftover.id, &like)?;
            let (node, exact) = part.node(name, cx.cluster_id())?;
            (exact && node == leftover.node).then(|| name.to_owned())
        };
        let url = match leftover.kind.as_str() {
            "nic" => ours(Part::Nic, self.addresses.nic_id("x")).map(|n| self.addresses.nic(&n)),
            "disk" => {
                ours(Part::OsDisk, self.addresses.disk_id("x")).map(|n| self.addresses.disk(&n))
            }
            "public-ip" => ours(Part::PublicIp, self.addresses.public_ip_id("x"))
                .map(|n| self.addresses.public_ip(&n)),
            _ => None,
        };
        // Nothing of ours has such an id, so nothing of ours is left there.
        let Some(url) = url else {
            return Ok(Outcome::AlreadyDone);
        };
        let what = format!("delete the {} that {} left", leftover.kind, leftover.node);
        match self
            .client
            .ask(cx, &Ask::new(&what, Method::Delete, &url))
            .await
        {
            Ok(reply) if reply.status == 204 => Ok(Outcome::AlreadyDone),
            // The next listing tells whether it is gone.
            Ok(reply) => Ok(Outcome::Done(Machine {
                request_id: reply.request_id,
                ..Machine::default()
            })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Outcome::AlreadyDone),
            Err(error) if error.cloud_code() == Some(NIC_RESERVED_CODE) => Ok(Outcome::Waiting {
                why: "Azure keeps it for the machine that could not be created".to_owned(),
                retry_after: error.delay().unwrap_or(Duration::from_secs(180)),
            }),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn write_tags(
        &self,
        cx: &Context,
        node: &NodeName,
        instance: &str,
        tags: &BTreeMap<String, String>,
    ) -> Result<Outcome> {
        let url = self.addresses.vm(node.as_str());
        let what = format!("tag {node}");
        let vm = self.client.get(cx, &what, &url, api::vm).await?;
        if vm.vm_id != instance {
            let text = format!("{node} is another machine by now");
            return Err(Error::new(ErrorKind::NotFound, text).code("InstanceNotFound"));
        }
        if whose(&vm.tags, cx.cluster_id()) == Whose::AnotherClusters {
            let text = format!("{node} belongs to another cluster");
            return Err(Error::new(ErrorKind::Invalid, text).code("NameTaken"));
        }
        // Azure replaces all tags by those that are sent.
        let mut all = vm.tags.clone();
        all.extend(tags.clone());
        if all == vm.tags {
            return Ok(Outcome::AlreadyDone);
        }
        let body = json!({ "tags": all });
        let ask = Ask {
            body: Some(&body),
            ..Ask::new(&what, Method::Patch, &url)
        };
        let reply = self.client.ask(cx, &ask).await?;
        self.view.touch(node);
        Ok(Outcome::Done(Machine {
            instance: Some(vm.vm_id),
            address: None,
            request_id: reply.request_id,
        }))
    }
}
