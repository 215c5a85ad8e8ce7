//! What Azure shows, looked at once for many nodes.
//!
//! A thousand nodes that are asked about one by one share a listing: whoever
//! comes while one is under way waits for it, and whoever comes just after
//! takes it as it is. What we did to a node since makes a listing too old for
//! that node.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use slurmburst_core::error::{Effect, Error, ErrorKind, Result};
use slurmburst_core::hostlist::NodeName;
use slurmburst_core::provider::Context;
use tokio::time::{Instant, timeout_at};

use crate::api::{self, Addresses, Disk, Nic, Power, Status, Vm};
use crate::client::Client;

/// How long a refusal to list the subscription is believed.
const REFUSED_FOR: Duration = Duration::from_secs(600);

/// Instance views that are under way at once.
const VIEWS: usize = 16;

/// A listing, when it was begun, and everybody's turn at it.
type Slot<T> = tokio::sync::Mutex<Option<(Instant, Arc<T>)>>;

/// By lower-case name or id: Azure does not keep to a case.
pub(crate) type Vms = HashMap<String, Vm>;
type Statuses = HashMap<String, Status>;

/// The listings.
#[derive(Debug)]
pub(crate) struct View {
    /// How old one may be for a node that we did nothing to.
    fresh: Duration,
    vms: Slot<Vms>,
    statuses: Slot<Statuses>,
    nics: Slot<Vec<Nic>>,
    refused: Mutex<Option<Instant>>,
    touched: Mutex<HashMap<NodeName, Instant>>,
}

async fn shared<T>(
    cx: &Context,
    slot: &Slot<T>,
    not_before: Instant,
    fetch: impl Future<Output = Result<T>>,
) -> Result<Arc<T>> {
    // Whoever holds it may have more time than we do.
    let Ok(mut held) = timeout_at(cx.deadline(), slot.lock()).await else {
        let error = Error::new(
            ErrorKind::Timeout,
            "the listing was not there at the deadline",
        );
        return Err(error.effect(Effect::None));
    };
    if let Some((begun, listing)) = held.as_ref()
        && *begun >= not_before
    {
        return Ok(Arc::clone(listing));
    }
    let begun = Instant::now();
    let listing = Arc::new(fetch.await?);
    *held = Some((begun, Arc::clone(&listing)));
    Ok(listing)
}

impl View {
    pub(crate) fn new(poll_interval: Duration) -> View {
        View {
            fresh: poll_interval / 5,
            vms: Slot::default(),
            statuses: Slot::default(),
            nics: Slot::default(),
            refused: Mutex::default(),
            touched: Mutex::default(),
        }
    }

    /// Something was done to the node.
    pub(crate) fn touch(&self, node: &NodeName) {
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        touched.insert(node.clone(), Instant::now());
    }

    /// How old a listing may be for these nodes.
    pub(crate) fn not_before<'a>(&self, nodes: impl Iterator<Item = &'a NodeName>) -> Instant {
        let now = Instant::now();
        let touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        let last = nodes.filter_map(|n| touched.get(n)).max();
        // Before the machine was up there was no listing either.
        let fresh = now.checked_sub(self.fresh).unwrap_or(now);
        last.map_or(fresh, |last| fresh.max(*last))
    }

    /// The resource group's machines, by lower-case name; without power states.
    pub(crate) async fn vms(
        &self,
        cx: &Context,
        at: (&Client, &Addresses),
        not_before: Instant,
    ) -> Result<Arc<Vms>> {
        let (client, addresses) = at;
        shared(cx, &self.vms, not_before, async {
            let all = client
                .all(cx, "list the machines", &addresses.vms(), api::vms)
                .await?;
            Ok(all
                .into_iter()
                .map(|vm| (vm.name.to_ascii_lowercase(), vm))
                .collect())
        })
        .await
    }

    /// The resource group's NICs.
    pub(crate) async fn nics(
        &self,
        cx: &Context,
        at: (&Client, &Addresses),
        not_before: Instant,
    ) -> Result<Arc<Vec<Nic>>> {
        let (client, addresses) = at;
        let url = addresses.nics();
        let fetch = client.all(cx, "list the network interfaces", &url, api::nics);
        shared(cx, &self.nics, not_before, fetch).await
    }

    /// The resource group's disks; not shared, since only a full listing asks.
    pub(crate) async fn disks(cx: &Context, at: (&Client, &Addresses)) -> Result<Vec<Disk>> {
        at.0.all(cx, "list the disks", &at.1.disks(), api::disks)
            .await
    }

    /// The subscription's power states, by lower-case id; nothing where we may
    /// not see the subscription.
    pub(crate) async fn statuses(
        &self,
        cx: &Context,
        at: (&Client, &Addresses),
        not_before: Instant,
    ) -> Result<Option<Arc<Statuses>>> {
        let refused = *self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.is_some_and(|at| at.elapsed() < REFUSED_FOR) {
            return Ok(None);
        }
        let (client, addresses) = at;
        let listed = shared(cx, &self.statuses, not_before, async {
            let what = "list the power states";
            let all = client
                .all(cx, what, &addresses.statuses(), api::vms)
                .await?;
            Ok(all
                .into_iter()
                .map(|vm| (vm.id.to_ascii_lowercase(), vm.status))
                .collect())
        })
        .await;
        match listed {
            Ok(statuses) => Ok(Some(statuses)),
            // The credential is good for the resource group and for no more.
            Err(error) if error.cloud_code() == Some("AuthorizationFailed") => {
                *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The power states of these machines, each asked for by itself.
    pub(crate) async fn each(
        cx: &Context,
        at: (&Client, &Addresses),
        vms: &[&Vm],
    ) -> Result<Statuses> {
        let mut all = Statuses::new();
        for some in vms.chunks(VIEWS) {
            let asked = some.iter().map(|vm| async move {
                (vm.id.to_ascii_lowercase(), status(cx, at, &vm.name).await)
            });
            for (id, status) in join_all(asked).await {
                match status {
                    Ok(status) => _ = all.insert(id, status),
                    // It went while we looked.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(all)
    }
}

/// The power state of one machine.
pub(crate) async fn status(
    cx: &Context,
    (client, addresses): (&Client, &Addresses),
    name: &str,
) -> Result<Status> {
    let what = format!("ask for the state of {name}");
    client
        .get(
            cx,
            &what,
            &addresses.instance_view(name),
            api::instance_view,
        )
        .await
}

/// Whether it is known.
pub(crate) fn is_known(power: Power) -> bool {
    power != Power::Unknown
}
