//! Azure's rate limits as the token buckets that they are: Resource Manager's
//! per principal and per subscription, Compute's per subscription and per VM.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;

use crate::wire::Answer;

/// A bucket of tokens that refills steadily.
#[derive(Debug, Clone)]
pub struct Bucket {
    size: f64,
    per_second: f64,
    tokens: f64,
    at: Duration,
}

impl Bucket {
    /// A full bucket of `size` tokens that gains `per_second` tokens a second.
    pub fn full(size: f64, per_second: f64, now: Duration) -> Bucket {
        Bucket {
            size,
            per_second,
            tokens: size,
            at: now,
        }
    }

    fn refill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.size);
        self.at = self.at.max(now);
    }

    /// Whole tokens left.
    pub fn left(&self) -> u64 {
        // A token count is small and not negative.
        (self.tokens + 1e-9).floor() as u64
    }

    /// Takes a token, or says how long until there is one.
    ///
    /// # Errors
    /// The time to wait.
    pub fn take(&mut self, now: Duration) -> Result<u64, Duration> {
        self.refill(now);
        if self.tokens + 1e-9 >= 1.0 {
            self.tokens -= 1.0;
            return Ok(self.left());
        }
        Err(Duration::from_secs_f64(
            (1.0 - self.tokens) / self.per_second,
        ))
    }
}

/// Resource Manager's classes of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// GET and HEAD.
    Reads,
    /// PUT, PATCH and POST.
    Writes,
    /// DELETE.
    Deletes,
}

impl Class {
    pub(crate) fn of(method: &str) -> Class {
        match method {
            "GET" | "HEAD" => Class::Reads,
            "DELETE" => Class::Deletes,
            _ => Class::Writes,
        }
    }

    /// Azure's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Class::Reads => "reads",
            Class::Writes => "writes",
            Class::Deletes => "deletes",
        }
    }

    fn bucket(self) -> (f64, f64) {
        match self {
            Class::Reads => (250.0, 25.0),
            Class::Writes | Class::Deletes => (200.0, 10.0),
        }
    }

    fn headers(self) -> (&'static str, &'static str) {
        match self {
            Class::Reads => (
                "x-ms-ratelimit-remaining-subscription-reads",
                "x-ms-ratelimit-remaining-subscription-global-reads",
            ),
            Class::Writes => (
                "x-ms-ratelimit-remaining-subscription-writes",
                "x-ms-ratelimit-remaining-subscription-global-writes",
            ),
            Class::Deletes => (
                "x-ms-ratelimit-remaining-subscription-deletes",
                "x-ms-ratelimit-remaining-subscription-global-deletes",
            ),
        }
    }
}

/// The resource providers' own policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Policy {
    /// Creating a VM.
    PutVm,
    /// Starting, stopping, restarting, patching.
    UpdateVm,
    /// Deleting, deallocating, simulated evictions.
    DeleteVm,
    /// One VM or its instance view.
    LowCostGet,
    /// Lists of VMs.
    HighCostGet,
    /// An operation's progress.
    GetOperation,
    /// Writes to the network provider.
    NetworkWrite,
    /// Reads from the network provider.
    NetworkRead,
}

impl Policy {
    /// The policy's name in headers.
    pub fn name(self) -> &'static str {
        match self {
            Policy::PutVm => "PutVM",
            Policy::UpdateVm => "UpdateVM",
            Policy::DeleteVm => "DeleteVM",
            Policy::LowCostGet => "LowCostGet",
            Policy::HighCostGet => "HighCostGet",
            Policy::GetOperation => "GetOperation",
            Policy::NetworkWrite => "NetworkWrite",
            Policy::NetworkRead => "NetworkRead",
        }
    }

    /// Size and refill per minute, of the subscription and of one resource.
    fn buckets(self) -> ((f64, f64), Option<(f64, f64)>) {
        match self {
            Policy::PutVm | Policy::UpdateVm | Policy::DeleteVm => {
                ((1500.0, 500.0), Some((12.0, 4.0)))
            }
            Policy::LowCostGet => ((24000.0, 8000.0), Some((36.0, 12.0))),
            Policy::HighCostGet => ((900.0, 300.0), None),
            Policy::GetOperation => ((15000.0, 5000.0), Some((45.0, 15.0))),
            Policy::NetworkWrite => ((1000.0, 200.0), None),
            Policy::NetworkRead => ((10000.0, 2000.0), None),
        }
    }

    fn is_network(self) -> bool {
        matches!(self, Policy::NetworkRead | Policy::NetworkWrite)
    }
}

/// All buckets of the emulated region.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    arm: HashMap<(String, Class), Bucket>,
    global: HashMap<(String, Class), Bucket>,
    provider: HashMap<(Policy, String), Bucket>,
}

impl Limits {
    /// Resource Manager's part: headers, or the 429.
    pub(crate) fn arm(
        &mut self,
        subscription: &str,
        principal: &str,
        class: Class,
        now: Duration,
    ) -> Result<Vec<(&'static str, String)>, Answer> {
        let (size, rate) = class.bucket();
        let key = (format!("{subscription} {principal}"), class);
        let own = self
            .arm
            .entry(key)
            .or_insert_with(|| Bucket::full(size, rate, now));
        let left = own.take(now);
        let all = self
            .global
            .entry((subscription.to_string(), class))
            .or_insert_with(|| Bucket::full(size * 15.0, rate * 15.0, now));
        let (own_header, global_header) = class.headers();
        match left.and_then(|left| Ok((left, all.take(now)?))) {
            Ok((left, global)) => Ok(vec![
                (own_header, left.to_string()),
                (global_header, global.to_string()),
            ]),
            Err(wait) => Err(arm_throttle(subscription, principal, class, wait)),
        }
    }

