//! From the network to the work: scripted faults, tokens, permissions, limits.

use std::time::Duration;

use crate::books::Books;
use crate::buckets::{Class, Policy, arm_throttle, provider_throttle};
use crate::faults::Act;
use crate::operations::Script;
use crate::routes::{kind, policy};
use crate::wire::{Answer, Asked};
use crate::world::World;

/// What faults do to a call.
#[derive(Debug, Default)]
struct Scripted {
    script: Script,
    answer: Option<Answer>,
    delay: Duration,
    reset: bool,
    lost: bool,
}

impl World {
    /// A call from the network: what goes wrong by script, who calls, what is
    /// allowed, and then the work. No answer: the connection is cut.
    pub(crate) fn call(&mut self, asked: Asked) -> (Option<Answer>, Duration) {
        let low: Vec<String> = asked.parts.iter().map(|part| part.to_lowercase()).collect();
        let low: Vec<&str> = low.iter().map(String::as_str).collect();
        if low.first() == Some(&"emulator") {
            let answer = self.control(&asked, &low).unwrap_or_else(|refused| refused);
            return (Some(answer), Duration::ZERO);
        }
        Books::bump(&mut self.books.calls, kind(&asked.method, &asked, &low));
        let mut scripted = self.scripted(&asked, &low);
        if scripted.reset {
            return (None, Duration::ZERO);
        }
        let answer = scripted.answer.take();
        let mut answer = answer.unwrap_or_else(|| self.admit(&asked, &low, &scripted.script));
        let id = self.uuid();
        answer = answer
            .with("x-ms-request-id", id.clone())
            .with("x-ms-correlation-request-id", id)
            .with("cache-control", "no-cache");
        *self.books.statuses.entry(answer.status).or_default() += 1;
        if let Some(code) = answer
            .body
            .as_ref()
            .filter(|_| answer.status >= 400)
            .and_then(|body| body.pointer("/error/code"))
        {
            Books::bump(&mut self.books.refusals, code.as_str().unwrap_or_default());
        }
        (Some(answer).filter(|_| !scripted.lost), scripted.delay)
    }

    /// The fault that meets this call, if any, made ready.
    fn scripted(&mut self, asked: &Asked, low: &[&str]) -> Scripted {
        let mut scripted = Scripted::default();
        let now = self.now;
        let fault = self.faults.iter_mut().find_map(|f| {
            f.meets(&asked.method, &asked.path, now)
                .then(|| f.act.clone())
        });
        let Some(act) = fault else {
            return scripted;
        };
        self.books.faults += 1;
        match act {
            Act::Reset => scripted.reset = true,
            Act::LoseReply => scripted.lost = true,
            Act::Delay(seconds) => scripted.delay = span(seconds),
            Act::Stretch(seconds) => scripted.script.stretch = span(seconds),
            Act::PreemptOperation => scripted.script.preempt = true,
            Act::FailOperation {
                code,
                message,
                debris,
            } => scripted.script.fail = Some((code, message, debris)),
            Act::Answer {
                status,
                code,
                message,
                retry_after,
            } => {
                let refused = Answer::error(status, &code, message);
                scripted.answer = Some(match retry_after {
                    Some(seconds) => refused.with("retry-after", seconds.to_string()),
                    None => refused,
                });
            }
            Act::ArmThrottle(seconds) => {
                let (class, wait) = (Class::of(&asked.method), Duration::from_secs(seconds));
                let subscription = self.settings.subscription();
                scripted.answer = Some(arm_throttle(subscription, "scripted", class, wait));
            }
            Act::ComputeThrottle(seconds) => {
                let policy =
                    policy(&asked.method, low).map_or(Policy::UpdateVm, |(policy, _)| policy);
                let remaining = format!("Microsoft.Compute/{}SubscriptionMaximum;0", policy.name());
                scripted.answer = Some(provider_throttle(
                    policy,
                    Duration::from_secs(seconds),
                    &remaining,
                ));
            }
        }
        scripted
    }

    fn admit(&mut self, asked: &Asked, low: &[&str], script: &Script) -> Answer {
        let open = match (asked.method.as_str(), low) {
            ("GET", ["metadata", "identity", "oauth2", "token"]) if !asked.secure => {
                Some(self.identity(asked))
            }
            _ if !asked.secure => {
                let message =
                    "The metadata service has tokens only, and Azure itself is behind TLS.";
                Some(Err(Answer::error(404, "NotFound", message)))
            }
            ("GET", ["metadata", "endpoints"]) => Some(Ok(self.endpoints(&asked.base, asked))),
            ("POST", [_, "oauth2", "v2.0", "token"]) => {
                let tenant = asked.parts.first().cloned().unwrap_or_default();
                Some(self.token(asked, &tenant))
            }
            ("GET", [tenant, "v2.0", ".well-known", "openid-configuration"]) => {
                Some(self.openid(asked, tenant))
            }
            _ => None,
        };
        if let Some(answer) = open {
            return answer.unwrap_or_else(|refused| refused);
        }
        let mut headers = Vec::new();
        let mut admitted = || -> Result<(), Answer> {
            let principal = self.principal(asked)?;
            if asked.api_version().is_empty() {
                return Err(Answer::error(
                    400,
                    "MissingApiVersionParameter",
                    "The api-version query parameter (?api-version=) is required for all requests.",
                ));
            }
            let class = Class::of(&asked.method);
            Books::bump(&mut self.books.classes, class.name());
            let subscription = low.get(1).copied().unwrap_or_default();
            if self.settings.limits {
                headers.extend(self.limits.arm(subscription, &principal, class, self.now)?);
            }
            self.permitted(asked, low, &principal)?;
            if let Some((policy, resource)) =
                policy(&asked.method, low).filter(|_| self.settings.limits)
            {
                headers.extend(
                    self.limits
                        .provider(policy, subscription, &resource, self.now)?,
                );
            }
            Ok(())
        };
        let mut answer = match admitted() {
            Err(refused) => refused,
            Ok(()) => self
                .route(asked, low, script)
                .unwrap_or_else(|refused| refused),
        };
        answer.headers.extend(headers);
        answer
    }

    fn permitted(&self, asked: &Asked, low: &[&str], principal: &str) -> Result<(), Answer> {
        // The last: what is asked of a resource is the asked one's business.
        let Some(at) = low.iter().rposition(|part| *part == "providers") else {
            return Ok(());
        };
        let over_subscription = low.get(2) != Some(&"resourcegroups");
        // provider, then every other part is a type's name.
        let rest = low.get(at + 1..).unwrap_or_default();
        let kind: Vec<&str> = rest
            .iter()
            .enumerate()
            .filter(|(n, _)| *n == 0 || n % 2 == 1)
            .map(|(_, part)| *part)
            .collect();
        let verb = match asked.method.as_str() {
            "GET" | "HEAD" => "read",
            "DELETE" => "delete",
            "POST" => "action",
            _ => "write",
        };
        let action = format!("{}/{verb}", kind.join("/"));
        let barred = self
            .forbidden
            .iter()
            .any(|(prefix, only)| action.starts_with(prefix) && (over_subscription || !only));
        let outside = self.granted.as_ref().is_some_and(|all| {
            !all.iter()
                .any(|(one, everywhere)| *one == action && (*everywhere || !over_subscription))
        });
        if !barred && !outside {
            return Ok(());
        }
        Err(Answer::error(
            403,
            "AuthorizationFailed",
            format!(
                "The client '{principal}' with object id '{principal}' does not have authorization to perform action '{action}' over scope '{}' or the scope is invalid. If access was recently granted, please refresh your credentials.",
                asked.path
            ),
        ))
    }
}

fn span(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
