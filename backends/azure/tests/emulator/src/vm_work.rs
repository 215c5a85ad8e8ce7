//! What becomes of a VM after it was created: actions, deletes, evictions, and
//! the ends of their operations.

use std::time::Duration;

use serde_json::{Value, json};

use crate::faults::Debris;
use crate::operations::{Job, Operation, Script, set};
use crate::vm_put::{Place, VM};
use crate::wire::{Answer, Asked, Handled};
use crate::world::{Due, World};

pub(crate) fn vm_missing(id: &str) -> Answer {
    let name = id.rsplit('/').next().unwrap_or(id);
    Answer::error(
        404,
        "ResourceNotFound",
        format!(
            "The Resource '{VM}/{name}' under resource group '{}' was not found. \
             For more details please go to https://aka.ms/ARMResourceNotFoundFix",
            id.split('/').nth(4).unwrap_or_default()
        ),
    )
}

impl World {
    /// The key of an existing VM.
    pub(crate) fn vm_key(&self, place: &Place) -> Result<String, Answer> {
        self.group(&place.subscription, &place.group)?;
        let key = place.key(VM);
        if self.vms.contains_key(&key) {
            return Ok(key);
        }
        Err(vm_missing(&place.id(VM)))
    }

    /// Whether `job` may begin. What takes a VM down preempts what brings it
    /// up; all else that overlaps is refused.
    pub(crate) fn vm_idle(&mut self, key: &str, job: Job) -> Result<(), Answer> {
        let Some(vm) = self.vms.get(key) else {
            return Err(vm_missing(key));
        };
        if vm.deleting {
            return Err(Answer::error(
                409,
                "OperationNotAllowed",
                format!(
                    "Operation '{}' is not allowed on VM '{}' since the VM is marked for deletion. You can only \
                     retry the Delete operation (or wait for an ongoing one to complete).",
                    job.word(),
                    vm.name
                ),
            ));
        }
        let Some(busy) = vm.busy.clone() else {
            return Ok(());
        };
        let at_work = self.operations.get(&busy).map_or(Job::Done, |op| op.job);
        let preempts = match job {
            Job::Delete => true,
            Job::Deallocate => at_work != Job::Create && at_work != Job::Update,
            Job::PowerOff => matches!(at_work, Job::Start | Job::Restart),
            _ => false,
        };
        if preempts {
            self.preempt(&busy);
            return Ok(());
        }
        Err(Answer::error(
            409,
            "Conflict",
            format!(
                "The request failed due to conflict with a concurrent request ('{}' of VM '{}' is in progress). \
                 To resolve it, please refer to https://aka.ms/activitylog to get more details on the conflicting requests.",
                at_work.word(),
                vm.name
            ),
        ))
    }

    /// PATCH: tags and identity are replaced, the size too.
    pub(crate) fn vm_patch(&mut self, asked: &Asked, place: &Place, script: &Script) -> Handled {
        let key = self.vm_key(place)?;
        let body = asked.json()?;
        self.conditions(asked, self.vms.get(&key).map(|vm| vm.etag))?;
        self.vm_idle(&key, Job::Update)?;
        let Some(vm) = self.vms.get_mut(&key) else {
            return Err(vm_missing(&key));
        };
        for member in ["tags", "identity"] {
            if let Some(value) = body.get(member) {
                set(&mut vm.body, member, value.clone());
            }
        }
        vm.resize(&body);
        vm.etag += 1;
        vm.provisioning = "Updating";
        let name = vm.name.clone();
        self.books.note(&name, self.now, "update");
        let span = self.settings.timings.update;
        let op = self.begin(asked, "Microsoft.Compute", Job::Update, &key, span, script);
        let answer = Answer::json(200, self.vm_work(&key, &op));
        Ok(self.announce(asked, &op, answer, false))
    }

