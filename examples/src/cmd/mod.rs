//! The subcommands, each in its file.

pub(crate) mod check;
pub(crate) mod history;
pub(crate) mod hostlist;
pub(crate) mod images;
pub(crate) mod init;
pub(crate) mod pause;
pub(crate) mod plan;
pub(crate) mod quota;
pub(crate) mod reconcile;
pub(crate) mod status;
pub(crate) mod vm;
