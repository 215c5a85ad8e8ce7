//! Network interfaces, virtual networks and public addresses, as far as VMs
//! need them.

use serde_json::{Value, json};

use crate::operations::{Job, Script, set};
use crate::vm_put::Place;
use crate::wire::{Answer, Asked, Handled};
use crate::world::{Address, Nic, Thing, Vm, World};

pub(crate) const NIC: &str = "Microsoft.Network/networkInterfaces";
pub(crate) const IP: &str = "Microsoft.Network/publicIPAddresses";
const NETWORK: &str = "Microsoft.Network";

impl World {
    /// Makes or takes the NICs that a VM's PUT names: their keys and whether
    /// they go with the VM. Nothing is made unless all is well.
    pub(crate) fn attach(
        &mut self,
        body: &Value,
        place: &Place,
        vm: &str,
    ) -> Result<Vec<(String, bool)>, Answer> {
        let profile = body
            .pointer("/properties/networkProfile")
            .cloned()
            .unwrap_or_default();
        let list = |key: &str| profile[key].as_array().cloned().unwrap_or_default();
        let (given, inline) = (
            list("networkInterfaces"),
            list("networkInterfaceConfigurations"),
        );
        if given.is_empty() && inline.is_empty() {
            return Err(Answer::invalid(
                "networkProfile",
                "The network profile has no network interfaces.",
            ));
        }
        if !inline.is_empty() && profile["networkApiVersion"].as_str().is_none() {
            return Err(Answer::invalid(
                "networkProfile.networkApiVersion",
                "Required parameter 'networkApiVersion' is missing (null).",
            ));
        }
        let mut all = Vec::new();
        for reference in &given {
            let id = reference["id"].as_str().unwrap_or_default();
            let key = id.to_lowercase();
            if !self.nics.contains_key(&key) {
                return Err(Answer::error(
                    400,
                    "InvalidResourceReference",
                    format!(
                        "Resource {id} referenced by resource {vm} was not found. Please make sure that the referenced resource exists, and that both resources are in the same region."
                    ),
                ));
            }
            self.nic_free(&key, vm)?;
            all.push((key, reference["properties"]["deleteOption"] == "Delete"));
        }
        for inline in &inline {
            let at = Place {
                name: inline["name"].as_str().unwrap_or_default().to_string(),
                ..place.clone()
            };
            if at.name.is_empty() {
                return Err(Answer::invalid(
                    "networkInterfaceConfigurations.name",
                    "Required parameter 'name' is missing (null).",
                ));
            }
            let key = at.key(NIC);
            // A leftover of the same name is taken over when it is free.
            if self.nics.contains_key(&key) {
                self.nic_free(&key, vm)?;
            }
            let nic = self.nic_from(&at, &inline["properties"], None)?;
            all.push((
                key.clone(),
                inline["properties"]["deleteOption"] != "Detach",
            ));
            self.nics.insert(key, nic);
        }
        for (key, _) in &all {
            if let Some(nic) = self.nics.get_mut(key) {
                nic.vm = Some(vm.to_string());
                nic.reserved = None;
            }
        }
        Ok(all)
    }

    /// Whether a NIC may be given to `vm`.
    fn nic_free(&self, key: &str, vm: &str) -> Result<(), Answer> {
        let Some(nic) = self.nics.get(key) else {
            return Ok(());
        };
        match (&nic.vm, &nic.reserved) {
            (Some(holder), _) if !holder.eq_ignore_ascii_case(vm) => Err(Answer::error(
                400,
                "NicInUse",
                format!(
                    "Network Interface {} is used by existing resource {holder}. In order to delete the network interface, it must be dissociated from the resource.",
                    nic.id
                ),
            )),
            (_, Some((holder, until))) if *until > self.now && !holder.eq_ignore_ascii_case(vm) => {
                Err(reserved(holder))
            }
            _ => Ok(()),
        }
    }

