#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod books;
mod config;
mod down;
mod host;
mod kind;
mod operator;
mod process;
mod provider;
mod slurmconf;
mod up;

pub use config::LocalConfig;
pub use kind::LocalKind;
pub use operator::LocalOperator;
pub use provider::LocalProvider;
