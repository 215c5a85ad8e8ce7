//! PUT of a virtual machine: a create, or a change of an existing one.

use serde_json::{Value, json};

use crate::books::Books;
use crate::operations::{Job, Script, set};
use crate::wire::{Answer, Asked, Handled};
use crate::world::{Vm, World};

/// Where a call points.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) subscription: String,
    pub(crate) group: String,
    pub(crate) name: String,
}

impl Place {
    pub(crate) fn id(&self, kind: &str) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/{kind}/{}",
            self.subscription, self.group, self.name
        )
    }

    pub(crate) fn key(&self, kind: &str) -> String {
        self.id(kind).to_lowercase()
    }
}

pub(crate) const VM: &str = "Microsoft.Compute/virtualMachines";
const DISK: &str = "Microsoft.Compute/disks";

/// What a PUT may not change on an existing VM.
const FIXED: [&str; 6] = [
    "/properties/osProfile/computerName",
    "/properties/osProfile/adminUsername",
    "/properties/storageProfile/imageReference/sku",
    "/properties/storageProfile/imageReference/id",
    "/properties/priority",
    "/zones",
];

const CUSTOM_DATA: &str = "/properties/osProfile/customData";

impl World {
    pub(crate) fn vm_put(&mut self, asked: &Asked, place: &Place, script: &Script) -> Handled {
        let group = self.group(&place.subscription, &place.group)?.clone();
        if group.deleting {
            return Err(Answer::error(
                409,
                "ResourceGroupBeingDeleted",
                format!(
                    "The resource group '{}' is in deprovisioning state and cannot perform this operation.",
                    group.name
                ),
            ));
        }
        let place = Place {
            group: group.name,
            ..place.clone()
        };
        let body = asked.json()?;
        let Some(location) = body.get("location").and_then(Value::as_str) else {
            return Err(Answer::error(
                400,
                "LocationRequired",
                "The location property is required for this definition.",
            ));
        };
        if !location
            .replace(' ', "")
            .eq_ignore_ascii_case(&self.settings.location)
        {
            return Err(Answer::error(
                400,
                "LocationNotAvailableForResourceType",
                format!(
                    "The provided location '{location}' is not available for resource type '{VM}'."
                ),
            ));
        }
        let key = place.key(VM);
        self.conditions(asked, self.vms.get(&key).map(|vm| vm.etag))?;
        if self.vms.contains_key(&key) {
            return self.vm_change(asked, &key, &body, script);
        }
        self.vm_create(asked, &place, body, script)
    }

    /// If-Match and If-None-Match against what is there.
    pub(crate) fn conditions(&self, asked: &Asked, etag: Option<u64>) -> Result<(), Answer> {
        let now = etag.map(|etag| format!("\"{etag}\""));
        let has = |wanted: &str| {
            wanted.split(',').map(str::trim).any(|tag| {
                (tag == "*" && now.is_some())
                    || Some(tag.trim_start_matches("W/")) == now.as_deref()
            })
        };
        let failed = asked.header("if-match").is_some_and(|tag| !has(tag))
            || asked.header("if-none-match").is_some_and(has);
        if failed {
            return Err(Answer::error(
                412,
                "PreconditionFailed",
                "The condition specified using HTTP conditional header(s) is not met.",
            ));
        }
        Ok(())
    }

