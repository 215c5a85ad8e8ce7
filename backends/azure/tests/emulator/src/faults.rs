//! Faults by script: which calls, how often, and what goes wrong.

use std::time::Duration;

use serde::Deserialize;

/// A scripted fault: the calls that it meets and what it does to them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What goes wrong.
    pub act: Act,
    /// Only calls with this method.
    #[serde(default)]
    pub method: Option<String>,
    /// Only calls whose path contains this, without regard to case.
    #[serde(default)]
    pub path: Option<String>,
    /// Lets this many matching calls pass first.
    #[serde(default)]
    pub after: u32,
    /// Meets every n-th matching call only; 0 and 1 meet all.
    #[serde(default)]
    pub every: u32,
    /// Stops after this many; none means never.
    #[serde(default)]
    pub times: Option<u32>,
    /// Ends at this second of the emulator's clock; none means never.
    #[serde(default)]
    pub until: Option<f64>,
    #[serde(skip)]
    seen: u32,
}

/// What goes wrong.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    /// Answers with this error and does nothing.
    Answer {
        /// The HTTP status.
        status: u16,
        /// Azure's code.
        code: String,
        /// Azure's message.
        message: String,
        /// The header `Retry-After`, in seconds.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// Answers 429 as Resource Manager does, with this many seconds to wait.
    ArmThrottle(u64),
    /// Answers 429 as Compute does, with this many seconds to wait.
    ComputeThrottle(u64),
    /// Cuts the connection before anything was done.
    Reset,
    /// Does what was asked, then cuts the connection.
    LoseReply,
    /// Does what was asked and answers this many seconds later.
    Delay(f64),
    /// Accepts the call; its operation fails.
    FailOperation {
        /// Azure's code, such as `AllocationFailed`.
        code: String,
        /// Azure's message.
        message: String,
        /// What a failed create leaves behind.
        #[serde(default)]
        debris: Debris,
    },
    /// Accepts the call; its operation ends `Canceled` by `OperationPreempted`.
    PreemptOperation,
    /// Accepts the call; its operation takes this many seconds more.
    Stretch(f64),
}

/// What a failed create leaves behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Debris {
    /// The VM in state Failed, its NIC and its disk.
    #[default]
    Vm,
    /// The NIC and the disk, attached to nothing.
    Orphans,
}

impl Fault {
    /// A fault that meets every call.
    pub fn new(act: Act) -> Fault {
        Fault {
            act,
            method: None,
            path: None,
            after: 0,
            every: 0,
            times: None,
            until: None,
            seen: 0,
        }
    }

    /// Capacity is gone: the operation fails with `AllocationFailed`.
    pub fn allocation_failed() -> Fault {
        Fault::fail_operation("AllocationFailed", ALLOCATION_FAILED)
    }

    /// The operation fails with this code and message; a create leaves the VM.
    pub fn fail_operation(code: &str, message: &str) -> Fault {
        Fault::new(Act::FailOperation {
            code: code.to_string(),
            message: message.to_string(),
            debris: Debris::Vm,
        })
    }

    /// Answers with this error and does nothing.
    pub fn answer(status: u16, code: &str, message: &str) -> Fault {
        Fault::new(Act::Answer {
            status,
            code: code.to_string(),
            message: message.to_string(),
            retry_after: None,
        })
    }

    /// The size is not to be had here: refused at once.
    pub fn sku_not_available(size: &str, location: &str) -> Fault {
        let message = format!(
            "The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: {size}' \
             is currently not available in location '{location}'. Please try another size or deploy to a \
             different location or different zone. See https://aka.ms/azureskunotavailable for details."
        );
        Fault::answer(409, "SkuNotAvailable", &message)
    }

    /// Only calls with this method whose path contains this.
    pub fn on(mut self, method: &str, path: &str) -> Fault {
        self.method = Some(method.to_string());
        self.path = Some(path.to_string());
        self
    }

    /// Stops after this many.
    pub fn times(mut self, times: u32) -> Fault {
        self.times = Some(times);
        self
    }

    /// Lets this many matching calls pass first.
    pub fn after(mut self, after: u32) -> Fault {
        self.after = after;
        self
    }

    /// Meets every n-th matching call only.
    pub fn every(mut self, every: u32) -> Fault {
        self.every = every;
        self
    }

    /// Ends at this time of the emulator's clock.
    pub fn until(mut self, at: Duration) -> Fault {
        self.until = Some(at.as_secs_f64());
        self
    }

    /// Whether the fault meets this call; counts it.
    pub(crate) fn meets(&mut self, method: &str, path: &str, now: Duration) -> bool {
        let matches = self
            .method
            .as_ref()
            .is_none_or(|m| m.eq_ignore_ascii_case(method))
            && self
                .path
                .as_ref()
                .is_none_or(|p| path.to_lowercase().contains(&p.to_lowercase()))
            && self.until.is_none_or(|until| now.as_secs_f64() < until)
            && self.times != Some(0);
        if !matches {
            return false;
        }
        self.seen += 1;
        let nth = self.seen.saturating_sub(self.after);
        if nth == 0 || !nth.is_multiple_of(self.every.max(1)) {
            return false;
        }
        self.times = self.times.map(|left| left - 1);
        true
    }
}

pub(crate) const ALLOCATION_FAILED: &str = "Allocation failed. We do not have sufficient capacity for the requested VM size in this region. \
     Read more about improving likelihood of allocation success at http://aka.ms/allocation-guidance";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_counts_what_it_meets() {
        let mut fault = Fault::new(Act::Reset)
            .on("PUT", "virtualMachines/n")
            .after(1)
            .every(2)
            .times(2);
        let hits: Vec<bool> = (0..8)
            .map(|_| fault.meets("PUT", "/x/virtualmachines/N1", Duration::ZERO))
            .collect();
        assert_eq!(hits, [false, false, true, false, true, false, false, false]);
        assert!(!fault.meets("GET", "/x/virtualMachines/n1", Duration::ZERO));
    }
}
