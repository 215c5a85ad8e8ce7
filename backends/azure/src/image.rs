//! What a machine's disk is made from.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// An image, as the site file names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Image {
    /// Of the marketplace: publisher, offer, SKU, version (or `latest`).
    Urn([String; 4]),
    /// Of a gallery of ours, or a managed image.
    Id(String),
    /// Of a gallery shared with us.
    Shared(String),
    /// Of a gallery shared with everybody.
    Community(String),
}

impl Image {
    /// Reads `Publisher:Offer:Sku:Version` or a resource id.
    pub(crate) fn parse(text: &str) -> Result<Image, String> {
        let lower = text.to_ascii_lowercase();
        if lower.starts_with("/communitygalleries/") {
            return Ok(Image::Community(text.to_owned()));
        }
        if lower.starts_with("/sharedgalleries/") {
            return Ok(Image::Shared(text.to_owned()));
        }
        if lower.starts_with('/') {
            let compute = lower.starts_with("/subscriptions/")
                && lower.contains("/providers/microsoft.compute/")
                && lower.contains("/images/")
                && !lower.ends_with('/');
            return match compute {
                true => Ok(Image::Id(text.to_owned())),
                false => Err(format!("is no image's resource id: \"{text}\"")),
            };
        }
        let parts: Vec<&str> = text.split(':').collect();
        let word = |p: &&str| {
            !p.is_empty()
                && p.chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        match parts.as_slice() {
            [publisher, offer, sku, version] if parts.iter().all(word) => {
                let owned = |s: &str| s.to_owned();
                Ok(Image::Urn([
                    owned(publisher),
                    owned(offer),
                    owned(sku),
                    owned(version),
                ]))
            }
            _ => Err(format!(
                "must be \"Publisher:Offer:Sku:Version\" or a resource id, is \"{text}\"; `az vm image list --all --publisher NAME`"
            )),
        }
    }

    /// Its `imageReference`.
    pub(crate) fn reference(&self) -> Value {
        match self {
            Image::Urn([publisher, offer, sku, version]) => json!({
                "publisher": publisher, "offer": offer, "sku": sku, "version": version,
            }),
            Image::Id(id) => json!({ "id": id }),
            Image::Shared(id) => json!({ "sharedGalleryImageId": id }),
            Image::Community(id) => json!({ "communityGalleryImageId": id }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form() {
        let urn = Image::parse("almalinux:almalinux-hpc:8-hpc-gen2:latest").unwrap();
        assert_eq!(urn.reference()["version"], "latest");
        let gallery = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/x/images/y/versions/1.0.0";
        assert_eq!(Image::parse(gallery).unwrap().reference()["id"], gallery);
        let shared = "/SharedGalleries/a/Images/b/Versions/latest";
        assert_eq!(
            Image::parse(shared).unwrap().reference()["sharedGalleryImageId"],
            shared
        );
        let community = "/CommunityGalleries/a/Images/b/Versions/latest";
        assert_eq!(
            Image::parse(community).unwrap().reference()["communityGalleryImageId"],
            community
        );
        for wrong in [
            "",
            "ubuntu",
            "a:b:c",
            "a:b:c:",
            "a:b:c d:e",
            "a:b:c:d:e",
            "/subscriptions/s",
            "/x/images/y",
        ] {
            assert!(Image::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_us_panic(text in "\\PC{0,60}") {
            let _ = Image::parse(&text);
        }
    }
}