    /// The provider's part for `resource`: headers, or the 429.
    pub(crate) fn provider(
        &mut self,
        policy: Policy,
        subscription: &str,
        resource: &str,
        now: Duration,
    ) -> Result<Vec<(&'static str, String)>, Answer> {
        let (all, one) = policy.buckets();
        let mut said = Vec::new();
        let mut wait = None;
        let mut take = |limits: &mut Limits, key: &str, what: &str, (size, rate): (f64, f64)| {
            let bucket = limits
                .provider
                .entry((policy, key.to_string()))
                .or_insert_with(|| Bucket::full(size, rate / 60.0, now));
            let left = bucket.take(now);
            if let Err(more) = left {
                wait = Some(wait.map_or(more, |had: Duration| had.max(more)));
            }
            said.push(format!(
                "Microsoft.Compute/{}{what};{}",
                policy.name(),
                left.unwrap_or(0)
            ));
        };
        take(self, subscription, "SubscriptionMaximum", all);
        if let Some(one) = one {
            take(self, resource, "Resource", one);
        }
        let remaining = said.join(",");
        match wait {
            Some(wait) => Err(provider_throttle(policy, wait, &remaining)),
            None if policy.is_network() => Ok(Vec::new()),
            None => Ok(vec![("x-ms-ratelimit-remaining-resource", remaining)]),
        }
    }
}

fn seconds(wait: Duration) -> u64 {
    (wait.as_secs_f64().ceil() as u64).max(1)
}

/// Resource Manager's own 429.
pub(crate) fn arm_throttle(
    subscription: &str,
    principal: &str,
    class: Class,
    wait: Duration,
) -> Answer {
    let wait = seconds(wait);
    Answer::error(
        429,
        "SubscriptionRequestsThrottled",
        format!(
            "Number of '{}' requests for subscription '{subscription}' actor '{principal}' exceeded. \
             Please try again after '{wait}' seconds after additional tokens are available. \
             Refer to https://aka.ms/arm-throttling for additional information.",
            class.name()
        ),
    )
    .with("retry-after", wait.to_string())
    .with(class.headers().0, "0")
}

/// A resource provider's 429.
pub(crate) fn provider_throttle(policy: Policy, wait: Duration, remaining: &str) -> Answer {
    let wait = seconds(wait);
    let answer = if policy.is_network() {
        Answer::error(
            429,
            "TooManyRequests",
            "The number of requests to the network provider exceeded its limit of 5 minutes.",
        )
    } else {
        let detail = json!({
            "operationGroup": policy.name(),
            "startTime": "", "endTime": "",
            "allowedRequestCount": policy.buckets().0.0 as u64,
            "measuredRequestCount": policy.buckets().0.0 as u64 + 1,
        });
        Answer::json(
            429,
            json!({"error": {
                "code": "OperationNotAllowed",
                "message": "The server rejected the request because too many requests have been received for this subscription.",
                "details": [{
                    "code": "TooManyRequests",
                    "target": policy.name(),
                    "message": detail.to_string(),
                }],
            }}),
        )
        .with("x-ms-ratelimit-remaining-resource", remaining)
    };
    answer.with("retry-after", wait.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let mut bucket = Bucket::full(200.0, 10.0, Duration::ZERO);
        assert_eq!(
            (0..300)
                .filter(|_| bucket.take(Duration::ZERO).is_ok())
                .count(),
            200
        );
        assert_eq!(bucket.take(Duration::ZERO), Err(Duration::from_millis(100)));
        assert_eq!(bucket.take(Duration::from_millis(100)), Ok(0));
        // 1,000 writes end 80 s after the first 200.
        let mut at = Duration::ZERO;
        let mut bucket = Bucket::full(200.0, 10.0, at);
        for _ in 0..1000 {
            while let Err(wait) = bucket.take(at) {
                at += wait;
            }
        }
        assert!((at.as_secs_f64() - 80.0).abs() < 0.1, "{at:?}");
    }

    #[test]
    fn principals_have_buckets_of_their_own_and_vms_too() {
        let mut limits = Limits::default();
        let now = Duration::ZERO;
        for _ in 0..200 {
            limits.arm("sub", "a", Class::Writes, now).unwrap();
        }
        let refused = limits.arm("sub", "a", Class::Writes, now).unwrap_err();
        assert_eq!(refused.status, 429);
        assert!(refused.headers.contains(&("retry-after", "1".into())));
        limits.arm("sub", "b", Class::Writes, now).unwrap();

        for left in (0..12).rev() {
            let said = limits
                .provider(Policy::UpdateVm, "sub", "vm1", now)
                .unwrap();
            assert!(said[0].1.ends_with(&format!("UpdateVMResource;{left}")));
        }
        let refused = limits
            .provider(Policy::UpdateVm, "sub", "vm1", now)
            .unwrap_err();
        // Four a minute: the next in 15 s.
        assert!(refused.headers.contains(&("retry-after", "15".into())));
        limits
            .provider(Policy::UpdateVm, "sub", "vm2", now)
            .unwrap();
    }
}
