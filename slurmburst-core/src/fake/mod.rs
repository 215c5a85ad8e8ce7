//! [`FakeCloud`]: a cloud that is not there, for tests.
//!
//! It has what real clouds have and tests need: machines that take time to
//! start and to stop, capacity that runs out, token buckets that it enforces,
//! listings in pages and behind the times, and faults on demand. Delays are
//! tokio's, so that tests run with its paused clock. What it has and ever had
//! is in its [`Books`], in memory or in a file that processes share.

mod acts;
mod books;
mod fault;
mod kind;
mod listing;
mod options;
mod store;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tokio::time::{sleep, timeout_at};

pub use books::{Books, Happened, Record};
pub use fault::{Chaos, Fault, Trouble};
pub use kind::FakeKind;
pub use options::FakeOptions;

use self::acts::Acts;
use self::fault::Script;
use self::store::Store;
use crate::error::{Effect, Error, ErrorKind, Result};
use crate::hostlist::NodeName;
use crate::outcome::{Outcome, Outcomes};
use crate::provider::{
    Call, Capabilities, Chore, CloudProvider, Context, DownMode, InstanceState, Lifecycle, Listing,
    OpKind, Owner, Pending, Placement, PowerDown, Rendered,
};

/// A simulated cloud.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// use std::time::Duration;
/// use slurmburst_core::fake::{FakeCloud, FakeOptions};
/// use slurmburst_core::provider::{CloudProvider, Context};
///
/// let fake = FakeCloud::new(FakeOptions { page_size: 100, ..FakeOptions::default() });
/// let cx = Context::within("hpc1-7f3a9c", Duration::from_secs(5));
/// assert!(fake.list(&cx).await.unwrap().instances.is_empty());
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct FakeCloud {
    options: FakeOptions,
    capabilities: Capabilities,
    store: Store,
    script: Mutex<Script>,
    /// Zones that do not answer listings.
    gaps: Mutex<BTreeMap<String, Error>>,
    /// [`FakeOptions::capacity`] as it is now.
    capacity: Mutex<Option<u64>>,
}

impl FakeCloud {
    /// A cloud with its books where the options say.
    pub fn new(options: FakeOptions) -> FakeCloud {
        let store = match &options.books {
            Some(path) => Store::File(path.clone()),
            None => Store::Memory(Arc::default()),
        };
        FakeCloud::over(options, store)
    }

    /// A cloud over books that exist already: what another process would see.
    pub fn with_books(options: FakeOptions, books: Arc<Mutex<Books>>) -> FakeCloud {
        FakeCloud::over(options, Store::Memory(books))
    }

    fn over(options: FakeOptions, store: Store) -> FakeCloud {
        let script = Script::new(options.faults.clone(), options.chaos.clone());
        FakeCloud {
            capabilities: options.capabilities(),
            capacity: Mutex::new(options.capacity),
            options,
            store,
            script: Mutex::new(script),
            gaps: Mutex::default(),
        }
    }

    /// Looks into the books.
    ///
    /// # Errors
    /// The books are in a file that cannot be read or written.
    pub fn read<R>(&self, look: impl FnOnce(&Books) -> R) -> Result<R> {
        self.store.with(|books| look(books))
    }

    /// What the time is, for the books.
    pub fn now_ms(&self) -> i64 {
        self.options.clock.now_ms()
    }

    /// Adds a fault to the script. It counts requests from now on.
    pub fn fault(&self, fault: Fault) {
        self.script
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(fault);
    }

