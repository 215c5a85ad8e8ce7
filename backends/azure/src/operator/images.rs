//! What the marketplace has.

use futures::future::join_all;
use slurmburst_core::error::{Error, ErrorKind, Result};
use slurmburst_core::kind::{Image, ImageFilter};
use slurmburst_core::provider::Context;

use super::{AzureOperator, TOGETHER, patiently};
use crate::api::{self, Ending};

impl AzureOperator {
    /// As `Operator::images`. Azure tells one level at a time, and has tens of
    /// thousands: without a publisher its publishers, with one what it offers,
    /// with an offer too the newest version of each.
    pub(super) async fn marketplace(
        &self,
        cx: &Context,
        filter: &ImageFilter,
    ) -> Result<Vec<Image>> {
        let Some(publisher) = &filter.publisher else {
            if filter.offer.is_some() {
                let text = "an offer is looked for at a publisher; name that too";
                return Err(Error::new(ErrorKind::Invalid, text));
            }
            let all = self.named(cx, Ending::Publishers).await?;
            let image = |publisher: String| Image {
                publisher,
                offer: None,
                sku: None,
                version: None,
                image: None,
            };
            return Ok(all.into_iter().map(image).collect());
        };
        plain(publisher)?;
        let offers = match &filter.offer {
            Some(offer) => vec![plain(offer)?.to_owned()],
            None => self.named(cx, Ending::Offers(publisher)).await?,
        };
        let mut images = Vec::new();
        for some in offers.chunks(TOGETHER) {
            let asked = some.iter().map(|offer| async move {
                let skus = self.named(cx, Ending::Skus(publisher, offer)).await;
                skus.map(|skus| (offer, skus))
            });
            for found in join_all(asked).await {
                let (offer, skus) = found?;
                images.extend(skus.into_iter().map(|sku| Image {
                    image: Some(format!("{publisher}:{offer}:{sku}:latest")),
                    publisher: publisher.clone(),
                    offer: Some(offer.clone()),
                    sku: Some(sku),
                    version: None,
                }));
            }
        }
        if filter.offer.is_some() {
            self.versions(cx, &mut images).await?;
        }
        images.sort();
        Ok(images)
    }

    /// Puts in the newest version of each.
    async fn versions(&self, cx: &Context, images: &mut [Image]) -> Result<()> {
        for some in images.chunks_mut(TOGETHER) {
            let asked = some.iter().map(|image| async move {
                let offer = image.offer.as_deref().unwrap_or_default();
                let urn = [
                    &image.publisher,
                    offer,
                    image.sku.as_deref().unwrap_or_default(),
                ];
                self.newest(cx, &self.provider.config.location, urn).await
            });
            let found = join_all(asked).await;
            for (image, version) in some.iter_mut().zip(found) {
                image.version = version?;
            }
        }
        Ok(())
    }

    /// The newest version of an image, if it has any.
    pub(super) async fn newest(
        &self,
        cx: &Context,
        location: &str,
        urn: [&str; 3],
    ) -> Result<Option<String>> {
        let (client, addresses) = self.provider.at();
        let url = addresses.newest_image(location, urn);
        let what = format!("look up the newest {}", urn.join(":"));
        let asked = || client.get(cx, &what, &url, api::named);
        match patiently(cx, asked).await {
            Ok(versions) => Ok(versions.into_iter().next()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn named(&self, cx: &Context, ending: Ending<'_>) -> Result<Vec<String>> {
        let (client, addresses) = self.provider.at();
        let url = addresses.images(&self.provider.config.location, ending);
        patiently(cx, || client.get(cx, "list the images", &url, api::named)).await
    }
}

/// A name that is one part of an address, and leads nowhere else.
fn plain(name: &str) -> Result<&str> {
    let word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !name.is_empty() && name.chars().all(word) && !name.starts_with('.') {
        return Ok(name);
    }
    let text = format!("{name:?} is no name of a publisher or an offer");
    Err(Error::new(ErrorKind::Invalid, text))
}
