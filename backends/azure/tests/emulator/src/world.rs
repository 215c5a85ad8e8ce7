//! Everything that exists in the emulated Azure, and the passing of time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::addresses::Leases;
use crate::books::Books;
use crate::buckets::Limits;
use crate::clock::Clock;
use crate::faults::Fault;
use crate::operations::Operation;
use crate::settings::Settings;
use crate::wire::{Answer, Asked, Handled, encode};

/// A resource group.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) location: String,
    pub(crate) tags: Option<Value>,
    pub(crate) deleting: bool,
}

/// A virtual machine. Keys of other resources are their ids in small letters.
#[derive(Debug, Clone)]
pub(crate) struct Vm {
    pub(crate) id: String,
    pub(crate) name: String,
    /// What a GET shows, but for state.
    pub(crate) body: Value,
    /// Custom data is never shown, but may not be changed either.
    pub(crate) custom_data: String,
    /// Of the body; every create counts the cores in use by it.
    pub(crate) size: String,
    pub(crate) spot: bool,
    pub(crate) etag: u64,
    pub(crate) provisioning: &'static str,
    /// The code of the failure that made `provisioning` Failed.
    pub(crate) failure: Option<String>,
    /// `running`, `deallocated` and so on; none after a failed create.
    pub(crate) power: Option<&'static str>,
    /// The operation at work.
    pub(crate) busy: Option<String>,
    pub(crate) deleting: bool,
    /// NICs and whether they go with the VM.
    pub(crate) nics: Vec<(String, bool)>,
    /// The OS disk and whether it goes with the VM; none when ephemeral.
    pub(crate) disk: Option<(String, bool)>,
    pub(crate) since: Duration,
}

impl Vm {
    /// Takes over the size that a write asks for.
    pub(crate) fn resize(&mut self, wanted: &Value) {
        if let Some(hardware) = wanted.pointer("/properties/hardwareProfile")
            && let Some(properties) = self.body.get_mut("properties")
        {
            crate::operations::set(properties, "hardwareProfile", hardware.clone());
            let size = hardware["vmSize"].as_str().unwrap_or_default();
            self.size = size.to_string();
        }
    }

    pub(crate) fn text(&self, pointer: &str) -> &str {
        self.body
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

/// One address of a NIC.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(crate) name: String,
    /// The subnet's id as given.
    pub(crate) subnet: String,
    pub(crate) ip: String,
    pub(crate) fixed: bool,
    /// The public address's key.
    pub(crate) public: Option<String>,
}

/// A network interface.
#[derive(Debug, Clone)]
pub(crate) struct Nic {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) location: String,
    pub(crate) tags: Option<Value>,
    pub(crate) accelerated: bool,
    pub(crate) security_group: Option<Value>,
    pub(crate) addresses: Vec<Address>,
    /// The id of the VM that holds it.
    pub(crate) vm: Option<String>,
    /// After a failed create: the VM that it is kept for, and until when.
    pub(crate) reserved: Option<(String, Duration)>,
    pub(crate) etag: u64,
    pub(crate) busy: bool,
}

/// A managed disk or a public address.
#[derive(Debug, Clone)]
pub(crate) struct Thing {
    pub(crate) id: String,
    pub(crate) body: Value,
    /// The id of what holds it.
    pub(crate) holder: Option<String>,
    /// Whether it goes when its holder goes.
    pub(crate) goes: bool,
}

/// What happens later by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    Finish(String),
    Evict(String),
    GroupGone(String),
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<Clock>,
    /// The time of what is being handled.
    pub(crate) now: Duration,
    pub(crate) groups: BTreeMap<String, Group>,
    pub(crate) vms: BTreeMap<String, Vm>,
    pub(crate) nics: BTreeMap<String, Nic>,
    pub(crate) disks: BTreeMap<String, Thing>,
    pub(crate) ips: BTreeMap<String, Thing>,
    /// Virtual networks: body without subnets, and subnets by name.
    pub(crate) vnets: BTreeMap<String, (Value, BTreeMap<String, Value>)>,
    /// Whatever else is to be found by a GET: images, security groups.
    pub(crate) others: BTreeMap<String, Value>,
    pub(crate) operations: HashMap<String, Operation>,
    /// Private addresses, by subnet.
    pub(crate) leases: HashMap<String, Leases>,
    pub(crate) limits: Limits,
    pub(crate) faults: Vec<Fault>,
    /// Sizes that cannot be had, everywhere or in one zone.
    pub(crate) full: Vec<(String, Option<String>)>,
    /// Actions that are refused, by prefix; true: over the subscription only.
    pub(crate) forbidden: Vec<(String, bool)>,
    /// All that is permitted, if that is limited, and whether over the subscription too.
    pub(crate) granted: Option<Vec<(String, bool)>>,
    /// Tokens: principal, audience, good until.
    pub(crate) tokens: HashMap<String, (String, String, Duration)>,
    pub(crate) books: Books,
    /// Power changes that nobody was told of yet.
    pub(crate) news: Vec<(String, bool)>,
    due: BinaryHeap<Reverse<(Duration, u64, Due)>>,
    counter: u64,
    /// Part of every operation's address.
    pub(crate) certificate: String,
    pub(crate) status_items: u64,
}