    /// Nothing goes wrong any more: no fault, no gap.
    pub fn calm(&self) {
        self.script
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .calm();
        self.gaps
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// From now on this zone (of a template; a placement's name where it has
    /// none) does not answer listings, for this reason.
    pub fn gap(&self, zone: impl Into<String>, error: Error) {
        self.gaps
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(zone.into(), error);
    }

    /// The most instances that are up at once, from now on.
    pub fn set_capacity(&self, most: Option<u64>) {
        *self.capacity.lock().unwrap_or_else(PoisonError::into_inner) = most;
    }

    /// A machine made by hand, deallocated, as `owner` says. Answers its id.
    ///
    /// # Errors
    /// The books are in a file that cannot be read or written.
    pub fn make(&self, cluster: &str, node: &NodeName, owner: Owner) -> Result<String> {
        self.act(cluster, None, |acts| {
            acts.make(node, owner, "by-hand", "by-hand")
        })
    }

    /// Makes an instance look like this, whatever happened to it, until it is
    /// next started or brought down. Does nothing where there is no such instance.
    ///
    /// # Errors
    /// The books are in a file that cannot be read or written.
    pub fn force(&self, instance: &str, state: InstanceState) -> Result<()> {
        self.store.with(|books| {
            if let Some(record) = books.machine_mut(instance) {
                record.forced = Some(state);
            }
        })
    }

    fn act<R>(
        &self,
        cluster: &str,
        doom: Option<Error>,
        act: impl FnOnce(&mut Acts<'_>) -> R,
    ) -> Result<R> {
        let (options, now_ms) = (&self.options, self.now_ms());
        let capacity = *self.capacity.lock().unwrap_or_else(PoisonError::into_inner);
        self.store.with(|books| {
            act(&mut Acts {
                books,
                options,
                capacity,
                cluster,
                now_ms,
                doom,
            })
        })
    }

    /// What the cloud makes of a request before it does anything.
    fn admit(&self, op: OpKind, nodes: &[NodeName]) -> Result<Option<Trouble>> {
        let classes = self
            .options
            .enforced
            .as_ref()
            .unwrap_or(&self.options.classes);
        let now_ms = self.now_ms();
        let script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        let trouble = self.store.with(|books| {
            let count = books.count_up(op);
            let trouble = script.trouble(books, op, count, nodes);
            books
                .charge(classes, op, nodes.len(), now_ms)
                .map(|()| trouble)
        })??;
        drop(script);
        match trouble {
            Some(Trouble::Refuse(error)) => Err(error),
            Some(Trouble::Panic) => {
                // Not `panic!`: the hook would print, and a test's output is for people.
                std::panic::resume_unwind(Box::new("a fault of the fake cloud's script"))
            }
            other => Ok(other),
        }
    }

    /// One request: admitted, travelling, acting, travelling back.
    async fn request<R>(
        &self,
        cx: &Context,
        op: OpKind,
        nodes: &[NodeName],
        act: impl FnOnce(Option<&Trouble>) -> Result<R> + Send,
    ) -> Result<R>
    where
        R: Send,
    {
        let sent = async {
            let trouble = self.admit(op, nodes);
            pause(self.options.delay / 2).await;
            let trouble = trouble?;
            let answer = act(trouble.as_ref());
            pause(self.options.delay / 2).await;
            match trouble {
                Some(Trouble::LoseReply) => {
                    return Err(self.no_answer("the reply was lost"));
                }
                Some(Trouble::Slow(by)) => pause(by).await,
                _ => {}
            }
            answer
        };
        self.in_time(cx, sent).await
    }

    async fn in_time<R>(&self, cx: &Context, sent: impl Future<Output = Result<R>>) -> Result<R> {
        let answer = timeout_at(cx.deadline(), sent).await;
        answer.unwrap_or_else(|_| Err(self.no_answer("no answer at the deadline")))
    }

    fn no_answer(&self, why: &str) -> Error {
        Error::new(ErrorKind::Timeout, why)
            .effect(Effect::Unknown)
            .retry_after(self.options.retry_after)
    }

    /// A request for nodes, each with its own outcome.
    async fn for_nodes(
        &self,
        cx: &Context,
        op: OpKind,
        nodes: &[NodeName],
        act: impl FnOnce(&mut Acts<'_>, &[NodeName], &mut Outcomes) -> Result<()> + Send,
    ) -> Outcomes {
        let mut outcomes = Outcomes::new(nodes.iter().cloned());
        if cx.remaining().is_zero() {
            let why = "the deadline had passed before anything was sent";
            return Outcomes::all(nodes.iter().cloned(), &Outcome::Skipped(why.into()));
        }
        let answered = self.request(cx, op, nodes, |trouble| {
            let doom = match trouble {
                Some(Trouble::FailLater(error)) => Some(error.clone()),
                _ => None,
            };
            let spared = match trouble {
                Some(Trouble::Nodes(nodes, error)) => {
                    for node in nodes {
                        outcomes.set(node, Outcome::Failed(error.clone()));
                    }
                    nodes.as_slice()
                }
                _ => &[],
            };
            self.act(cx.cluster_id(), doom, |acts| {
                act(acts, spared, &mut outcomes)
            })?
        });
        match answered.await {
            Ok(()) => outcomes,
            Err(error) => Outcomes::failed(nodes.iter().cloned(), &error),
        }
    }

    async fn send(&self, cx: &Context, call: &Call) -> Outcomes {
        let nodes: Vec<NodeName> = call.names().cloned().collect();
        let lifecycle = call.placement.lifecycle;
        if !self.capabilities.offers(lifecycle) {
            let text = format!("the fake cloud was not given the lifecycle {lifecycle:?}");
            return Outcomes::failed(nodes, &Error::new(ErrorKind::Unsupported, text));
        }
        if let Err(error) = self.fits(nodes.len()) {
            return Outcomes::failed(nodes, &error);
        }
        let op = match lifecycle {
            Lifecycle::CreateDelete => OpKind::Create,
            Lifecycle::StartDeallocate => OpKind::Start,
        };
        self.for_nodes(cx, op, &nodes, |acts, spared, outcomes| {
            if let Some(kind) = self.options.fail {
                return Err(Error::new(kind, "the fake cloud was told to fail").code("ToldTo"));
            }
            acts.recognise(call)?;
            for node in call.nodes.iter().filter(|n| !spared.contains(&n.name)) {
                let outcome = match lifecycle {
                    Lifecycle::CreateDelete => acts.create(call, node),
                    Lifecycle::StartDeallocate => acts.start(call, node),
                };
                outcomes.set(&node.name, outcome);
            }
            Ok(())
        })
        .await
    }

    fn fits(&self, nodes: usize) -> Result<()> {
        let most = self.options.max_batch;
        if nodes <= most {
            return Ok(());
        }
        let text = format!("{nodes} nodes at once, the fake cloud takes at most {most}");
        Err(Error::new(ErrorKind::Invalid, text).code("TooManyNodes"))
    }
}

async fn pause(duration: Duration) {
    if !duration.is_zero() {
        sleep(duration).await;
    }
}

impl fmt::Display for FakeCloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fake")
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl CloudProvider for FakeCloud {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn list(&self, cx: &Context) -> Result<Listing> {
        self.list_all(cx).await
    }

    async fn power_up(&self, cx: &Context, calls: &[Call]) -> Outcomes {
        let mut outcomes = Outcomes::new(calls.iter().flat_map(Call::names).cloned());
        for call in calls {
            outcomes.merge(self.send(cx, call).await);
        }
        outcomes
    }

    async fn power_down(&self, cx: &Context, batch: &[PowerDown]) -> Outcomes {
        let mut outcomes = Outcomes::new(batch.iter().map(|d| d.node.clone()));
        if let Err(error) = self.fits(batch.len()) {
            return Outcomes::failed(batch.iter().map(|d| d.node.clone()), &error);
        }
        for (mode, op) in [
            (DownMode::Deallocate, OpKind::Deallocate),
            (DownMode::Terminate, OpKind::Terminate),
        ] {
            let downs: Vec<&PowerDown> = batch.iter().filter(|d| d.mode == mode).collect();
            if downs.is_empty() {
                continue;
            }
            let nodes: Vec<NodeName> = downs.iter().map(|d| d.node.clone()).collect();
            let answered = self.for_nodes(cx, op, &nodes, |acts, spared, outcomes| {
                for down in downs.into_iter().filter(|d| !spared.contains(&d.node)) {
                    let outcome = acts.down(down);
                    outcomes.set(&down.node, outcome);
                }
                Ok(())
            });
            outcomes.merge(answered.await);
        }
        outcomes
    }

    async fn poll(&self, cx: &Context, pending: &[Pending]) -> Outcomes {
        let nodes: Vec<NodeName> = pending.iter().map(|p| p.node.clone()).collect();
        if let Err(error) = self.fits(nodes.len()) {
            return Outcomes::failed(nodes, &error);
        }
        self.for_nodes(cx, OpKind::Poll, &nodes, |acts, spared, outcomes| {
            for one in pending.iter().filter(|p| !spared.contains(&p.node)) {
                outcomes.set(&one.node, acts.poll(one));
            }
            Ok(())
        })
        .await
    }

    async fn tidy(&self, cx: &Context, chores: &[Chore]) -> Outcomes {
        let nodes: Vec<NodeName> = chores.iter().map(|c| c.node().clone()).collect();
        self.for_nodes(cx, OpKind::Tidy, &nodes, |acts, spared, outcomes| {
            for chore in chores.iter().filter(|c| !spared.contains(c.node())) {
                let outcome = acts.tidy(chore);
                outcomes.set(chore.node(), outcome);
            }
            Ok(())
        })
        .await
    }

    fn render(&self, placement: &Placement, nodes: &[NodeName]) -> Result<Vec<Rendered>> {
        if !self.capabilities.offers(placement.lifecycle) {
            let text = format!(
                "{}: the fake cloud does not offer {:?}",
                placement.name, placement.lifecycle
            );
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        let chunks = nodes.chunks(self.options.max_batch.max(1));
        let rendered = chunks.map(|chunk| Rendered {
            nodes: chunk.to_vec(),
            request: json!({
                "size": placement.template.size,
                "zone": placement.template.zone,
                "nodes": chunk,
            }),
        });
        Ok(rendered.collect())
    }
}