    /// POST start, powerOff, deallocate, restart, redeploy, simulateEviction.
    pub(crate) fn vm_action(
        &mut self,
        asked: &Asked,
        place: &Place,
        action: &str,
        script: &Script,
    ) -> Handled {
        let key = self.vm_key(place)?;
        let timings = self.settings.timings.clone();
        let (job, span, going) = match action {
            "start" => (Job::Start, timings.start, "starting"),
            "poweroff" => (Job::PowerOff, timings.power_off, "stopping"),
            "deallocate" => (Job::Deallocate, timings.deallocate, "deallocating"),
            "restart" | "redeploy" => (Job::Restart, timings.restart, "running"),
            "simulateeviction" => {
                if !self.vms.get(&key).is_some_and(|vm| vm.spot) {
                    return Err(Answer::error(
                        409,
                        "OperationNotAllowed",
                        "Eviction is only allowed on Spot VMs.",
                    ));
                }
                self.later(timings.eviction, Due::Evict(key));
                return Ok(Answer::empty(204));
            }
            _ => {
                return Err(Answer::error(
                    400,
                    "InvalidAction",
                    format!("The emulator knows no action '{action}'."),
                ));
            }
        };
        self.vm_idle(&key, job)?;
        let Some(vm) = self.vms.get_mut(&key) else {
            return Err(vm_missing(&key));
        };
        let power = vm.power.unwrap_or("stopped");
        if job == Job::Restart && power != "running" {
            return Err(Answer::error(
                409,
                "OperationNotAllowed",
                format!(
                    "Operation 'restart' is not allowed on VM '{}' since the VM is not running.",
                    vm.name
                ),
            ));
        }
        // Asking for what is so already ends at once and well.
        let moot = matches!(
            (job, power),
            (Job::Start, "running")
                | (Job::Deallocate | Job::PowerOff, "deallocated")
                | (Job::PowerOff, "stopped")
        );
        let (name, size) = (vm.name.clone(), vm.size.clone());
        let zone = vm
            .body
            .pointer("/zones/0")
            .and_then(Value::as_str)
            .map(str::to_string);
        if !moot {
            vm.provisioning = "Updating";
        }
        let script = match job {
            Job::Start if power == "deallocated" => self.capacity(&size, zone.as_deref(), script),
            _ => script.clone(),
        };
        if !moot {
            self.vm_power(&key, Some(going));
        }
        self.books.note(&name, self.now, job.word());
        let span = if moot { Duration::from_secs(1) } else { span };
        let op = self.begin(asked, "Microsoft.Compute", job, &key, span, &script);
        self.vm_work(&key, &op);
        Ok(self.announce(asked, &op, Answer::empty(202), true))
    }

    pub(crate) fn vm_delete(&mut self, asked: &Asked, place: &Place, script: &Script) -> Handled {
        self.group(&place.subscription, &place.group)?;
        let key = place.key(VM);
        let Some(vm) = self.vms.get(&key) else {
            return Ok(Answer::empty(204));
        };
        self.conditions(asked, Some(vm.etag))?;
        let (again, failed, name) = (vm.deleting, vm.failure.is_some(), vm.name.clone());
        if again && let Some(op) = vm.busy.clone() {
            return Ok(self.announce(asked, &op, Answer::empty(202), true));
        }
        self.vm_idle(&key, Job::Delete)?;
        let timings = &self.settings.timings;
        let forced = asked
            .parameter("forceDeletion")
            .is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let span = match (failed, forced) {
            (true, _) => timings.delete_failed,
            (_, true) => timings.delete_forced,
            _ => timings.delete,
        };
        if let Some(vm) = self.vms.get_mut(&key) {
            vm.deleting = true;
            vm.provisioning = "Deleting";
        }
        self.vm_power(&key, Some("stopping"));
        self.books.note(&name, self.now, "delete");
        let op = self.begin(asked, "Microsoft.Compute", Job::Delete, &key, span, script);
        self.vm_work(&key, &op);
        Ok(self.announce(asked, &op, Answer::empty(202), true))
    }

    /// Sets the power state and tells of it when the machine comes up or goes.
    pub(crate) fn vm_power(&mut self, key: &str, power: Option<&'static str>) {
        let Some(vm) = self.vms.get_mut(key) else {
            return;
        };
        let (was, is) = (vm.power == Some("running"), power == Some("running"));
        vm.power = power;
        vm.since = self.now;
        if was != is {
            let name = vm.name.clone();
            self.books
                .note(&name, self.now, if is { "up" } else { "down" });
            if is {
                self.books.up_at.insert(name.clone(), self.now);
            }
            self.news.push((name, is));
        }
    }

