//! The site's providers as a person reaches them: each with what it offers and
//! the groups that it serves.

use std::sync::Arc;

use serde::Serialize;
use slurmburst::config::ConfigError;
use slurmburst::hostlist::HostSet;
use slurmburst::kind::{Operator, Surroundings};
use slurmburst::policy::Group;
use slurmburst::site::{Site, SiteProvider};

use crate::failure::{Failure, USAGE};
use crate::out::{Colour, Out, printable};

/// A provider.
pub(crate) struct Served {
    pub(crate) name: String,
    pub(crate) kind: String,
    /// The groups that may come to it, each with its own placements alone.
    pub(crate) groups: Vec<Group>,
    operator: Result<Option<Arc<dyn Operator>>, ConfigError>,
}

impl Served {
    /// The provider, and the groups of the site that may come to it.
    pub(crate) fn new(site: &Site, p: &SiteProvider) -> Served {
        let kinds = slurmburst::kinds();
        let kind = kinds.iter().find(|k| k.name() == p.kind);
        let around =
            Surroundings::new(&p.name, &site.cluster_id, &site.slurm.conf, &site.state_dir);
        let own = |group: &Group| {
            let placements = group.placements.iter().filter(|at| at.provider == p.name);
            Group {
                placements: placements.cloned().collect(),
                ..group.clone()
            }
        };
        let groups = site.policy.groups().iter().map(own);
        Served {
            name: p.name.clone(),
            kind: p.kind.clone(),
            groups: groups.filter(|g| !g.placements.is_empty()).collect(),
            operator: kind.map_or(Ok(None), |kind| kind.operator(&p.config, &around)),
        }
    }

    /// Its nodes.
    pub(crate) fn nodes(&self) -> HostSet {
        let groups = self.groups.iter();
        groups.fold(HostSet::default(), |all, group| &all | &group.nodes)
    }

    /// What it offers to a person, if anything.
    pub(crate) fn asked(&self) -> Result<Option<&Arc<dyn Operator>>, &ConfigError> {
        self.operator.as_ref().map(Option::as_ref)
    }

    /// The same, or why there is nothing to ask.
    pub(crate) fn operator(&self) -> Result<&Arc<dyn Operator>, Problem> {
        let problem = match self.asked() {
            Ok(Some(operator)) => return Ok(operator),
            Ok(None) => format!("kind \"{}\" has nothing for this command", self.kind),
            Err(e) => e.to_string(),
        };
        Err(self.problem(problem))
    }

    /// Why it could not say what was asked.
    pub(crate) fn problem(&self, problem: impl ToString) -> Problem {
        Problem {
            provider: self.name.clone(),
            problem: problem.to_string(),
        }
    }
}

/// The site's providers, or the one of this name.
pub(crate) fn served(site: &Site, only: Option<&str>) -> Result<Vec<Served>, Failure> {
    let all = site.providers.iter();
    let some: Vec<Served> = all
        .filter(|p| only.is_none_or(|name| p.name == name))
        .map(|p| Served::new(site, p))
        .collect();
    match only {
        Some(name) if some.is_empty() => {
            let names: Vec<&str> = site.providers.iter().map(|p| p.name.as_str()).collect();
            let text = format!(
                "{} has no [provider.{name}]; it has: {}",
                site.file.display(),
                names.join(", ")
            );
            Err(Failure::new(USAGE, text))
        }
        _ => Ok(some),
    }
}

/// Why a provider could not say what was asked.
#[derive(Debug, Serialize)]
pub(crate) struct Problem {
    pub(crate) provider: String,
    pub(crate) problem: String,
}

impl Problem {
    pub(crate) fn print(&self, out: &mut Out) -> std::io::Result<()> {
        out.paint(Colour::Yellow, &format!("provider {}: ", self.provider))?;
        out.line(&printable(&self.problem))
    }
}
