//! A small Azure in memory, answering in place of the network. It knows what
//! the provider asks for and no more; the emulator is the faithful one.

mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use azure_core::http::headers::HeaderName;
use azure_core::http::{Method, Request};
use serde_json::{Value, json};
use tokio::time::Instant;

pub(crate) use wire::Fixed;

pub(crate) const GROUP: &str =
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg";
pub(crate) const TOKEN: &str = "a-token-that-must-not-be-seen";

/// What a request did, for faults and counts: `create`, `start`, `list` ...
pub(crate) type Kind = &'static str;

#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) body: Value,
    pub(crate) vm_id: String,
    pub(crate) provisioning: &'static str,
    pub(crate) power: &'static str,
    /// Becomes this then.
    pub(crate) next: Option<(Instant, Next)>,
    pub(crate) failed: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Next {
    Runs,
    Stops,
    Goes,
    Fails(&'static str),
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) vms: BTreeMap<String, Machine>,
    /// Name, and whether it is attached.
    pub(crate) nics: BTreeMap<String, bool>,
    pub(crate) disks: BTreeMap<String, bool>,
    pub(crate) counts: BTreeMap<Kind, usize>,
    pub(crate) sent: Vec<(Kind, Value)>,
    operations: BTreeMap<String, (String, Kind)>,
    serial: u64,
    /// The next request of the kind acts, and its reply is lost.
    pub(crate) lose: Option<Kind>,
    pub(crate) slow: Option<(Kind, Duration)>,
    /// The next request of the kind is refused so: status, code, details' code, seconds.
    pub(crate) refuse: Option<(Kind, u16, &'static str, &'static str, u64)>,
    pub(crate) expired: usize,
    pub(crate) no_room: bool,
    pub(crate) fails: Option<String>,
    pub(crate) bad_credentials: bool,
    pub(crate) no_statuses: bool,
    /// NICs or all machines are not listed.
    pub(crate) gap: bool,
    pub(crate) elsewhere: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Cloud(Mutex<State>);

impl Cloud {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.0.lock().unwrap();
        state.tick();
        state
    }

    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.state().counts.get(kind).copied().unwrap_or(0)
    }
}

const DELAY: Duration = Duration::from_millis(60);

impl State {
    fn tick(&mut self) {
        let now = Instant::now();
        let due: Vec<(String, Next)> = self
            .vms
            .iter()
            .filter_map(|(n, m)| {
                m.next
                    .filter(|(at, _)| *at <= now)
                    .map(|(_, x)| (n.clone(), x))
            })
            .collect();
        for (name, next) in due {
            if next == Next::Goes {
                self.vms.remove(&name);
                self.nics
                    .retain(|n, _| !n.starts_with(&format!("{name}-nic")));
                self.disks
                    .retain(|n, _| !n.starts_with(&format!("{name}-os")));
                continue;
            }
            let Some(machine) = self.vms.get_mut(&name) else {
                continue;
            };
            machine.next = None;
            machine.provisioning = "Succeeded";
            match next {
                Next::Runs => machine.power = "running",
                Next::Stops => machine.power = "deallocated",
                Next::Fails(code) => {
                    machine.provisioning = "Failed";
                    machine.failed = Some(code);
                }
                Next::Goes => {}
            }
        }
    }

    pub(crate) fn make(&mut self, name: &str, tags: Value, power: &'static str) -> String {
        self.serial += 1;
        let vm_id = format!("id-{}", self.serial);
        let body = json!({ "location": "here", "tags": tags, "properties": {} });
        let machine = Machine {
            body,
            vm_id: vm_id.clone(),
            provisioning: "Succeeded",
            power,
            next: None,
            failed: None,
        };
        self.vms.insert(name.to_owned(), machine);
        vm_id
    }

