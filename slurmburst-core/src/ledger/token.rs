//! What calls are known by: an id of ours, and a token for the cloud.

use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use crate::clock::Clock;

/// The token of a call: what a cloud recognises its repetition by. 32 lowercase
/// hexadecimal digits, the same for ever: the first 128 bits of the SHA-256 of
/// `slurmburst call token 1`, a zero byte, the length of the cluster's id in
/// bytes (8 bytes, big-endian), the cluster's id, and the call's id.
///
/// ```
/// use slurmburst_core::ledger::call_token;
/// assert_eq!(call_token("hpc1-7f3a9c", "a").len(), 32);
/// assert_ne!(call_token("hpc1", "2a"), call_token("hpc12", "a"));
/// ```
pub fn call_token(cluster_id: &str, call_id: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(b"slurmburst call token 1\0");
    hash.update((cluster_id.len() as u64).to_be_bytes());
    hash.update(cluster_id.as_bytes());
    hash.update(call_id.as_bytes());
    hash.finalize()
        .iter()
        .take(16)
        .fold(String::new(), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

/// A new id for a call: unlike any other of any process, also after a restart.
/// At most 45 lowercase letters, digits and dashes, so that it fits into every
/// cloud's tags. No secret.
pub fn new_call_id() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let now = Clock::system().now_ms();
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let pid = std::process::id();
    // The standard library's hash keys are the operating system's random numbers.
    let random = RandomState::new().hash_one((now, pid, count));
    format!("{now:x}-{pid:x}-{:x}-{random:016x}", count & 0xffff_ffff)
}