    fn vm_create(&mut self, asked: &Asked, place: &Place, body: Value, script: &Script) -> Handled {
        check_name(&place.name)?;
        let size = text(&body, "/properties/hardwareProfile/vmSize").to_string();
        let zone = body
            .pointer("/zones/0")
            .and_then(Value::as_str)
            .map(str::to_string);
        let spot = text(&body, "/properties/priority") == "Spot";
        self.size_offered(&size, zone.as_deref())?;
        let version = self.image_version(&body)?;
        check_os(&body)?;
        self.quota_left(&size, spot)?;
        let id = place.id(VM);
        let nics = self.attach(&body, place, &id)?;
        let custom_data = text(&body, CUSTOM_DATA).to_string();
        let mut shown = body;
        let disk = self.os_disk(&mut shown, place, &id);
        if let Some(version) = version {
            let image = shown.pointer_mut("/properties/storageProfile/imageReference");
            if let Some(image) = image {
                set(image, "exactVersion", json!(version));
            }
        }
        if let Some(identity) = shown.get_mut("identity")
            && identity["type"]
                .as_str()
                .is_some_and(|t| t.contains("SystemAssigned"))
        {
            set(identity, "principalId", json!(self.uuid()));
            set(identity, "tenantId", json!(self.settings.tenant));
        }
        set(&mut shown, "id", json!(id));
        set(&mut shown, "name", json!(place.name));
        set(&mut shown, "type", json!(VM));
        let vm_id = self.uuid();
        if let Some(properties) = shown.get_mut("properties") {
            set(properties, "vmId", json!(vm_id));
            set(properties, "timeCreated", json!(self.clock.stamp(self.now)));
            set(
                properties,
                "networkProfile",
                json!({"networkInterfaces": nics.iter().enumerate().map(|(n, (key, goes))| json!({
                    "id": self.nics.get(key).map_or(key, |nic| &nic.id),
                    "properties": {"primary": n == 0, "deleteOption": if *goes { "Delete" } else { "Detach" }},
                })).collect::<Vec<_>>()}),
            );
            if spot && properties.get("evictionPolicy").is_none() {
                set(properties, "evictionPolicy", json!("Deallocate"));
            }
            hide(properties);
        }
        let key = id.to_lowercase();
        let vm = Vm {
            name: place.name.clone(),
            id,
            body: shown,
            custom_data,
            size: size.clone(),
            spot,
            etag: 1,
            provisioning: "Creating",
            failure: None,
            power: Some("starting"),
            busy: None,
            deleting: false,
            nics,
            disk,
            since: self.now,
        };
        let twins = self
            .vms
            .values()
            .any(|other| other.name.eq_ignore_ascii_case(&vm.name));
        if twins {
            self.books.duplicates.insert(vm.name.clone());
        }
        self.books.note(&vm.name, self.now, "create");
        self.vms.insert(key.clone(), vm);
        let script = self.capacity(&size, zone.as_deref(), script);
        let span = self.settings.timings.create;
        let op = self.begin(asked, "Microsoft.Compute", Job::Create, &key, span, &script);
        let answer = Answer::json(201, self.vm_work(&key, &op));
        Ok(self.announce(asked, &op, answer, false))
    }

    /// Gives the VM its operation; the VM as shown.
    pub(crate) fn vm_work(&mut self, key: &str, op: &str) -> Value {
        match self.vms.get_mut(key) {
            Some(vm) => {
                vm.busy = Some(op.to_string());
                self.vm_view(key, false)
            }
            None => Value::Null,
        }
    }

    fn vm_change(&mut self, asked: &Asked, key: &str, body: &Value, script: &Script) -> Handled {
        self.vm_idle(key, Job::Update)?;
        let Some(vm) = self.vms.get_mut(key) else {
            return Err(crate::vm_work::vm_missing(key));
        };
        let differs = |pointer: &&str| {
            let wants = body.pointer(pointer);
            wants.is_some() && wants != vm.body.pointer(pointer)
        };
        let data = text(body, CUSTOM_DATA);
        let changed = FIXED
            .iter()
            .copied()
            .find(differs)
            .or((!data.is_empty() && data != vm.custom_data).then_some(CUSTOM_DATA));
        if let Some(field) = changed.and_then(|pointer| pointer.rsplit('/').next()) {
            let message = format!("Changing property '{field}' is not allowed.");
            return Err(Answer::json(
                409,
                json!({"error": {"code": "PropertyChangeNotAllowed", "message": message, "target": field}}),
            ));
        }
        set(
            &mut vm.body,
            "tags",
            body.get("tags").cloned().unwrap_or(json!({})),
        );
        vm.resize(body);
        vm.etag += 1;
        vm.provisioning = "Updating";
        // A VM that never came up is tried again.
        let job = if vm.power.is_none() {
            Job::Create
        } else {
            Job::Update
        };
        let (name, size) = (vm.name.clone(), vm.size.clone());
        let zone = vm
            .body
            .pointer("/zones/0")
            .and_then(Value::as_str)
            .map(str::to_string);
        self.books.note(&name, self.now, "rewrite");
        Books::bump(&mut self.books.rewrites, name);
        let (span, script) = match job {
            Job::Create => (
                self.settings.timings.create,
                self.capacity(&size, zone.as_deref(), script),
            ),
            _ => (self.settings.timings.update, script.clone()),
        };
        let op = self.begin(asked, "Microsoft.Compute", job, key, span, &script);
        let answer = Answer::json(200, self.vm_work(key, &op));
        Ok(self.announce(asked, &op, answer, false))
    }

