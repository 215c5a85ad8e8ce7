//! The file: opening, damage, other processes, lease, rate limits.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::bucket::BucketKey;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn open(dir: &Path) -> Ledger {
    Ledger::open(dir, Clock::system()).unwrap()
}

#[test]
fn folder_and_file_are_made_for_their_owner_alone() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("state");
    let mut l = open(&dir);
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(l.path()), 0o600);
    assert_eq!(l.path(), dir.join("ledger.sqlite3"));
    let pragma = |name: &str| -> String {
        let text = |r: &rusqlite::Row<'_>| r.get_ref(0).map(|v| format!("{v:?}"));
        l.conn
            .query_row(&format!("PRAGMA {name}"), [], text)
            .unwrap()
    };
    assert!(pragma("synchronous").contains('2'), "FULL");
    assert!(pragma("user_version").contains('1'));
    let wishes = l.record(&[wish("c1", Direction::Up)]).unwrap();
    drop(l);
    assert_eq!(open(&dir).wishes(None).unwrap(), wishes);
    open(&dir).check().unwrap();
}

#[test]
fn a_damaged_file_is_named_and_may_be_moved_away() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    let garbage: Vec<u8> = (0..8_192u32).map(|i| (i * 31 % 251) as u8).collect();
    std::fs::write(&path, garbage).unwrap();
    let e = Ledger::open(dir.path(), Clock::system()).unwrap_err();
    assert_eq!(e.kind(), LedgerErrorKind::Corrupt);
    let text = e.to_string();
    assert!(
        text.contains(path.to_str().unwrap()) && text.contains("moved away"),
        "{text}"
    );
    std::fs::rename(&path, dir.path().join("old")).unwrap();
    open(dir.path());
}

#[test]
fn a_page_that_is_damaged_later_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut l = open(dir.path());
    let many: Vec<_> = (0..500)
        .map(|i| wish(&format!("c{i}"), Direction::Up))
        .collect();
    l.record(&many).unwrap();
    let path = l.path().to_owned();
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'wish'";
    let root: usize = l.conn.query_row(sql, [], |r| r.get::<_, u32>(0)).unwrap() as usize;
    drop(l);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[(root - 1) * 4_096..root * 4_096].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let l = open(dir.path());
    assert_eq!(l.check().unwrap_err().kind(), LedgerErrorKind::Corrupt);
    assert_eq!(l.wishes(None).unwrap_err().kind(), LedgerErrorKind::Corrupt);
}

#[test]
fn a_value_of_another_version_is_an_error_and_no_panic() {
    let mut l = ledger();
    l.record(&[wish("c1", Direction::Up)]).unwrap();
    l.conn
        .execute("UPDATE wish SET direction = 'sideways'", [])
        .unwrap();
    let e = l.wishes(None).unwrap_err();
    assert_eq!(e.kind(), LedgerErrorKind::Corrupt);
    assert!(e.to_string().contains("sideways"), "{e}");
}

#[test]
fn a_newer_file_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path())
        .conn
        .execute_batch("PRAGMA user_version = 99")
        .unwrap();
    let e = Ledger::open(dir.path(), Clock::system()).unwrap_err();
    assert_eq!(e.kind(), LedgerErrorKind::Newer);
    assert!(e.to_string().contains("schema 99"), "{e}");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("file");
    std::fs::write(&file, "").unwrap();
    let e = Ledger::open(&file.join("state"), Clock::system()).unwrap_err();
    assert_eq!(e.kind(), LedgerErrorKind::Io);
    assert!(e.to_string().contains("file/state/ledger.sqlite3"), "{e}");
}

#[test]
fn an_error_is_one_pointer_wide() {
    assert_eq!(size_of::<LedgerError>(), size_of::<usize>());
}

#[test]
fn another_connection_sees_what_changed() {
    let dir = tempfile::tempdir().unwrap();
    let (mut a, b) = (open(dir.path()), open(dir.path()));
    let (version, wake) = (b.data_version().unwrap(), b.wake_counter().unwrap());
    assert_eq!(b.data_version().unwrap(), version);
    a.record(&[wish("c1", Direction::Up)]).unwrap();
    assert_ne!(b.data_version().unwrap(), version);
    assert_eq!(b.wake_counter().unwrap(), wake + 1);
    assert_eq!(b.wishes(None).unwrap().len(), 1);
}

