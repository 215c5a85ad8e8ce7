//! Ports on 127.0.0.1 that no other cluster of a parallel test uses.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::Path;

/// Below the range that the kernel hands out for outgoing connections, so that none of those gets in the way.
const PORTS: Range<u16> = 12_000..32_000;
const LOCKS: &str = "/tmp/slurmburst-test-ports";

/// Consecutive ports; nobody else gets them while this lives.
#[derive(Debug)]
pub(crate) struct Ports {
    pub(crate) first: u16,
    /// Held, never read: the lock falls with the last of the files, also when this process is killed.
    _locks: Vec<File>,
}

impl Ports {
    /// The first `count` consecutive ports that no cluster holds and nothing listens on.
    pub(crate) fn take(count: u16) -> Self {
        fs::create_dir_all(LOCKS).unwrap_or_else(|error| panic!("{LOCKS}: {error}"));
        // One lock for each 64 ports keeps the folder small.
        let blocks = count.div_ceil(64);
        let mut first = PORTS.start;
        while first + blocks * 64 <= PORTS.end {
            let locks: Option<Vec<File>> =
                (0..blocks).map(|block| lock(first + block * 64)).collect();
            if let Some(locks) = locks
                && (first..first + count).all(is_free)
            {
                return Self {
                    first,
                    _locks: locks,
                };
            }
            first += 64;
        }
        panic!("no {count} free ports in {PORTS:?}");
    }
}

fn lock(port: u16) -> Option<File> {
    let path = Path::new(LOCKS).join(port.to_string());
    let file = File::create(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.try_lock().ok().map(|()| file)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::Ports;

    #[test]
    fn two_clusters_share_no_port() {
        let one = Ports::take(100);
        let other = Ports::take(1);
        assert!(other.first >= one.first + 100 || other.first < one.first);
    }
}
