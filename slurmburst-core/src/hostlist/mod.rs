//! Hostlists (placeholder until the module lands).
#![allow(missing_docs)]
use std::sync::Arc;
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NodeName(Arc<str>);
impl NodeName { pub fn new(s:&str)->Result<NodeName,String>{Ok(NodeName(s.into()))} pub fn as_str(&self)->&str{&self.0} }
impl std::fmt::Display for NodeName { fn fmt(&self, f:&mut std::fmt::Formatter<'_>)->std::fmt::Result{f.write_str(&self.0)} }
#[derive(Clone, Debug, Default)]
pub struct HostSet(std::collections::BTreeSet<NodeName>);
impl HostSet { pub fn contains(&self, n:&NodeName)->bool{self.0.contains(n)} }