#[test]
fn threads_that_record_at_once_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for t in 0..4 {
            let dir = dir.path();
            // The file is made by all of them at once, too.
            scope.spawn(move || {
                let mut l = open(dir);
                for i in 0..250 {
                    let own = wish(&format!("t{t}n{i}"), Direction::Up);
                    l.record(&[own, wish("shared", Direction::Up)]).unwrap();
                }
            });
        }
    });
    let l = open(dir.path());
    assert_eq!(l.wishes(None).unwrap().len(), 1_001);
    assert_eq!(l.wake_counter().unwrap(), 1_000);
    let shared: Vec<_> = l.events(Some(&[node("shared")]), 5_000).unwrap();
    let generations: Vec<_> = shared.iter().map(|e| e.generation).collect();
    assert_eq!(generations.len(), 1_000);
    assert!(
        generations.is_sorted_by(|a, b| a < b),
        "each newer than the one before"
    );
}

#[test]
fn one_holds_the_lease_until_it_lets_go() {
    let dir = tempfile::tempdir().unwrap();
    assert!(!Lease::is_held(dir.path()));
    let lease = Lease::try_acquire(dir.path()).unwrap().unwrap();
    assert!(Lease::is_held(dir.path()));
    assert!(Lease::try_acquire(dir.path()).unwrap().is_none());
    let mut l = open(dir.path());
    assert_eq!(l.holder().unwrap(), None);
    l.heartbeat(&lease).unwrap();
    let first = l.holder().unwrap().unwrap();
    l.heartbeat(&lease).unwrap();
    let second = l.holder().unwrap().unwrap();
    assert_eq!(first.pid, std::process::id());
    assert!(first.start_ticks > 0 && !first.boot_id.is_empty());
    assert_eq!(first.since_ms, second.since_ms);
    assert!(second.heartbeat_ms >= first.heartbeat_ms);
    // With the file, the right to act is gone: somebody may have taken it anew.
    std::fs::remove_file(lease.path()).unwrap();
    assert_eq!(l.heartbeat(&lease).unwrap_err().kind(), LedgerErrorKind::Io);
    let anew = Lease::try_acquire(dir.path()).unwrap().unwrap();
    assert!(l.heartbeat(&lease).is_err());
    l.heartbeat(&anew).unwrap();
    drop(anew);
    drop(lease);
    assert!(!Lease::is_held(dir.path()));
    assert!(Lease::try_acquire(dir.path()).unwrap().is_some());
}

#[test]
fn who_merely_asks_is_not_taken_for_a_holder() {
    let dir = tempfile::tempdir().unwrap();
    drop(Lease::try_acquire(dir.path()).unwrap());
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    Lease::is_held(dir.path());
                }
            });
        }
        let taken: Vec<_> = (0..500)
            .map(|_| Lease::try_acquire(dir.path()).map(|l| l.is_some()))
            .collect();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        for lease in taken {
            assert!(lease.unwrap());
        }
    });
}

#[test]
fn rate_limits_outlive_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let l = open(dir.path());
    let key = BucketKey::new("here", "me", "writes");
    let buckets = l.buckets().unwrap();
    for _ in 0..15 {
        buckets.reserve(&key, 10.0, 1.0, 1.0, T0).unwrap();
    }
    buckets.throttled(
        &BucketKey::new("here", "me", "reads"),
        T0 + 60_000,
        Some(3.0),
    );
    drop(buckets);
    let buckets = l.buckets().unwrap();
    assert_eq!(
        buckets.reserve(&key, 10.0, 1.0, 1.0, T0).unwrap(),
        Duration::from_secs(6)
    );
    let reads = BucketKey::new("here", "me", "reads");
    assert_eq!(
        buckets.reserve(&reads, 10.0, 1.0, 1.0, T0).unwrap(),
        Duration::from_secs(60)
    );
    let other = BucketKey::new("here", "you", "writes");
    assert_eq!(
        buckets.reserve(&other, 10.0, 1.0, 1.0, T0).unwrap(),
        Duration::ZERO
    );
}

#[test]
fn ten_thousand_reservations_are_cheap() {
    let dir = tempfile::tempdir().unwrap();
    let buckets = open(dir.path()).buckets().unwrap();
    let key = BucketKey::new("here", "me", "writes");
    let begun = Instant::now();
    for i in 0..10_000 {
        buckets.reserve(&key, 10.0, 1.0, 1.0, T0 + i).unwrap();
    }
    let took = begun.elapsed();
    println!("10,000 reservations: {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn a_ledger_in_memory_has_rate_limits_too() {
    let l = ledger();
    let key = BucketKey::new("here", "me", "writes");
    l.buckets()
        .unwrap()
        .reserve(&key, 1.0, 1.0, 1.0, T0)
        .unwrap();
    let wait = l
        .buckets()
        .unwrap()
        .reserve(&key, 1.0, 1.0, 1.0, T0)
        .unwrap();
    assert_eq!(wait, Duration::from_secs(1));
}