impl World {
    pub(crate) fn new(settings: Settings, clock: Arc<Clock>) -> World {
        let mut world = World {
            now: clock.now(),
            clock,
            groups: BTreeMap::new(),
            vms: BTreeMap::new(),
            nics: BTreeMap::new(),
            disks: BTreeMap::new(),
            ips: BTreeMap::new(),
            vnets: BTreeMap::new(),
            others: BTreeMap::new(),
            operations: HashMap::new(),
            leases: HashMap::new(),
            limits: Limits::default(),
            faults: Vec::new(),
            full: Vec::new(),
            forbidden: Vec::new(),
            granted: None,
            tokens: HashMap::new(),
            books: Books::default(),
            news: Vec::new(),
            due: BinaryHeap::new(),
            counter: 0,
            certificate: String::new(),
            status_items: 0,
            settings,
        };
        let settings = &world.settings;
        let group = Group {
            name: settings.group.clone(),
            location: settings.location.clone(),
            tags: None,
            deleting: false,
        };
        let key = format!(
            "/subscriptions/{}/resourcegroups/{}",
            settings.subscription(),
            settings.group
        );
        let vnet = settings.id("Microsoft.Network/virtualNetworks", "vnet");
        let body = json!({
            "id": vnet, "name": "vnet", "type": "Microsoft.Network/virtualNetworks",
            "location": settings.location,
            "properties": {
                "addressSpace": {"addressPrefixes": [settings.subnet_prefix]},
                "provisioningState": "Succeeded",
            },
        });
        let subnet = json!({"addressPrefix": settings.subnet_prefix});
        world.groups.insert(key.to_lowercase(), group);
        world.vnets.insert(
            vnet.to_lowercase(),
            (body, BTreeMap::from([("nodes".to_string(), subnet)])),
        );
        world
    }

    /// A number that was never given before, well stirred.
    fn random(&mut self) -> u64 {
        self.counter += 1;
        let mut z = self.counter.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn uuid(&mut self) -> String {
        let (a, b) = (self.random(), self.random());
        format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xfff,
            b >> 52,
            b & 0xffff_ffff_ffff
        )
    }

    /// Makes something happen `span` from now.
    pub(crate) fn later(&mut self, span: Duration, what: Due) {
        self.counter += 1;
        self.due
            .push(Reverse((self.now + span, self.counter, what)));
    }

    /// Lets everything happen whose time has come.
    pub(crate) fn settle(&mut self) {
        let now = self.clock.now();
        while let Some(Reverse((at, ..))) = self.due.peek()
            && *at <= now
        {
            let Some(Reverse((at, _, what))) = self.due.pop() else {
                break;
            };
            self.now = at;
            match what {
                Due::Finish(id) => self.finish(&id),
                Due::Evict(key) => self.evict(&key),
                Due::GroupGone(key) => self.group_gone(&key),
            }
        }
        self.now = now;
    }

    /// The resource group of a call, or the 404.
    pub(crate) fn group(&self, subscription: &str, name: &str) -> Result<&Group, Answer> {
        let key = format!("/subscriptions/{subscription}/resourcegroups/{name}").to_lowercase();
        self.groups.get(&key).ok_or_else(|| {
            Answer::error(
                404,
                "ResourceGroupNotFound",
                format!("Resource group '{name}' could not be found."),
            )
        })
    }

    /// A page of `all`, which is sorted by key.
    pub(crate) fn page<'a, T: 'a>(
        &self,
        asked: &Asked,
        all: impl Iterator<Item = (&'a String, &'a T)>,
    ) -> (Vec<&'a T>, Option<String>) {
        let after = asked.parameter("$skiptoken").unwrap_or_default();
        let mut rest = all.filter(|(key, _)| after.is_empty() || **key > after);
        let mut last = String::new();
        let mut items = Vec::new();
        for (key, item) in rest.by_ref().take(self.settings.page_size.max(1)) {
            last.clone_from(key);
            items.push(item);
        }
        let next = rest.next().map(|_| {
            let query: String = asked
                .query
                .split('&')
                .filter(|pair| {
                    let pair = pair.to_lowercase();
                    !pair.starts_with("$skiptoken=") && !pair.starts_with("%24skiptoken=")
                })
                .map(|pair| format!("{pair}&"))
                .collect();
            format!(
                "{}{}?{query}$skiptoken={}",
                asked.base,
                asked.path,
                encode(&last)
            )
        });
        (items, next)
    }
}

/// A list's body.
pub(crate) fn listed(items: Vec<Value>, next: Option<String>) -> Handled {
    let mut body = json!({"value": items});
    if let Some(next) = next {
        crate::operations::set(&mut body, "nextLink", json!(next));
    }
    Ok(Answer::json(200, body))
}