    fn show(&self, name: &str, machine: &Machine, view: bool) -> Value {
        let mut vm = machine.body.clone();
        vm["name"] = json!(name);
        vm["id"] = json!(format!(
            "{GROUP}/providers/Microsoft.Compute/virtualMachines/{name}"
        ));
        vm["properties"]["vmId"] = json!(machine.vm_id);
        vm["properties"]["provisioningState"] = json!(machine.provisioning);
        if view {
            vm["properties"]["instanceView"] = self.view(machine);
        }
        vm
    }

    fn view(&self, machine: &Machine) -> Value {
        let mut statuses = vec![];
        if let Some(code) = machine.failed {
            statuses.push(
                json!({ "code": format!("ProvisioningState/failed/{code}"), "message": "no room" }),
            );
        }
        if !machine.power.is_empty() {
            statuses.push(json!({ "code": format!("PowerState/{}", machine.power) }));
        }
        json!({ "statuses": statuses })
    }

    fn operation(&mut self, name: &str, kind: Kind) -> Vec<(&'static str, String)> {
        self.serial += 1;
        let id = format!("op{}", self.serial);
        let host = if self.elsewhere {
            "https://evil.example"
        } else {
            "https://management.azure.com"
        };
        let url = format!(
            "{host}/subscriptions/x/operations/{id}?api-version=1&s={}",
            "q".repeat(3500)
        );
        self.operations.insert(id, (name.to_owned(), kind));
        vec![("azure-asyncoperation", url)]
    }

