use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::books::Books;
use crate::error::{Error, ErrorKind};
use crate::hostlist::NodeName;
use crate::provider::OpKind;

/// What goes wrong with a request.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// It is answered with this error and does nothing.
    Refuse(Error),
    /// It acts, and the answer never arrives.
    LoseReply,
    /// It acts, and the answer takes this much longer.
    Slow(Duration),
    /// These nodes fail and nothing is done for them; the others go well.
    Nodes(Vec<NodeName>, Error),
    /// It is accepted, and what it made fails in the end.
    FailLater(Error),
    /// The provider panics before anything is sent.
    Panic,
}

/// A fault of a script: what goes wrong, and with which requests.
///
/// Without more it is the next request, whatever that is.
///
/// ```
/// use slurmburst_core::fake::{Fault, Trouble};
/// use slurmburst_core::provider::OpKind;
///
/// // The third and the fourth create have an effect and no answer.
/// let fault = Fault::new(Trouble::LoseReply).on(OpKind::Create).nth(3).times(2);
/// ```
#[derive(Debug, Clone)]
pub struct Fault {
    trouble: Trouble,
    op: Option<OpKind>,
    node: Option<NodeName>,
    nth: u64,
    times: u64,
}

impl Fault {
    /// `trouble` with the next request.
    pub fn new(trouble: Trouble) -> Fault {
        Fault {
            trouble,
            op: None,
            node: None,
            nth: 1,
            times: 1,
        }
    }

    /// Only with requests of this kind.
    #[must_use]
    pub fn on(mut self, op: OpKind) -> Fault {
        self.op = Some(op);
        self
    }

    /// Only with requests that name this node.
    #[must_use]
    pub fn node(mut self, node: NodeName) -> Fault {
        self.node = Some(node);
        self
    }

    /// Not before the `nth` such request, counted from 1.
    #[must_use]
    pub fn nth(mut self, nth: u64) -> Fault {
        self.nth = nth.max(1);
        self
    }

    /// With so many such requests in a row.
    #[must_use]
    pub fn times(mut self, times: u64) -> Fault {
        self.times = times;
        self
    }

    /// With every such request from then on.
    #[must_use]
    pub fn always(self) -> Fault {
        self.times(u64::MAX)
    }

    fn concerns(&self, op: OpKind, nodes: &[NodeName]) -> bool {
        self.op.is_none_or(|o| o == op) && self.node.as_ref().is_none_or(|n| nodes.contains(n))
    }
}

/// Faults at random, the same for the same seed and order of requests.
/// Each rate is a probability from 0 to 1.
#[derive(Debug, Clone, Default)]
pub struct Chaos {
    /// Where the random numbers begin.
    pub seed: u64,
    /// How often a request is refused with a 5xx error.
    pub refuse: f64,
    /// How often a reply is lost.
    pub lose_reply: f64,
    /// How often one node of a request fails.
    pub partial: f64,
    /// How often a reply is slow, and by how much.
    pub slow: (f64, Duration),
}

impl Chaos {
    fn strike(&self, op: OpKind, count: u64, nodes: &[NodeName]) -> Option<Trouble> {
        let mut hasher = DefaultHasher::new();
        (self.seed, op, count).hash(&mut hasher);
        let number = hasher.finish();
        #[allow(
            clippy::cast_precision_loss,
            reason = "a rounded random number is as random"
        )]
        let mut left = number as f64 / u64::MAX as f64;
        let mut falls_into = |rate: f64| {
            left -= rate;
            left < 0.0
        };
        let busy =
            || Error::new(ErrorKind::Unavailable, "the fake cloud is having a bad day").code("503");
        if falls_into(self.refuse) {
            return Some(Trouble::Refuse(busy()));
        }
        if falls_into(self.lose_reply) {
            return Some(Trouble::LoseReply);
        }
        if falls_into(self.partial) {
            let at = usize::try_from(number % 1009).unwrap_or(0);
            let node = nodes.get(at % nodes.len().max(1))?;
            return Some(Trouble::Nodes(vec![node.clone()], busy()));
        }
        falls_into(self.slow.0).then_some(Trouble::Slow(self.slow.1))
    }
}

/// The faults still to come.
#[derive(Debug, Default)]
pub(super) struct Script {
    faults: Vec<Fault>,
    chaos: Option<Chaos>,
}

impl Script {
    pub(super) fn new(faults: Vec<Fault>, chaos: Option<Chaos>) -> Script {
        Script { faults, chaos }
    }

    pub(super) fn add(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Nothing goes wrong any more. Places are kept: the books count by place.
    pub(super) fn calm(&mut self) {
        self.chaos = None;
        for fault in &mut self.faults {
            fault.times = 0;
        }
    }

    /// What goes wrong with this request, the `count`th of its kind. How often
    /// a fault was met is in the books, so that processes share one script.
    pub(super) fn trouble(
        &self,
        books: &mut Books,
        op: OpKind,
        count: u64,
        nodes: &[NodeName],
    ) -> Option<Trouble> {
        let mut trouble = None;
        for (place, fault) in self.faults.iter().enumerate() {
            if fault.times == 0 || !fault.concerns(op, nodes) {
                continue;
            }
            let met = books.meet(place);
            let due = met >= fault.nth && met - fault.nth < fault.times;
            if due && trouble.is_none() {
                trouble = Some(fault.trouble.clone());
            }
        }
        trouble.or_else(|| self.chaos.as_ref()?.strike(op, count, nodes))
    }
}
