//! Slurm power saving without a cloud's name in it.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod hostlist;
