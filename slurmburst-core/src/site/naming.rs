//! Placements' names: short to read, and each of one meaning only, since the
//! ledger remembers by name which placement has nothing.
//!
//! A stated `name` is kept; two of the same name must have the same content.
//! Without one the name is built, `provider/size/zone/market` of what is set.
//! Two of the same content share it, over groups too, so that what one group
//! learnt the other knows; a different content gets `#2`, `#3` and so on, in
//! the order of the file.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{ConfigError, ConfigTable};
use crate::provider::{Lifecycle, Market, Placement, Template};

/// A placement that may not have its final name.
pub(super) struct Draft<'a> {
    table: &'a ConfigTable,
    /// Whether the file states the name.
    stated: bool,
    placement: Placement,
}

impl<'a> Draft<'a> {
    pub(super) fn new(
        table: &'a ConfigTable,
        provider: &str,
        lifecycle: Lifecycle,
        template: Template,
    ) -> Result<Draft<'a>, ConfigError> {
        let stated = table.str("name")?;
        let name = match stated {
            Some(name) => checked(table, name)?.to_owned(),
            None => built(provider, &template),
        };
        let placement = Placement {
            name,
            provider: provider.to_owned(),
            lifecycle,
            template,
        };
        Ok(Draft {
            table,
            stated: stated.is_some(),
            placement,
        })
    }
}

/// A name goes into Slurm's `Reason=` and into log lines. `#` is kept for ours.
fn checked<'a>(table: &ConfigTable, name: &'a str) -> Result<&'a str, ConfigError> {
    let good = |c: char| c.is_ascii_alphanumeric() || "_-./:+".contains(c);
    if (1..=100).contains(&name.len()) && name.chars().all(good) {
        return Ok(name);
    }
    let message = format!(
        "must be 1 to 100 of A-Z, a-z, 0-9 and _ - . / : +, is \"{}\"",
        super::brief(name)
    );
    Err(table.error("name", message))
}

fn built(provider: &str, template: &Template) -> String {
    let market = match template.market {
        Market::OnDemand => None,
        Market::Spot => Some("spot"),
    };
    let parts = [template.size.as_deref(), template.zone.as_deref(), market];
    let mut name = provider.to_owned();
    for part in parts.into_iter().flatten() {
        name.push('/');
        name.push_str(part);
    }
    name
}

/// Whether two placements differ in nothing but the name.
fn alike(a: &Placement, b: &Placement) -> bool {
    a.provider == b.provider && a.lifecycle == b.lifecycle && a.template == b.template
}

/// Gives the drafts of a site their names.
pub(super) struct Namer<'a> {
    named: BTreeMap<String, (&'a ConfigTable, Arc<Placement>)>,
}

impl<'a> Namer<'a> {
    /// Stated names first: a built one makes way for them wherever it stands.
    pub(super) fn new<'d>(
        groups: impl Iterator<Item = &'d [Draft<'a>]>,
    ) -> Result<Namer<'a>, ConfigError>
    where
        'a: 'd,
    {
        let mut named: BTreeMap<String, (&'a ConfigTable, Arc<Placement>)> = BTreeMap::new();
        for draft in groups.flatten().filter(|draft| draft.stated) {
            let placement = &draft.placement;
            match named.get(&placement.name) {
                Some((first, other)) if !alike(other, placement) => {
                    let (line, column) = first.position("name");
                    let message = format!(
                        "\"{}\" is also the name of a different placement at {line}:{column}; \
                         rename one of them",
                        placement.name
                    );
                    return Err(draft.table.error("name", message));
                }
                Some(_) => {}
                None => {
                    let entry = (draft.table, Arc::new(placement.clone()));
                    named.insert(placement.name.clone(), entry);
                }
            }
        }
        Ok(Namer { named })
    }

    /// The placements of one group, in order. The same twice is an error: it
    /// would be tried once.
    pub(super) fn name_group(
        &mut self,
        drafts: Vec<Draft<'a>>,
    ) -> Result<Vec<Arc<Placement>>, ConfigError> {
        let mut placements: Vec<(&ConfigTable, Arc<Placement>)> = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let same = placements
                .iter()
                .find(|(_, other)| alike(other, &draft.placement));
            if let Some((first, _)) = same {
                let (line, column) = first.position("provider");
                let message = format!(
                    "is the same placement as the one at {line}:{column}; change it or take it out"
                );
                return Err(draft.table.error("", message));
            }
            placements.push((draft.table, self.name(draft)));
        }
        Ok(placements
            .into_iter()
            .map(|(_, placement)| placement)
            .collect())
    }

    fn name(&mut self, draft: Draft<'a>) -> Arc<Placement> {
        let Draft {
            table,
            mut placement,
            ..
        } = draft;
        let base = placement.name.clone();
        let mut number = 1_u32;
        loop {
            match self.named.get(&placement.name) {
                Some((_, other)) if alike(other, &placement) => return Arc::clone(other),
                None => break,
                Some(_) => {
                    number = number.saturating_add(1);
                    placement.name = format!("{base}#{number}");
                }
            }
        }
        let placement = Arc::new(placement);
        self.named
            .insert(placement.name.clone(), (table, Arc::clone(&placement)));
        placement
    }
}
