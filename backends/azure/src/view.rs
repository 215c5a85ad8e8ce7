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

/// How long the power state of a machine is believed that was asked for by
/// itself: that costs a request each, of which there are 25 a second.
const BELIEVED: Duration = Duration::from_secs(120);

/// How long a page that was asked for is worth waiting with the next. Compute
/// lets lists be asked for 300 times a minute, and two of them are needed.
const PAGE: Duration = Duration::from_millis(400);

/// A listing, and everybody's turn at it.
type Slot<T> = tokio::sync::Mutex<Option<Listed<T>>>;

#[derive(Debug)]
struct Listed<T> {
    begun: Instant,
    pages: u32,
    all: Arc<T>,
}

/// By lower-case name or id: Azure does not keep to a case.
pub(crate) type Vms = HashMap<String, Vm>;
type Statuses = HashMap<String, Status>;

/// How new a listing has to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Since {
    /// What was done last to the nodes in question is in it.
    changed: Option<Instant>,
    /// And so is what happened until then, unless it costs many pages.
    fresh: Instant,
}

impl Since {
    /// A listing that is begun now.
    pub(crate) fn now() -> Since {
        let now = Instant::now();
        Since {
            changed: Some(now),
            fresh: now,
        }
    }

    fn is_met<T>(self, listed: &Listed<T>) -> bool {
        let worth = PAGE * listed.pages;
        listed.begun >= self.fresh.min(before(worth))
            && self.changed.is_none_or(|c| listed.begun >= c)
    }
}

/// So long ago. Before the machine was up there was no listing either.
fn before(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_sub(time).unwrap_or(now)
}

/// The listings.
#[derive(Debug)]
pub(crate) struct View {
    /// How old one may be for a node that we did nothing to.
    fresh: Duration,
    vms: Slot<Vms>,
    statuses: Slot<Statuses>,
    nics: Slot<Vec<Nic>>,
    refused: Mutex<Option<Instant>>,
    /// By lower-case id: what was asked for by itself, and when.
    asked: Mutex<HashMap<String, (Instant, Status)>>,
    /// By lower-case name: what was done to a machine, and when.
    touched: Mutex<HashMap<String, Instant>>,
}

async fn shared<T>(
    cx: &Context,
    slot: &Slot<T>,
    since: Since,
    fetch: impl Future<Output = Result<(T, u32)>>,
) -> Result<Arc<T>> {
    // Whoever holds it may have more time than we do.
    let Ok(mut held) = timeout_at(cx.deadline(), slot.lock()).await else {
        let error = Error::new(
            ErrorKind::Timeout,
            "the listing was not there at the deadline",
        );
        return Err(error.effect(Effect::None));
    };
    if let Some(listed) = held.as_ref().filter(|l| since.is_met(l)) {
        return Ok(Arc::clone(&listed.all));
    }
    let begun = Instant::now();
    let (all, pages) = fetch.await?;
    let all = Arc::new(all);
    *held = Some(Listed {
        begun,
        pages,
        all: Arc::clone(&all),
    });
    Ok(all)
}

impl View {
    pub(crate) fn new(poll_interval: Duration) -> View {
        View {
            fresh: poll_interval / 5,
            vms: Slot::default(),
            statuses: Slot::default(),
            nics: Slot::default(),
            refused: Mutex::default(),
            asked: Mutex::default(),
            touched: Mutex::default(),
        }
    }

    /// Something was done to the node.
    pub(crate) fn touch(&self, node: &NodeName) {
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        touched.insert(node.as_str().to_ascii_lowercase(), Instant::now());
    }

    /// Whether something was done to the node so short ago.
    pub(crate) fn is_touched_within(&self, node: &NodeName, time: Duration) -> bool {
        let touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        let at = touched.get(&node.as_str().to_ascii_lowercase());
        at.is_some_and(|at| at.elapsed() < time)
    }