    /// Completes the OS disk's description and makes the disk.
    fn os_disk(&mut self, shown: &mut Value, place: &Place, vm: &str) -> Option<(String, bool)> {
        let given = text(shown, "/properties/storageProfile/osDisk/name").to_string();
        let name = if given.is_empty() {
            format!("{}_OsDisk_1_{}", place.name, self.uuid().replace('-', ""))
        } else {
            given
        };
        let storage = shown.pointer_mut("/properties/storageProfile")?;
        if storage.get("osDisk").is_none() {
            set(storage, "osDisk", json!({"createOption": "FromImage"}));
        }
        let disk = storage.get_mut("osDisk")?;
        let goes = disk["deleteOption"] == "Delete";
        let ephemeral = disk["diffDiskSettings"]["option"] == "Local";
        let at = Place {
            name: name.clone(),
            ..place.clone()
        };
        let id = at.id(DISK);
        let sku = disk["managedDisk"]["storageAccountType"]
            .as_str()
            .unwrap_or("Standard_LRS")
            .to_string();
        let size = disk["diskSizeGB"].as_u64().unwrap_or(30);
        set(disk, "name", json!(name));
        set(disk, "osType", json!("Linux"));
        set(disk, "diskSizeGB", json!(size));
        set(
            disk,
            "deleteOption",
            json!(if goes || ephemeral {
                "Delete"
            } else {
                "Detach"
            }),
        );
        if disk.get("caching").is_none() {
            set(disk, "caching", json!("ReadWrite"));
        }
        let mut managed = disk.get("managedDisk").cloned().unwrap_or(json!({}));
        set(&mut managed, "storageAccountType", json!(sku));
        set(&mut managed, "id", json!(id));
        set(disk, "managedDisk", managed);
        if ephemeral {
            return None;
        }
        let body = json!({
            "id": id, "name": name, "type": DISK, "location": self.settings.location,
            "sku": {"name": sku},
            "properties": {"osType": "Linux", "diskSizeGB": size, "creationData": {"createOption": "FromImage"},
                "timeCreated": self.clock.stamp(self.now), "provisioningState": "Succeeded"},
        });
        let key = id.to_lowercase();
        let thing = crate::world::Thing {
            id,
            body,
            holder: Some(vm.to_string()),
            goes,
        };
        self.disks.insert(key.clone(), thing);
        Some((key, goes))
    }
}

/// Takes out what Azure never shows again.
fn hide(properties: &mut Value) {
    for (parent, secret) in [
        ("/osProfile", "adminPassword"),
        ("/osProfile", "customData"),
        ("", "userData"),
    ] {
        if let Some(Value::Object(object)) = properties.pointer_mut(parent) {
            object.remove(secret);
        }
    }
}

fn text<'a>(body: &'a Value, pointer: &str) -> &'a str {
    body.pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn check_name(name: &str) -> Result<(), Answer> {
    let bad = |c: char| c.is_whitespace() || "\\/\"[]:|<>+=;,?*@&~!#$%^()_{}'`".contains(c);
    if name.is_empty()
        || name.len() > 64
        || name.contains(bad)
        || name.ends_with(['.', '-'])
        || name.chars().all(|c| c.is_ascii_digit())
    {
        return Err(Answer::invalid(
            "vmName",
            format!("The entity name '{name}' is invalid according to its validation rule."),
        ));
    }
    Ok(())
}

fn check_os(body: &Value) -> Result<(), Answer> {
    let os = "/properties/osProfile";
    if body.pointer(os).is_none() {
        return Err(Answer::invalid(
            "osProfile",
            "Required parameter 'osProfile' is missing (null).",
        ));
    }
    let computer = text(body, "/properties/osProfile/computerName");
    if computer.is_empty() || computer.len() > 64 || computer.contains(['_', '/', ' ']) {
        return Err(Answer::invalid(
            "linuxConfiguration.computerName",
            format!(
                "Linux host name '{computer}' is invalid: at most 64 characters, no '_' and no spaces."
            ),
        ));
    }
    if text(body, "/properties/osProfile/adminUsername").is_empty() {
        return Err(Answer::invalid(
            "adminUsername",
            "Required parameter 'adminUsername' is missing (null).",
        ));
    }
    let keys = body.pointer("/properties/osProfile/linuxConfiguration/ssh/publicKeys/0/keyData");
    if keys.is_none() && text(body, "/properties/osProfile/adminPassword").is_empty() {
        return Err(Answer::invalid(
            "adminPassword",
            "Authentication using either SSH or by user name and password must be enabled in Linux profile.",
        ));
    }
    Ok(())
}
