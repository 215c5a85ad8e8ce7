//! The body of a refusal.

use serde::Deserialize;

/// What Azure says is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Fault {
    /// Its word for it; empty where the body was not Azure's.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) code: String,
    /// In a sentence.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) message: String,
    /// What the word wraps; the real reason is often in here.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) details: Vec<Fault>,
}

/// `null` where nothing is.
fn lenient<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Deserialize)]
struct Wrapped {
    error: Fault,
}

/// Reads the body of a refusal, with or without the outer `error` (throttling
/// is documented without). What is not Azure's (a proxy's page) has no code.
pub(crate) fn fault(bytes: &[u8]) -> Fault {
    serde_json::from_slice::<Wrapped>(bytes)
        .map(|w| w.error)
        .or_else(|_| serde_json::from_slice(bytes))
        .unwrap_or_default()
}

impl Fault {
    /// Itself, and all that it wraps, from the outside in; as deep as bodies go.
    pub(crate) fn all(&self) -> Vec<&Fault> {
        let mut all = vec![self];
        let mut at = 0;
        while let Some(fault) = all.get(at).copied() {
            all.extend(&fault.details);
            at += 1;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_and_without_the_outer_error() {
        let inner =
            r#"{"code":"A","message":"m","details":[{"code":"B","target":"x"}],"innererror":null}"#;
        let want = fault(inner.as_bytes());
        assert_eq!((want.code.as_str(), want.message.as_str()), ("A", "m"));
        assert_eq!(want.all().len(), 2);
        assert_eq!(fault(format!("{{\"error\":{inner}}}").as_bytes()), want);
        let nulls = fault(br#"{"error":{"code":"A","message":null,"details":null}}"#);
        assert_eq!((nulls.code.as_str(), nulls.message.as_str()), ("A", ""));
    }
}