    /// How new a listing has to be for these nodes.
    pub(crate) fn since<'a>(&self, nodes: impl Iterator<Item = &'a NodeName>) -> Since {
        let touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        Since {
            changed: nodes
                .filter_map(|n| touched.get(&n.as_str().to_ascii_lowercase()))
                .max()
                .copied(),
            fresh: before(self.fresh),
        }
    }

    /// The resource group's machines, by lower-case name; without power states.
    pub(crate) async fn vms(
        &self,
        cx: &Context,
        at: (&Client, &Addresses),
        since: Since,
    ) -> Result<Arc<Vms>> {
        let (client, addresses) = at;
        shared(cx, &self.vms, since, async {
            let (all, pages) = client
                .pages(cx, "list the machines", &addresses.vms(), api::vms)
                .await?;
            let by_name = all.into_iter().map(|vm| (vm.name.to_ascii_lowercase(), vm));
            Ok((by_name.collect(), pages))
        })
        .await
    }

    /// The resource group's NICs.
    pub(crate) async fn nics(
        &self,
        cx: &Context,
        at: (&Client, &Addresses),
        since: Since,
    ) -> Result<Arc<Vec<Nic>>> {
        let (client, addresses) = at;
        let url = addresses.nics();
        let fetch = client.pages(cx, "list the network interfaces", &url, api::nics);
        shared(cx, &self.nics, since, fetch).await
    }

    /// The resource group's disks; not shared, since only a full listing asks.
    pub(crate) async fn disks(cx: &Context, at: (&Client, &Addresses)) -> Result<Vec<Disk>> {
        let url = at.1.disks();
        at.0.all(cx, "list the disks", &url, api::disks).await
    }

    /// The subscription's power states, by lower-case id; nothing where we may
    /// not see the subscription.
    pub(crate) async fn statuses(
        &self,
        cx: &Context,
        at: (&Client, &Addresses),
        since: Since,
    ) -> Result<Option<Arc<Statuses>>> {
        let refused = *self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.is_some_and(|at| at.elapsed() < REFUSED_FOR) {
            return Ok(None);
        }
        let (client, addresses) = at;
        let listed = shared(cx, &self.statuses, since, async {
            let what = "list the power states";
            let (all, pages) = client
                .pages(cx, what, &addresses.statuses(), api::vms)
                .await?;
            let by_id = all
                .into_iter()
                .map(|vm| (vm.id.to_ascii_lowercase(), vm.status));
            Ok((by_id.collect(), pages))
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

    /// The power states of these machines, each asked for by itself unless it was
    /// just now and nothing was done to the machine since.
    pub(crate) async fn each(
        &self,
        cx: &Context,
        at: (&Client, &Addresses),
        vms: &[&Vm],
    ) -> Result<Statuses> {
        let mut all = Statuses::new();
        for some in vms.chunks(VIEWS) {
            let asked = some.iter().map(|vm| async move {
                let status = match self.believed(vm) {
                    Some(status) => Ok(status),
                    None => self.ask(cx, at, vm).await,
                };
                (vm.id.to_ascii_lowercase(), status)
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

    /// The power state of this machine, asked for by itself.
    pub(crate) async fn ask(
        &self,
        cx: &Context,
        at: (&Client, &Addresses),
        vm: &Vm,
    ) -> Result<Status> {
        let begun = Instant::now();
        let status = status(cx, at, &vm.name).await?;
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.insert(vm.id.to_ascii_lowercase(), (begun, status.clone()));
        Ok(status)
    }

    /// What was asked for just now, if it is not on its way to another state and
    /// nothing was done to the machine since.
    pub(crate) fn believed(&self, vm: &Vm) -> Option<Status> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, status) = asked.get(&vm.id.to_ascii_lowercase())?;
        let touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        let untouched = touched
            .get(&vm.name.to_ascii_lowercase())
            .is_none_or(|t| t < at);
        let settled = matches!(
            status.power,
            Power::Running | Power::Stopped | Power::Deallocated
        );
        (untouched && settled && at.elapsed() < BELIEVED).then(|| status.clone())
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
