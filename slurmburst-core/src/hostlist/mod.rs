//! Hostlists.
