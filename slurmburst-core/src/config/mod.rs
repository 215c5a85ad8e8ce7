//! [`ConfigTable`]: a part of the site file as a backend reads it.
//!
//! Every value knows where it stands, so that a backend's own complaint names
//! file, line, column and key exactly as the site file's own do. The TOML
//! library is not visible here.

mod error;
mod table;
mod value;
mod words;

pub use error::ConfigError;
pub use table::ConfigTable;
pub use value::{ConfigItem, ConfigValue, Source};
pub(crate) use words::nearest;
pub use words::parse_duration;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    fn table(entries: Vec<(&str, ConfigValue)>) -> ConfigTable {
        let source = Arc::new(Source {
            file: "site.toml".into(),
            text: "a = 1\nbb = 2\n".into(),
        });
        let entries = entries
            .into_iter()
            .enumerate()
            .map(|(i, (k, value))| {
                (
                    k.to_owned(),
                    ConfigItem {
                        value,
                        key_offset: i * 6,
                        offset: i * 6 + 4,
                    },
                )
            })
            .collect();
        ConfigTable::new(source, "provider.here", 0, entries)
    }

    #[test]
    fn durations() {
        let s = Duration::from_secs;
        for (text, want) in [
            ("2s", s(2)),
            ("1m30s", s(90)),
            ("1h", s(3600)),
            ("0s", s(0)),
            ("500ms", Duration::from_millis(500)),
            (" 7d ", s(604_800)),
        ] {
            assert_eq!(parse_duration(text), Some(want), "{text}");
        }
        for text in [
            "",
            "2",
            "s",
            "-1s",
            "1.5s",
            "2 fortnights",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn an_unknown_key_names_the_nearest_and_its_place() {
        let t = table(vec![
            ("kind", ConfigValue::String("local".into())),
            ("slurmdd", ConfigValue::Integer(1)),
        ]);
        let e = t.only(&["kind", "slurmd", "run_dir"]).unwrap_err();
        assert_eq!(
            e.to_string(),
            "site.toml:2:1: provider.here.slurmdd: unknown key; did you mean `slurmd`?"
        );
        assert!(t.only(&["kind", "slurmdd"]).is_ok());
    }

    #[test]
    fn a_wrong_type_says_what_it_is() {
        let t = table(vec![
            ("a", ConfigValue::Integer(1)),
            ("b", ConfigValue::String("x".into())),
        ]);
        assert_eq!(
            t.str("a").unwrap_err().message(),
            "must be a string, is a whole number"
        );
        assert!(t.path_of("b").unwrap_err().message().contains("absolute"));
        assert!(
            t.duration("b")
                .unwrap_err()
                .message()
                .contains("length of time")
        );
        assert_eq!(t.str("none"), Ok(None));
        assert_eq!(t.required("none").unwrap_err().message(), "is required");
    }
}
