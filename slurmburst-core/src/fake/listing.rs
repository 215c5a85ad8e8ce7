use std::sync::PoisonError;

use super::acts::millis;
use super::{FakeCloud, pause};
use crate::error::{Effect, Error, ErrorKind, Result};
use crate::provider::{Context, Gap, Leftover, Listing, OpKind};

impl FakeCloud {
    /// All pages, and what is missing.
    pub(super) async fn list_all(&self, cx: &Context) -> Result<Listing> {
        if cx.remaining().is_zero() {
            let error = Error::new(ErrorKind::Timeout, "the deadline had passed before listing");
            return Err(error.effect(Effect::None));
        }
        let mut listing = Listing::default();
        let mut next = self
            .request(cx, OpKind::List, &[], |_| {
                let next = self.page(cx.cluster_id(), None, &mut listing)?;
                self.store.with(|books| {
                    let ours = books
                        .leftovers
                        .iter()
                        .filter(|(_, d)| d.cluster == cx.cluster_id());
                    listing.leftovers = ours
                        .map(|(id, debris)| Leftover {
                            node: debris.node.clone(),
                            id: id.clone(),
                            kind: debris.kind.clone(),
                            certain: debris.certain,
                        })
                        .collect();
                })?;
                Ok(next)
            })
            .await?;
        while let Some(after) = next {
            next = self
                .in_time(cx, async {
                    pause(self.options.delay).await;
                    self.page(cx.cluster_id(), Some(&after), &mut listing)
                })
                .await?;
        }
        let gaps = self.gaps.lock().unwrap_or_else(PoisonError::into_inner);
        listing.gaps = gaps
            .iter()
            .map(|(scope, error)| Gap {
                scope: scope.clone(),
                error: error.clone(),
            })
            .collect();
        Ok(listing)
    }

    /// One page of a listing; answers where the next begins, if there is one.
    fn page(
        &self,
        cluster: &str,
        after: Option<&str>,
        listing: &mut Listing,
    ) -> Result<Option<String>> {
        let gaps = self.gaps.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.now_ms();
        let size = if self.options.page_size == 0 {
            usize::MAX
        } else {
            self.options.page_size
        };
        let linger = millis(self.options.shown_after_death);
        let lifetime = self.options.lifetime.map(millis);
        self.store.with(|books| {
            books.count_page();
            let ids = books.page(after, size);
            for id in &ids {
                let Some(record) = books.machine(id) else {
                    continue;
                };
                let state = record.state(now);
                if state.is_gone() && record.ready_ms.saturating_add(linger) <= now {
                    books.forget(id);
                } else if record.cluster == cluster
                    && record.visible_ms <= now
                    && !gaps.contains_key(&record.zone)
                {
                    listing.instances.push(record.instance(now, lifetime));
                }
            }
            ids.last().filter(|_| ids.len() >= size).cloned()
        })
    }
}