    /// A NIC by its description, of the NIC's own PUT or inline in a VM's.
    fn nic_from(
        &mut self,
        at: &Place,
        properties: &Value,
        old: Option<&Nic>,
    ) -> Result<Nic, Answer> {
        let mut addresses: Vec<Address> = Vec::new();
        let wanted = properties["ipConfigurations"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        if wanted.is_empty() {
            return Err(Answer::error(
                400,
                "NetworkInterfaceMustHaveAtLeastOneIpConfiguration",
                "A network interface needs an IP configuration.",
            ));
        }
        let key = at.key(NIC);
        for wanted in &wanted {
            let name = wanted["name"].as_str().unwrap_or("ipconfig");
            let wanted = &wanted["properties"];
            let subnet = wanted["subnet"]["id"]
                .as_str()
                .unwrap_or_default()
                .to_string();
            let fixed = wanted["privateIPAddress"].as_str();
            let had = old
                .and_then(|nic| nic.addresses.iter().find(|a| a.name == name))
                .map(|a| a.ip.clone());
            let ip = self.address(&subnet, fixed.or(had.as_deref()), &key, &addresses)?;
            let public = match wanted.get("publicIPAddressConfiguration") {
                Some(public) => Some(self.public_ip(at, public, &key)),
                None => wanted["publicIPAddress"]["id"]
                    .as_str()
                    .map(str::to_lowercase),
            };
            addresses.push(Address {
                name: name.to_string(),
                subnet,
                ip,
                fixed: fixed.is_some(),
                public,
            });
        }
        Ok(Nic {
            id: at.id(NIC),
            name: at.name.clone(),
            location: self.settings.location.clone(),
            tags: None,
            accelerated: properties["enableAcceleratedNetworking"] == true,
            security_group: properties.get("networkSecurityGroup").cloned(),
            addresses,
            vm: None,
            reserved: None,
            etag: 1,
            busy: false,
        })
    }

    fn public_ip(&mut self, at: &Place, wanted: &Value, nic: &str) -> String {
        let at = Place {
            name: wanted["name"].as_str().unwrap_or("ip").to_string(),
            ..at.clone()
        };
        let (id, key) = (at.id(IP), at.key(IP));
        let address = format!("203.0.113.{}", self.ips.len() % 250 + 1);
        let thing = Thing {
            body: json!({
                "id": id, "name": at.name, "type": IP, "location": self.settings.location,
                "sku": {"name": "Standard"},
                "properties": {"provisioningState": "Succeeded", "ipAddress": address,
                    "publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv4"},
            }),
            id,
            holder: Some(nic.to_string()),
            goes: wanted["properties"]["deleteOption"] != "Detach",
        };
        self.ips.insert(key.clone(), thing);
        key
    }

    /// The VM is gone: its NICs and disk go too, or stay behind. A NIC that is
    /// still reserved for the VM cannot go.
    pub(crate) fn release(&mut self, vm: &Vm) {
        for (key, goes) in &vm.nics {
            let now = self.now;
            let Some(nic) = self.nics.get_mut(key) else {
                continue;
            };
            nic.vm = None;
            let held = nic.reserved.as_ref().is_some_and(|(_, until)| *until > now);
            if *goes && !held {
                self.nic_gone(key);
            }
        }
        if let Some((key, goes)) = &vm.disk {
            if *goes {
                self.disks.remove(key);
            } else if let Some(disk) = self.disks.get_mut(key) {
                disk.holder = None;
            }
        }
    }

    fn nic_gone(&mut self, key: &str) {
        self.nics.remove(key);
        self.ips
            .retain(|_, ip| ip.holder.as_deref() != Some(key) || !ip.goes);
        for ip in self
            .ips
            .values_mut()
            .filter(|ip| ip.holder.as_deref() == Some(key))
        {
            ip.holder = None;
        }
    }

    pub(crate) fn nic_put(&mut self, asked: &Asked, place: &Place, script: &Script) -> Handled {
        let group = self.group(&place.subscription, &place.group)?.name.clone();
        let place = Place {
            group,
            ..place.clone()
        };
        let body = asked.json()?;
        let key = place.key(NIC);
        let old = self.nics.get(&key).cloned();
        self.conditions(asked, old.as_ref().map(|nic| nic.etag))?;
        self.nic_idle(&key)?;
        let mut nic = self.nic_from(&place, &body["properties"], old.as_ref())?;
        nic.tags = body.get("tags").cloned();
        if let Some(old) = &old {
            nic.etag = old.etag + 1;
            nic.vm.clone_from(&old.vm);
            nic.reserved.clone_from(&old.reserved);
        }
        self.nics.insert(key.clone(), nic);
        let op = self.begin(
            asked,
            NETWORK,
            Job::Done,
            &key,
            std::time::Duration::from_secs(1),
            script,
        );
        let status = if old.is_some() { 200 } else { 201 };
        let answer = Answer::json(status, self.nic_view(&key));
        Ok(self.announce(asked, &op, answer, false))
    }

    /// A NIC whose VM is at work is locked.
    fn nic_idle(&self, key: &str) -> Result<(), Answer> {
        let Some(nic) = self.nics.get(key) else {
            return Ok(());
        };
        let vm = nic
            .vm
            .as_ref()
            .and_then(|vm| self.vms.get(&vm.to_lowercase()));
        if nic.busy || vm.is_some_and(|vm| vm.busy.is_some()) {
            return Err(Answer::error(
                409,
                "AnotherOperationInProgress",
                format!(
                    "Another operation on this or dependent resource is in progress. Resource: {}",
                    nic.id
                ),
            ));
        }
        Ok(())
    }

    pub(crate) fn nic_delete(&mut self, asked: &Asked, place: &Place, script: &Script) -> Handled {
        let key = place.key(NIC);
        let Some(nic) = self.nics.get(&key) else {
            return Ok(Answer::empty(204));
        };
        self.conditions(asked, Some(nic.etag))?;
        self.nic_idle(&key)?;
        self.nic_free(&key, "")?;
        if let Some(nic) = self.nics.get_mut(&key) {
            nic.busy = true;
        }
        self.remove_later(asked, NETWORK, &key, script)
    }

    /// Accepts the delete of a small resource.
    pub(crate) fn remove_later(
        &mut self,
        asked: &Asked,
        provider: &str,
        key: &str,
        script: &Script,
    ) -> Handled {
        let span = self.settings.timings.small_delete;
        let op = self.begin(asked, provider, Job::Remove, key, span, script);
        Ok(self.announce(asked, &op, Answer::empty(202), true))
    }

    pub(crate) fn nic_view(&self, key: &str) -> Value {
        let Some(nic) = self.nics.get(key) else {
            return Value::Null;
        };
        let etag = format!("W/\"{}\"", nic.etag);
        let addresses: Vec<Value> = nic
            .addresses
            .iter()
            .enumerate()
            .map(|(n, address)| {
                let mut properties = json!({
                    "provisioningState": "Succeeded", "primary": n == 0,
                    "privateIPAddress": address.ip, "privateIPAddressVersion": "IPv4",
                    "privateIPAllocationMethod": if address.fixed { "Static" } else { "Dynamic" },
                    "subnet": {"id": address.subnet},
                });
                if let Some(ip) = &address.public {
                    let id = self.ips.get(ip).map_or(ip, |ip| &ip.id);
                    set(&mut properties, "publicIPAddress", json!({"id": id}));
                }
                json!({
                    "name": address.name, "id": format!("{}/ipConfigurations/{}", nic.id, address.name),
                    "etag": etag, "properties": properties,
                })
            })
            .collect();
        let mut view = json!({
            "name": nic.name, "id": nic.id, "etag": etag, "type": NIC, "location": nic.location,
            "properties": {
                "provisioningState": if nic.busy { "Deleting" } else { "Succeeded" },
                "ipConfigurations": addresses,
                "dnsSettings": {"dnsServers": [], "appliedDnsServers": []},
                "enableAcceleratedNetworking": nic.accelerated,
                "enableIPForwarding": false, "hostedWorkloads": [], "tapConfigurations": [],
                "nicType": "Standard",
            },
        });
        if let Some(tags) = &nic.tags {
            set(&mut view, "tags", tags.clone());
        }
        if let Some(properties) = view.get_mut("properties") {
            if let Some(vm) = &nic.vm {
                set(properties, "virtualMachine", json!({"id": vm}));
                set(properties, "primary", json!(true));
            }
            if let Some(group) = &nic.security_group {
                set(properties, "networkSecurityGroup", group.clone());
            }
        }
        view
    }
}

fn reserved(holder: &str) -> Answer {
    Answer::error(
        400,
        "NicReservedForAnotherVm",
        format!(
            "Nic(s) in request is reserved for another Virtual Machine for 180 seconds. Please provide another nic(s) or retry after 180 seconds. Reserved VM: {holder}"
        ),
    )
}
