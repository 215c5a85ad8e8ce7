//! Names, lists and sets as strings.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::HostlistError;
use super::list::HostList;
use super::name::NodeName;
use super::set::HostSet;

struct Text<T>(&'static str, PhantomData<T>);

impl<T: FromStr<Err = HostlistError>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! as_text {
    ($type:ty, $expected:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                deserializer.deserialize_str(Text($expected, PhantomData))
            }
        }
    };
}

as_text!(NodeName, "the name of a node");
as_text!(HostList, "a hostlist such as `n[1-3,7]`");
as_text!(HostSet, "a hostlist such as `n[1-3,7]`");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_strings() {
        let json = "\"n[1-3],gpu1\"";
        let list: HostList = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&list).unwrap(), json);
        let set: HostSet = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&set).unwrap(), "\"gpu1,n[1-3]\"");
        let name: NodeName = serde_json::from_str("\"n1\"").unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"n1\"");
        let error = serde_json::from_str::<HostList>("\"n[3-1]\"")
            .unwrap_err()
            .to_string();
        assert!(error.contains("counts down"), "{error}");
    }
}
