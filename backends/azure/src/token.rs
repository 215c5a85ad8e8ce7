//! One token for all requests, asked for by one of them.
//!
//! The SDK's policy asks while it holds its lock, and requests that wait for that
//! lock wake each other without end. So a token is at hand before a request is
//! given to the policy, which never has to wait for one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::time::{Duration, OffsetDateTime};

use crate::auth::refuse;

/// A token is renewed so long before it ends, or in the middle of its life if
/// that is shorter.
const SOON: Duration = Duration::minutes(5);

/// A credential with the token that it gave last.
#[derive(Debug)]
pub(crate) struct Held {
    credential: Arc<dyn TokenCredential>,
    /// And until when it is good.
    token: Mutex<Option<(AccessToken, OffsetDateTime)>>,
    /// Held by whoever asks for a new one.
    asking: tokio::sync::Mutex<()>,
}

impl Held {
    pub(crate) fn new(credential: Arc<dyn TokenCredential>) -> Held {
        Held {
            credential,
            token: Mutex::new(None),
            asking: tokio::sync::Mutex::new(()),
        }
    }

    fn token(&self) -> MutexGuard<'_, Option<(AccessToken, OffsetDateTime)>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_good(&self) -> bool {
        let now = OffsetDateTime::now_utc();
        self.token().as_ref().is_some_and(|(_, until)| *until > now)
    }

    /// Sees to it that a good token is at hand.
    pub(crate) async fn renew(&self, scope: &str) -> azure_core::Result<()> {
        if self.is_good() {
            return Ok(());
        }
        let _asking = self.asking.lock().await;
        if !self.is_good() {
            let now = OffsetDateTime::now_utc();
            let fresh = self.credential.get_token(&[scope], None).await;
            match fresh {
                Ok(fresh) => {
                    let life = (fresh.expires_on - now).max(Duration::ZERO);
                    let until = fresh.expires_on - SOON.min(life / 2);
                    *self.token() = Some((fresh, until));
                }
                // Until it ends the old one will do.
                Err(_)
                    if self
                        .token()
                        .as_ref()
                        .is_some_and(|(t, _)| t.expires_on > now) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What is at hand, for the policy.
#[async_trait]
impl TokenCredential for Held {
    async fn get_token(
        &self,
        _scopes: &[&str],
        _options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let token = self.token().clone();
        token
            .map(|(token, _)| token)
            .ok_or_else(|| refuse("no token is at hand".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Takes a second, and refuses the first few times.
    #[derive(Debug)]
    struct Slow {
        refuses: u32,
        asked: AtomicU32,
    }

    #[async_trait]
    impl TokenCredential for Slow {
        async fn get_token(
            &self,
            _: &[&str],
            _: Option<TokenRequestOptions<'_>>,
        ) -> azure_core::Result<AccessToken> {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            if self.asked.fetch_add(1, Ordering::Relaxed) < self.refuses {
                return Err(refuse("not now".to_owned()));
            }
            let expires = OffsetDateTime::now_utc() + Duration::hours(1);
            Ok(AccessToken::new("token", expires))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_asks_for_all() {
        let slow = Arc::new(Slow {
            refuses: 2,
            asked: AtomicU32::new(0),
        });
        let held = Held::new(Arc::<Slow>::clone(&slow));
        assert!(held.get_token(&[], None).await.is_err());
        let all = (0..100).map(|_| held.renew("scope"));
        let refused = futures::future::join_all(all).await;
        assert_eq!(refused.iter().filter(|r| r.is_err()).count(), 2);
        assert_eq!(slow.asked.load(Ordering::Relaxed), 3);
        assert_eq!(
            held.get_token(&[], None).await.unwrap().token.secret(),
            "token"
        );
    }
}
