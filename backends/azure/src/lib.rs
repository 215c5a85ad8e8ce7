#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod api;
mod auth;
mod certificate;
mod client;
mod config;
mod down;
mod error;
mod image;
mod kind;
mod list;
mod names;
mod operator;
mod pace;
mod poll;
mod private_ip;
mod provider;
mod render;
mod template;
#[cfg(test)]
mod tests;
mod tidy;
mod token;
mod unsent;
mod up;
mod view;

pub use config::{Auth, AzureConfig, Match};
pub use kind::AzureKind;
pub use operator::AzureOperator;
pub use provider::AzureProvider;
