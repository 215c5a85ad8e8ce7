//! The emulated Azure as a value: give it a request, get its answer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{Request, Response};
use serde_json::Value;

use crate::books::Books;
use crate::clock::Clock;
use crate::faults::Fault;
use crate::settings::Settings;
use crate::wire::{Answer, Asked};
use crate::world::World;

/// What a test wants to be told of a VM's power: its name, and whether it now
/// runs. Called outside of every lock, in order.
pub type PowerHook = Box<dyn Fn(&str, bool) + Send + Sync>;

/// The emulated Azure. Clones are handles of the same.
#[derive(Clone)]
pub struct Cloud(Arc<Inner>);

struct Inner {
    clock: Arc<Clock>,
    world: Mutex<World>,
    news: Mutex<VecDeque<(String, bool)>>,
    hook: Mutex<Option<PowerHook>>,
}

impl std::fmt::Debug for Cloud {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cloud").finish_non_exhaustive()
    }
}

/// Poison tells of a panic elsewhere, which that test reports itself.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cloud {
    /// An Azure with these settings on this clock, without a server.
    pub fn new(settings: Settings, clock: Clock) -> Cloud {
        let clock = Arc::new(clock);
        let world = World::new(settings, Arc::clone(&clock));
        Cloud(Arc::new(Inner {
            clock,
            world: Mutex::new(world),
            news: Mutex::new(VecDeque::new()),
            hook: Mutex::new(None),
        }))
    }

    /// The clock that everything is counted on.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Moves the clock on and lets happen what was due.
    pub fn advance(&self, by: Duration) {
        self.0.clock.advance(by);
        self.tick();
    }

    /// Lets happen what is due by now.
    pub fn tick(&self) {
        self.with(|_| ());
    }

    /// Calls `hook` whenever a VM comes up or goes down.
    pub fn on_power_state(&self, hook: impl Fn(&str, bool) + Send + Sync + 'static) {
        *lock(&self.0.hook) = Some(Box::new(hook));
    }

    /// Adds a fault; faults are tried in the order of their adding.
    pub fn fault(&self, fault: Fault) {
        self.with(|world| world.faults.push(fault));
    }

    /// Forgets all faults, missing capacity and refused permissions.
    pub fn heal(&self) {
        self.with(|world| {
            world.faults.clear();
            world.full.clear();
            world.forbidden.clear();
            world.granted = None;
        });
    }

    /// Takes away the capacity of a size, everywhere or in one zone: creates
    /// and starts are accepted and their operations fail.
    pub fn exhaust(&self, size: &str, zone: Option<&str>) {
        let entry = (size.to_string(), zone.map(str::to_string));
        self.with(|world| world.full.push(entry));
    }

    /// Refuses actions that begin so, such as
    /// `Microsoft.Compute/virtualMachines/read`; with `over_subscription` only
    /// where no resource group is named.
    pub fn forbid(&self, action: &str, over_subscription: bool) {
        let entry = (action.to_lowercase(), over_subscription);
        self.with(|world| world.forbidden.push(entry));
    }

    /// Refuses every action but these, as roles do: some on the resource group,
    /// some on the subscription and so on the group too.
    pub fn permit_only(&self, on_group: &[String], on_subscription: &[String]) {
        let on = |all: &[String], everywhere| {
            let all = all.iter().map(|action| (action.to_lowercase(), everywhere));
            all.collect::<Vec<_>>()
        };
        let all = [on(on_group, false), on(on_subscription, true)].concat();
        self.with(|world| world.granted = Some(all));
    }

    /// A fresh token for Resource Manager, for the first service principal:
    /// for clients whose tests bring their own credential.
    pub fn token(&self) -> String {
        self.with(|world| {
            let first = world.settings.clients.keys().next().cloned();
            world.issue(&first.unwrap_or_default(), "https://management.azure.com/")
        })
    }

    /// Makes every token given so far worthless.
    pub fn expire_tokens(&self) {
        self.with(|world| {
            let now = world.now;
            world.tokens.values_mut().for_each(|token| token.2 = now);
        });
    }

    /// Evicts a VM now, as Azure does to Spot VMs.
    pub fn evict(&self, vm: &str) {
        self.each(vm, World::evict);
    }

    /// Removes a VM with its NIC and disk, as somebody in the portal may.
    pub fn vanish(&self, vm: &str) {
        self.each(vm, World::vm_gone);
    }

    fn each(&self, name: &str, act: impl Fn(&mut World, &str)) {
        self.with(|world| {
            let named = world.vms.iter().filter(|(_, vm)| vm.name == name);
            let keys: Vec<String> = named.map(|(key, _)| key.clone()).collect();
            keys.iter().for_each(|key| act(world, key));
        });
    }

    /// Puts a resource there that GET finds by its id: an image, a security
    /// group, a capacity reservation.
    pub fn put_resource(&self, id: &str, body: Value) {
        self.with(|world| world.others.insert(id.to_lowercase(), body));
    }

    /// Changes the settings of the running cloud.
    pub fn change(&self, change: impl FnOnce(&mut Settings)) {
        self.with(|world| change(&mut world.settings));
    }

    /// The settings as they are.
    pub fn settings(&self) -> Settings {
        self.with(|world| world.settings.clone())
    }

    /// The books as they are now.
    pub fn books(&self) -> Books {
        self.with(|world| Books {
            vms: world.vms.len(),
            running: world
                .vms
                .values()
                .filter(|vm| vm.power == Some("running"))
                .count(),
            nics: world.nics.len(),
            disks: world.disks.len(),
            public_ips: world.ips.len(),
            ..world.books.clone()
        })
    }

    /// Names of the existing VMs with their power state (empty if none) and
    /// provisioning state.
    pub fn vms(&self) -> Vec<(String, String, String)> {
        self.with(|world| {
            let vms = world.vms.values();
            vms.map(|vm| {
                (
                    vm.name.clone(),
                    vm.power.unwrap_or_default().to_string(),
                    vm.provisioning.to_string(),
                )
            })
            .collect()
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        let result = {
            let mut world = lock(&self.0.world);
            world.settle();
            let result = act(&mut world);
            lock(&self.0.news).extend(world.news.drain(..));
            result
        };
        self.tell();
        result
    }

    /// Tells the hook what it has not heard. Whoever holds the hook tells all,
    /// so a hook may call the cloud, and news keep their order.
    fn tell(&self) {
        let Ok(hook) = self.0.hook.try_lock() else {
            return;
        };
        let Some(hook) = hook.as_ref() else {
            return;
        };
        loop {
            let next = lock(&self.0.news).pop_front();
            let Some((vm, running)) = next else {
                return;
            };
            hook(&vm, running);
        }
    }

    /// Answers a request; none means that the connection is cut.
    pub async fn respond(&self, request: Request<Vec<u8>>) -> Option<Response<Vec<u8>>> {
        self.answer(Asked::new(request, true)).await
    }

    /// Answers a request to the metadata service of a VM, likewise.
    pub async fn metadata(&self, request: Request<Vec<u8>>) -> Option<Response<Vec<u8>>> {
        self.answer(Asked::new(request, false)).await
    }

    async fn answer(&self, asked: Asked) -> Option<Response<Vec<u8>>> {
        let (answer, delay) = self.with(|world| world.call(asked));
        if !delay.is_zero() {
            self.0.clock.sleep(delay).await;
        }
        answer.map(Answer::into_http)
    }
}
