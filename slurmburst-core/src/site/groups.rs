//! `[[nodes]]`: which nodes, and where they may run.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::naming::{Draft, Namer};
use super::settings::only;
use super::{MAX_NODES, SiteProvider, brief};
use crate::config::{ConfigError, ConfigTable, nearest};
use crate::hostlist::{HostList, HostSet};
use crate::kind::ProviderKind;
use crate::policy::{Group, SitePolicy};
use crate::provider::Lifecycle;

/// A group before its placements have their names.
struct Sketch<'a> {
    table: &'a ConfigTable,
    nodes: HostSet,
    lifecycle: Lifecycle,
    drafts: Vec<Draft<'a>>,
}

pub(super) fn read(
    root: &ConfigTable,
    providers: &[SiteProvider],
    kinds: &[Arc<dyn ProviderKind>],
) -> Result<SitePolicy, ConfigError> {
    let tables = root.tables("nodes")?;
    if tables.is_empty() {
        let message = "is required: add a [[nodes]] with its hostlist and a [[nodes.placement]]";
        return Err(root.error("nodes", message));
    }
    let mut sketches: Vec<Sketch<'_>> = Vec::with_capacity(tables.len());
    let mut total = 0_u64;
    for table in tables {
        let sketch = sketch(table, providers, kinds)?;
        no_overlap(&sketches, &sketch)?;
        total = total.saturating_add(sketch.nodes.len());
        if total > MAX_NODES {
            let message =
                format!("makes {total} nodes in all groups; a site has at most {MAX_NODES}");
            return Err(table.error("hostlist", message));
        }
        sketches.push(sketch);
    }
    let mut namer = Namer::new(sketches.iter().map(|sketch| sketch.drafts.as_slice()))?;
    let mut groups = Vec::with_capacity(sketches.len());
    for sketch in sketches {
        let placements = namer.name_group(sketch.drafts)?;
        groups.push(Group {
            nodes: sketch.nodes,
            lifecycle: sketch.lifecycle,
            placements,
        });
    }
    Ok(SitePolicy::new(groups))
}

fn sketch<'a>(
    table: &'a ConfigTable,
    providers: &[SiteProvider],
    kinds: &[Arc<dyn ProviderKind>],
) -> Result<Sketch<'a>, ConfigError> {
    let mut known = vec!["hostlist", "lifecycle", "placement"];
    known.extend(kinds.iter().map(|kind| kind.name()));
    only(table, &known)?;
    let nodes = hosts(table)?;
    let lifecycle = match table.word("lifecycle", &["create-delete", "start-deallocate"])? {
        Some("start-deallocate") => Lifecycle::StartDeallocate,
        _ => Lifecycle::CreateDelete,
    };
    let rungs = table.tables("placement")?;
    if rungs.is_empty() {
        let message =
            "is required: add a [[nodes.placement]] with provider = \"NAME\" below this group";
        return Err(table.error("placement", message));
    }
    let drafts = rungs
        .into_iter()
        .map(|rung| draft(table, rung, lifecycle, providers, kinds))
        .collect::<Result<_, _>>()?;
    Ok(Sketch {
        table,
        nodes,
        lifecycle,
        drafts,
    })
}

fn hosts(table: &ConfigTable) -> Result<HostSet, ConfigError> {
    let text = table.required("hostlist")?;
    let list: HostList = text
        .parse()
        .map_err(|e| table.error("hostlist", format!("is no hostlist: {e}")))?;
    let named = list.len();
    if named == 0 {
        return Err(table.error(
            "hostlist",
            "names no node; give at least one, such as \"c[1-3]\"",
        ));
    }
    if named > MAX_NODES {
        let message = format!("names {named} nodes; a site has at most {MAX_NODES}");
        return Err(table.error("hostlist", message));
    }
    let nodes = list.to_set();
    if nodes.len() == named {
        return Ok(nodes);
    }
    let mut seen = BTreeSet::new();
    let twice: HostSet = list
        .iter()
        .filter(|node| !seen.insert(node.clone()))
        .collect();
    let twice = brief(&twice.to_string());
    Err(table.error(
        "hostlist",
        format!("names {twice} more than once; name each node once"),
    ))
}

fn no_overlap(before: &[Sketch<'_>], new: &Sketch<'_>) -> Result<(), ConfigError> {
    let Some(other) = before
        .iter()
        .find(|group| !group.nodes.is_disjoint(&new.nodes))
    else {
        return Ok(());
    };
    let common = brief(&(&other.nodes & &new.nodes).to_string());
    let (line, column) = other.table.position("hostlist");
    let message = format!(
        "{common} is also in the group at {line}:{column}; a node belongs to one group, \
         take it out of one of them"
    );
    Err(new.table.error("hostlist", message))
}

fn draft<'a>(
    group: &ConfigTable,
    rung: &'a ConfigTable,
    lifecycle: Lifecycle,
    providers: &[SiteProvider],
    kinds: &[Arc<dyn ProviderKind>],
) -> Result<Draft<'a>, ConfigError> {
    let name = rung.required("provider")?;
    let Some(provider) = providers.iter().find(|p| p.name == name) else {
        let names: Vec<&str> = providers.iter().map(|p| p.name.as_str()).collect();
        let hint =
            nearest(name, &names).map_or(String::new(), |n| format!("; did you mean \"{n}\"?"));
        let message = format!(
            "there is no [provider.{}]; the file has: {}{hint}",
            brief(name),
            names.join(", ")
        );
        return Err(rung.error("provider", message));
    };
    let offered = &provider.provider.capabilities().lifecycles;
    if !offered.contains(&lifecycle) {
        let offered: Vec<&str> = offered.iter().map(|lifecycle| word(*lifecycle)).collect();
        let message = format!(
            "provider \"{name}\" (kind \"{}\") does not offer lifecycle \"{}\" of this group; it offers: {}",
            provider.kind,
            word(lifecycle),
            offered.join(", ")
        );
        return Err(rung.error("provider", message));
    }
    let Some(kind) = kinds.iter().find(|kind| kind.name() == provider.kind) else {
        // Its provider came from the same list.
        return Err(rung.error(
            "provider",
            "its kind has gone; this is an error of the program",
        ));
    };
    let own = rung.without(&["provider", "name"]);
    let config = match group.table(kind.name())? {
        Some(defaults) => defaults.overlaid(&own),
        None => own,
    };
    let template = kind.template(&config, lifecycle)?;
    Draft::new(rung, name, lifecycle, template)
}

fn word(lifecycle: Lifecycle) -> &'static str {
    match lifecycle {
        Lifecycle::CreateDelete => "create-delete",
        Lifecycle::StartDeallocate => "start-deallocate",
    }
}
