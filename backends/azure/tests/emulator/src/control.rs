//! The emulator's own endpoints below `/emulator`, for clients that are not
//! written in Rust: faults, time, books. They need no token.

use serde_json::{Value, json};

use crate::faults::Fault;
use crate::wire::{Answer, Asked, Handled};
use crate::world::World;

impl World {
    /// `POST fault` (a [`Fault`] as JSON), `POST heal`, `POST advance?seconds=`,
    /// `POST exhaust?size=&zone=`, `POST evict?vm=`, `POST limits?on=`,
    /// `GET books`.
    pub(crate) fn control(&mut self, asked: &Asked, low: &[&str]) -> Handled {
        let parameter = |name: &str| asked.parameter(name).unwrap_or_default();
        match (
            asked.method.as_str(),
            low.get(1).copied().unwrap_or_default(),
        ) {
            ("POST", "fault") => {
                let fault: Fault = serde_json::from_value(asked.json()?)
                    .map_err(|error| Answer::error(400, "BadFault", error.to_string()))?;
                self.faults.push(fault);
            }
            ("POST", "heal") => {
                self.faults.clear();
                self.full.clear();
            }
            ("POST", "advance") => {
                let seconds: f64 = parameter("seconds").parse().unwrap_or(0.0);
                self.clock
                    .advance(std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default());
                self.settle();
            }
            ("POST", "exhaust") => {
                let zone = Some(parameter("zone")).filter(|zone| !zone.is_empty());
                self.full.push((parameter("size"), zone));
            }
            ("POST", "evict") => {
                let name = parameter("vm");
                let key = self
                    .vms
                    .iter()
                    .find(|(_, vm)| vm.name == name)
                    .map(|(key, _)| key.clone());
                if let Some(key) = key {
                    self.evict(&key);
                }
            }
            ("POST", "limits") => self.settings.limits = parameter("on") != "false",
            ("GET", "books") => {
                let mut books = serde_json::to_value(&self.books).unwrap_or(Value::Null);
                for (name, count) in [
                    ("vms", self.vms.len()),
                    ("nics", self.nics.len()),
                    ("disks", self.disks.len()),
                ] {
                    crate::operations::set(&mut books, name, json!(count));
                }
                return Ok(Answer::json(200, books));
            }
            _ => return Err(Answer::error(404, "NotFound", "No such control.")),
        }
        Ok(Answer::json(200, json!({})))
    }
}