    fn answer(
        &mut self,
        kind: Kind,
        method: Method,
        path: &str,
        name: &str,
        query: &str,
        request: &Request,
        body: Value,
    ) -> Answer {
        let at = Instant::now() + DELAY;
        match kind {
            "create" => {
                if self.vms.contains_key(name) {
                    let absent = request
                        .headers()
                        .get_optional_str(&HeaderName::from_static("if-none-match"));
                    assert_eq!(absent, Some("*"), "a PUT onto what is there");
                    return refuse(412, "PreconditionFailed", "");
                }
                if self.fails.as_deref() == Some(name) {
                    self.fails = None;
                    return refuse(400, "InvalidParameter", "");
                }
                self.serial += 1;
                let next = if self.no_room {
                    Next::Fails("AllocationFailed")
                } else {
                    Next::Runs
                };
                if let Some(nic) =
                    body.pointer("/properties/networkProfile/networkInterfaceConfigurations/0/name")
                {
                    self.nics.insert(nic.as_str().unwrap().to_owned(), true);
                }
                let disk = body["properties"]["storageProfile"]["osDisk"]["name"]
                    .as_str()
                    .unwrap();
                self.disks.insert(disk.to_owned(), true);
                let machine = Machine {
                    body,
                    vm_id: format!("id-{}", self.serial),
                    provisioning: "Creating",
                    power: "",
                    next: Some((at, next)),
                    failed: None,
                };
                let shown = self.show(name, &machine, false);
                self.vms.insert(name.to_owned(), machine);
                (201, self.operation(name, kind), shown)
            }
            "start" | "deallocate" => {
                let Some(machine) = self.vms.get_mut(name) else {
                    return refuse(404, "ResourceNotFound", "");
                };
                machine.provisioning = "Updating";
                (machine.power, machine.next) = match kind {
                    "start" => ("starting", Some((at, Next::Runs))),
                    _ => ("deallocating", Some((at, Next::Stops))),
                };
                (202, self.operation(name, kind), Value::Null)
            }
            "delete" => {
                assert!(query.contains("forceDeletion=true"));
                let Some(machine) = self.vms.get_mut(name) else {
                    return (204, vec![], Value::Null);
                };
                machine.provisioning = "Deleting";
                machine.next = Some((at, Next::Goes));
                (202, self.operation(name, kind), Value::Null)
            }
            "get" => match self.vms.get(name) {
                Some(machine) => (
                    200,
                    vec![],
                    self.show(name, machine, query.contains("instanceView")),
                ),
                None => refuse(404, "ResourceNotFound", ""),
            },
            "tag" => {
                let machine = self.vms.get_mut(name).unwrap();
                machine.body["tags"] = body["tags"].clone();
                (200, vec![], Value::Null)
            }
            "view" => match self.vms.get(name) {
                Some(machine) => (200, vec![], self.view(machine)),
                None => refuse(404, "ResourceNotFound", ""),
            },
            "statuses" if self.no_statuses => refuse(403, "AuthorizationFailed", ""),
            "list" | "statuses" => {
                assert!(!query.contains("expand"), "Azure refuses this");
                if self.gap && kind == "statuses" {
                    return refuse(503, "ServiceUnavailable", "");
                }
                let from: usize = query
                    .split("skip=")
                    .nth(1)
                    .map_or(0, |n| n.parse().unwrap());
                let all: Vec<Value> = self
                    .vms
                    .iter()
                    .map(|(n, m)| self.show(n, m, kind == "statuses"))
                    .collect();
                let mut page =
                    json!({ "value": all.iter().skip(from).take(2).collect::<Vec<_>>() });
                if from + 2 < all.len() {
                    page["nextLink"] = json!(format!(
                        "https://management.azure.com{path}?statusOnly={}&skip={}",
                        kind == "statuses",
                        from + 2
                    ));
                }
                (200, vec![], page)
            }
            "nics" => {
                let each = self.nics.iter().map(|(n, attached)| {
                    let id = format!("{GROUP}/providers/Microsoft.Network/networkInterfaces/{n}");
                    let vm = n.split("-nic").next().unwrap();
                    let vm = attached.then(|| json!({ "id": format!("{GROUP}/providers/Microsoft.Compute/virtualMachines/{vm}") }));
                    json!({ "id": id, "name": n, "properties": { "virtualMachine": vm,
                        "ipConfigurations": [{ "properties": { "privateIPAddress": "10.0.0.4", "primary": true } }] } })
                });
                (200, vec![], json!({ "value": each.collect::<Vec<_>>() }))
            }
            "disks" => {
                let each = self.disks.iter().map(|(n, attached)| {
                    let id = format!("{GROUP}/providers/Microsoft.Compute/disks/{n}");
                    json!({ "id": id, "name": n, "properties": { "diskState": if *attached { "Attached" } else { "Unattached" } } })
                });
                (200, vec![], json!({ "value": each.collect::<Vec<_>>() }))
            }
            "part" if method == Method::Delete => {
                let gone = self.nics.remove(name).is_some() || self.disks.remove(name).is_some();
                (if gone { 202 } else { 204 }, vec![], Value::Null)
            }
            "part" => {
                self.nics.insert(name.to_owned(), true);
                (201, vec![], json!({}))
            }
            "operation" => {
                let Some((vm, kind)) = self.operations.get(name).cloned() else {
                    return refuse(404, "NotFound", "");
                };
                let body = match self.vms.get(&vm) {
                    Some(m) if m.provisioning == "Failed" => {
                        json!({ "status": "Failed", "error": { "code": m.failed, "message": "no room" } })
                    }
                    Some(m) if m.next.is_some() => json!({ "status": "InProgress" }),
                    None if kind == "create" => json!({ "status": "Canceled" }),
                    _ => json!({ "status": "Succeeded" }),
                };
                (200, vec![], body)
            }
            "images" => (200, vec![], json!([{ "name": "8.7.1" }])),
            other => panic!("{other} {path}"),
        }
    }
}

type Answer = (u16, Vec<(&'static str, String)>, Value);

fn refuse(status: u16, code: &str, detail: &str) -> Answer {
    let details = if detail.is_empty() {
        json!([])
    } else {
        json!([{ "code": detail, "message": "{}" }])
    };
    (
        status,
        vec![("x-ms-request-id", "r-1".into())],
        json!({ "error": { "code": code, "message": "refused", "details": details } }),
    )
}

pub(crate) fn arc() -> Arc<Cloud> {
    Arc::default()
}
