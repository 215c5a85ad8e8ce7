use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::books::word;
use super::{FakeCloud, FakeOptions, Fault, Trouble};
use crate::config::{ConfigError, ConfigTable};
use crate::error::{Error, ErrorKind};
use crate::kind::{Finding, Operator, ProviderKind, Surroundings};
use crate::policy::Group;
use crate::provider::{CallClass, CloudProvider, Cost, Lifecycle, OpKind, Template};

/// `kind = "fake"`: a [`FakeCloud`] for tests of whole programs. Nothing that
/// a site installs has it.
///
/// Its books are in `books`, or in `fake-NAME.json` under the state directory,
/// so that all processes of a test see one cloud. Without a limit, a delay or
/// a fault in the site file it does everything at once. Every node that is to
/// be started has a machine. Faults are listed as `"create 3 lose-reply"`:
/// operation, which one of its kind (from 1), and `lose-reply`, `panic` or the
/// kind of error that it is refused with.
#[derive(Debug, Clone, Copy, Default)]
pub struct FakeKind;

const KEYS: [&str; 15] = [
    "kind",
    "books",
    "delay",
    "boot_delay",
    "stop_delay",
    "poll_after",
    "capacity",
    "burst",
    "per_second",
    "max_batch",
    "page_size",
    "concurrency",
    "fail",
    "faults",
    "consistency_window",
];

const OPS: [OpKind; 7] = [
    OpKind::List,
    OpKind::Create,
    OpKind::Start,
    OpKind::Deallocate,
    OpKind::Terminate,
    OpKind::Poll,
    OpKind::Tidy,
];

impl ProviderKind for FakeKind {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn provider(
        &self,
        config: &ConfigTable,
        around: &Surroundings,
    ) -> Result<Arc<dyn CloudProvider>, ConfigError> {
        Ok(Arc::new(FakeCloud::new(options(config, around)?)))
    }

    fn template(
        &self,
        config: &ConfigTable,
        _lifecycle: Lifecycle,
    ) -> Result<Template, ConfigError> {
        config.only(&["size", "zone", "capacity"])?;
        let capacity = config.integer("capacity", 0..=1_000_000)?;
        Ok(Template {
            zone: config.str("zone")?.map(str::to_owned),
            size: config.str("size")?.map(str::to_owned),
            body: capacity.map_or(json!({}), |most| json!({ "capacity": most })),
            ..Template::default()
        })
    }

    fn operator(
        &self,
        config: &ConfigTable,
        around: &Surroundings,
    ) -> Result<Option<Arc<dyn Operator>>, ConfigError> {
        options(config, around)?;
        Ok(Some(Arc::new(AlwaysWell)))
    }
}

fn options(config: &ConfigTable, around: &Surroundings) -> Result<FakeOptions, ConfigError> {
    config.only(&KEYS)?;
    let length = |key| config.duration(key).map(Option::unwrap_or_default);
    let count = |key, default| {
        let found = config.integer(key, 1..=1_000_000)?;
        Ok(found
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(default))
    };
    let books = config.path_of("books")?;
    let books = books.unwrap_or_else(|| {
        around
            .state_dir
            .join(format!("fake-{}.json", around.provider))
    });
    let words = ErrorKind::ALL.map(ErrorKind::as_str);
    Ok(FakeOptions {
        delay: length("delay")?,
        boot_delay: length("boot_delay")?,
        stop_delay: length("stop_delay")?,
        poll_after: config
            .duration("poll_after")?
            .unwrap_or(Duration::from_secs(1)),
        capacity: config
            .integer("capacity", 0..=1_000_000)?
            .and_then(|n| u64::try_from(n).ok()),
        classes: classes(config)?,
        page_size: count("page_size", 0)?,
        consistency_window: length("consistency_window")?,
        max_batch: count("max_batch", 100)?,
        concurrency: count("concurrency", 16)?,
        premade: true,
        fail: config.word("fail", &words)?.and_then(ErrorKind::from_word),
        faults: faults(config)?,
        books: Some(books),
        ..FakeOptions::default()
    })
}

