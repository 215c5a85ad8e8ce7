//! `[provider.NAME]`: which kind, and whatever that kind makes of it.

use std::sync::Arc;

use super::settings::Settings;
use super::{SiteContext, SiteProvider};
use crate::config::{ConfigError, ConfigTable, nearest};
use crate::kind::{ProviderKind, Surroundings};

pub(super) fn read(
    root: &ConfigTable,
    settings: &Settings,
    kinds: &[Arc<dyn ProviderKind>],
    ctx: &SiteContext,
) -> Result<Vec<SiteProvider>, ConfigError> {
    let Some(section) = root.table("provider")? else {
        return Err(root.error(
            "provider",
            "is required: add a [provider.NAME] with its kind",
        ));
    };
    let mut names: Vec<_> = section
        .entries()
        .map(|(name, item)| (item.key_offset, name))
        .collect();
    names.sort_unstable();
    let mut providers = Vec::with_capacity(names.len());
    for (_, name) in names {
        if let Some(table) = section.table(name)? {
            providers.push(one(section, name, table, settings, kinds, ctx)?);
        }
    }
    if providers.is_empty() {
        return Err(root.error(
            "provider",
            "has no entry: add a [provider.NAME] with its kind",
        ));
    }
    let tagging = providers
        .iter()
        .find(|p| p.provider.capabilities().needs_cluster_id);
    if let (false, Some(p)) = (settings.cluster_id.stated, tagging) {
        let message = format!(
            "is required, because provider \"{}\" (kind \"{}\") tags what it makes with it; \
             `slurmburst init` makes one; never change it while nodes are up",
            p.name, p.kind
        );
        return Err(root.error("cluster_id", message));
    }
    Ok(providers)
}

fn one(
    section: &ConfigTable,
    name: &str,
    table: &ConfigTable,
    settings: &Settings,
    kinds: &[Arc<dyn ProviderKind>],
    ctx: &SiteContext,
) -> Result<SiteProvider, ConfigError> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !(1..=63).contains(&name.len()) || !name.chars().all(word) {
        let message = "a provider's name must be 1 to 63 of A-Z, a-z, 0-9, _ and -; rename it";
        return Err(section.key_error(name, message));
    }
    let word = table.required("kind")?;
    let Some(kind) = kinds.iter().find(|kind| kind.name() == word) else {
        return Err(table.error("kind", unknown_kind(word, kinds, ctx)));
    };
    let around = Surroundings::new(
        name,
        settings.cluster_id.tag.clone(),
        settings.slurm.conf.clone(),
        settings.state_dir.clone(),
    );
    let config = table.without(&["kind"]);
    Ok(SiteProvider {
        name: name.to_owned(),
        kind: word.to_owned(),
        provider: kind.provider(&config, &around)?,
        config,
    })
}

fn unknown_kind(word: &str, kinds: &[Arc<dyn ProviderKind>], ctx: &SiteContext) -> String {
    let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    let here = match names.as_slice() {
        [] => "this build has none".to_owned(),
        names => format!("this build has: {}", names.join(", ")),
    };
    let word = super::brief(word);
    if ctx.absent_kinds.contains(&word) {
        return format!(
            "kind \"{word}\" was left out of this build; build it with the feature `{word}`; {here}"
        );
    }
    match nearest(&word, &names) {
        Some(near) => format!("unknown kind \"{word}\"; did you mean \"{near}\"? {here}"),
        None => format!("unknown kind \"{word}\"; {here}; another needs a build with its feature"),
    }
}