    /// The end of an operation on a VM or on something else.
    pub(crate) fn vm_finish(&mut self, id: &str, operation: &Operation) {
        let key = operation.target.as_str();
        if operation.job == Job::Remove && operation.status == "Succeeded" {
            self.disks.remove(key);
            self.ips.remove(key);
            self.nics.remove(key);
            // An address goes with its machine, and not with the NIC alone.
            for ip in self.ips.values_mut() {
                ip.holder.take_if(|nic| nic == key);
            }
        }
        let now = self.now;
        let Some(vm) = self
            .vms
            .get_mut(key)
            .filter(|vm| vm.busy.as_deref() == Some(id))
        else {
            return;
        };
        vm.busy = None;
        let name = vm.name.clone();
        let (done, power) = match operation.job {
            Job::Create => ("created", Some("running")),
            Job::Start => ("started", Some("running")),
            Job::PowerOff => ("stopped", Some("stopped")),
            Job::Deallocate => ("deallocated", Some("deallocated")),
            Job::Restart => ("restarted", Some("running")),
            Job::Delete => ("deleted", None),
            Job::Update | Job::Remove | Job::Done => ("updated", vm.power),
        };
        if let Some((code, _)) = operation.error.clone() {
            vm.provisioning = "Failed";
            vm.failure = Some(code.clone());
            vm.deleting = false;
            self.books.note(
                &name,
                now,
                format!("{} failed: {code}", operation.job.word()),
            );
            match operation.job {
                Job::Create => self.create_failed(key, operation),
                Job::Start => self.vm_power(key, Some("deallocated")),
                _ => {}
            }
            return;
        }
        self.books.note(&name, now, done);
        if operation.job == Job::Delete {
            self.vm_gone(key);
            return;
        }
        vm.provisioning = "Succeeded";
        vm.failure = None;
        self.vm_power(key, power);
    }

    /// A failed create leaves its NICs reserved; the VM may stay or not.
    fn create_failed(&mut self, key: &str, operation: &Operation) {
        self.vm_power(key, None);
        let until = self.now + self.settings.timings.reservation;
        let Some(vm) = self.vms.get_mut(key) else {
            return;
        };
        let id = vm.id.clone();
        for (nic, _) in vm.nics.clone() {
            if let Some(nic) = self.nics.get_mut(&nic) {
                nic.reserved = Some((id.clone(), until));
            }
        }
        if matches!(&operation.script.fail, Some((_, _, Debris::Orphans)))
            && let Some(mut vm) = self.vms.remove(key)
        {
            // Nobody deletes with the VM what the VM never owned.
            vm.nics.iter_mut().for_each(|(_, goes)| *goes = false);
            vm.disk = vm.disk.map(|(disk, _)| (disk, false));
            self.release(&vm);
        }
    }

    pub(crate) fn vm_gone(&mut self, key: &str) {
        self.vm_power(key, None);
        if let Some(vm) = self.vms.remove(key) {
            if let Some(op) = &vm.busy {
                self.preempt(op);
            }
            self.release(&vm);
        }
    }

    /// A Spot VM loses its place.
    pub(crate) fn evict(&mut self, key: &str) {
        let Some(vm) = self.vms.get_mut(key) else {
            return;
        };
        if vm.deleting {
            return;
        }
        let name = vm.name.clone();
        let deletes = vm.text("/properties/evictionPolicy") == "Delete";
        if let Some(op) = vm.busy.take() {
            self.preempt(&op);
        }
        self.books.note(&name, self.now, "evicted");
        if deletes {
            self.vm_gone(key);
        } else {
            if let Some(vm) = self.vms.get_mut(key) {
                vm.provisioning = "Succeeded";
            }
            self.vm_power(key, Some("deallocated"));
        }
    }

    /// The VM as a GET shows it.
    pub(crate) fn vm_view(&self, key: &str, with_instance: bool) -> Value {
        let Some(vm) = self.vms.get(key) else {
            return Value::Null;
        };
        let mut view = vm.body.clone();
        set(&mut view, "etag", json!(format!("\"{}\"", vm.etag)));
        if let Some(properties) = view.get_mut("properties") {
            set(properties, "provisioningState", json!(vm.provisioning));
            if with_instance {
                set(properties, "instanceView", self.instance_view(key, true));
            }
        }
        view
    }

    pub(crate) fn instance_view(&self, key: &str, with_power: bool) -> Value {
        let Some(vm) = self.vms.get(key) else {
            return Value::Null;
        };
        let word = vm.provisioning.to_lowercase();
        let code = match &vm.failure {
            Some(code) if vm.provisioning == "Failed" => format!("ProvisioningState/{word}/{code}"),
            _ => format!("ProvisioningState/{word}"),
        };
        let level = if vm.provisioning == "Failed" {
            "Error"
        } else {
            "Info"
        };
        let mut statuses = vec![json!({
            "code": code, "level": level,
            "displayStatus": format!("Provisioning {word}"),
            "time": self.clock.stamp(vm.since),
        })];
        if let Some(power) = vm.power.filter(|_| with_power) {
            statuses.push(json!({
                "code": format!("PowerState/{power}"), "level": "Info",
                "displayStatus": format!("VM {power}"),
            }));
        }
        let mut view = json!({"hyperVGeneration": "V2", "statuses": statuses});
        if vm.power == Some("running") {
            set(
                &mut view,
                "computerName",
                json!(vm.text("/properties/osProfile/computerName")),
            );
            set(&mut view, "osName", json!("almalinux"));
        }
        view
    }
}