/// `burst` and `per_second` limit what changes something, a token a node.
fn classes(config: &ConfigTable) -> Result<Vec<CallClass>, ConfigError> {
    let (burst, per_second) = (config.float("burst")?, config.float("per_second")?);
    match (burst, per_second) {
        (None, None) => Ok(Vec::new()),
        (Some(burst), Some(per_second)) => {
            for (key, value) in [("burst", burst), ("per_second", per_second)] {
                if !(value.is_finite() && value > 0.0) {
                    return Err(config.error(key, format!("must be more than 0, is {value}")));
                }
            }
            Ok(vec![CallClass {
                name: "writes".into(),
                ops: vec![
                    OpKind::Create,
                    OpKind::Start,
                    OpKind::Deallocate,
                    OpKind::Terminate,
                ],
                cost: Cost::PerNode,
                burst,
                per_second,
            }])
        }
        (Some(_), None) => Err(config.error("per_second", "is required where `burst` is set")),
        (None, Some(_)) => Err(config.error("burst", "is required where `per_second` is set")),
    }
}

fn faults(config: &ConfigTable) -> Result<Vec<Fault>, ConfigError> {
    let lines = config.strings("faults")?.unwrap_or_default();
    let parsed = lines.into_iter().map(|line| {
        fault(line).ok_or_else(|| {
            let example = "must be like \"create 3 lose-reply\" or \"list 1 unavailable\"";
            config.error("faults", format!("{example}, is \"{line}\""))
        })
    });
    parsed.collect()
}

fn fault(line: &str) -> Option<Fault> {
    let mut words = line.split_whitespace();
    let (op, nth, what) = (words.next()?, words.next()?, words.next()?);
    let op = OPS.into_iter().find(|o| word(*o) == op)?;
    let trouble = match what {
        "lose-reply" => Trouble::LoseReply,
        "panic" => Trouble::Panic,
        other => {
            let kind = ErrorKind::from_word(other)?;
            Trouble::Refuse(Error::new(kind, "a fault of the site file").code("ToldTo"))
        }
    };
    let fault = Fault::new(trouble).on(op).nth(nth.parse().ok()?);
    words.next().is_none().then_some(fault)
}

/// There is nothing to check about a cloud that is not there.
struct AlwaysWell;

#[async_trait]
impl Operator for AlwaysWell {
    async fn check(&self, groups: &[Group]) -> Vec<Finding> {
        let nodes: u64 = groups.iter().map(|g| g.nodes.len()).sum();
        vec![Finding::ok(
            "fake cloud",
            format!("would work for {nodes} nodes"),
        )]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigItem, ConfigValue, Source};

    fn table(entries: Vec<(&str, ConfigValue)>) -> ConfigTable {
        let source = Arc::new(Source {
            file: "site.toml".into(),
            text: "\n".into(),
        });
        let item = |value| ConfigItem {
            value,
            key_offset: 0,
            offset: 0,
        };
        let entries = entries
            .into_iter()
            .map(|(k, v)| (k.to_owned(), item(v)))
            .collect();
        ConfigTable::new(source, "provider.f", 0, entries)
    }

    fn parsed(entries: Vec<(&str, ConfigValue)>) -> Result<FakeOptions, ConfigError> {
        options(
            &table(entries),
            &Surroundings::new("f", "hpc1", "/etc/slurm.conf", "/state"),
        )
    }

    #[test]
    fn a_site_file_describes_a_cloud() {
        let text = |s: &str| ConfigValue::String(s.into());
        let fault = ConfigItem {
            value: text("create 3 lose-reply"),
            key_offset: 0,
            offset: 0,
        };
        let options = parsed(vec![
            ("kind", text("fake")),
            ("delay", text("5s")),
            ("fail", text("capacity")),
            ("burst", ConfigValue::Integer(10)),
            ("per_second", ConfigValue::Float(2.5)),
            ("faults", ConfigValue::Array(vec![fault])),
        ])
        .unwrap();
        assert_eq!(options.delay, Duration::from_secs(5));
        assert_eq!(options.fail, Some(ErrorKind::Capacity));
        assert_eq!(options.classes[0].per_second, 2.5);
        assert_eq!(options.faults.len(), 1);
        assert_eq!(options.books.unwrap().to_str(), Some("/state/fake-f.json"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let burst = parsed(vec![("burst", ConfigValue::Integer(10))]).unwrap_err();
        assert_eq!(burst.key(), "provider.f.per_second");
        let kind = parsed(vec![("fail", ConfigValue::String("capcity".into()))]).unwrap_err();
        assert!(
            kind.message().ends_with("did you mean \"capacity\"?"),
            "{kind}"
        );
        for line in [
            "create lose-reply",
            "make 1 panic",
            "create 1 no-such",
            "create 1 panic now",
        ] {
            assert!(super::fault(line).is_none(), "{line}");
        }
    }
}
