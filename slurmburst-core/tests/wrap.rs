//! Retry, RateLimit and DryRun: what is sent how often, when, and what is said.
#![cfg(feature = "fake")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails like this"
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use slurmburst_core::bucket::{BucketKey, BucketStore, MemoryBuckets};
use slurmburst_core::error::{Advice, Effect, Error, ErrorKind};
use slurmburst_core::executor::{Executor, Work};
use slurmburst_core::fake::{FakeCloud, FakeOptions, Fault, Trouble};
use slurmburst_core::outcome::Outcome;
use slurmburst_core::provider::{
    CallClass, Chore, CloudProvider, Cost, DownMode, Leftover, OpKind, Owner,
};
use slurmburst_core::wrap::{DryRun, RateLimit, Retry, RetryOptions, StackOptions, stack};
use tokio::time::{Instant, timeout};

use common::{call, count, cx, down, error_of, name, options, within, words};

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn refuse(kind: ErrorKind) -> Trouble {
    Trouble::Refuse(Error::new(kind, "no").effect(Effect::None))
}

fn retried(fake: &Arc<FakeCloud>) -> Retry {
    Retry::new(fake.clone(), RetryOptions::default())
}

fn class(name: &str, ops: &[OpKind], cost: Cost, burst: f64, per_second: f64) -> CallClass {
    CallClass {
        name: name.into(),
        ops: ops.to_vec(),
        cost,
        burst,
        per_second,
    }
}

fn key(class: &str) -> BucketKey {
    BucketKey {
        kind: "f".into(),
        principal: "fake".into(),
        class: class.into(),
    }
}

/// A cloud with these limits, and a limiter in front of it.
fn limited(options: FakeOptions) -> (Arc<FakeCloud>, Arc<MemoryBuckets>, RateLimit) {
    let clock = options.clock.clone();
    let fake = Arc::new(FakeCloud::new(options));
    let buckets = Arc::new(MemoryBuckets::default());
    let limit = RateLimit::new(fake.clone(), buckets.clone(), clock, "f");
    (fake, buckets, limit)
}

#[tokio::test(start_paused = true)]
async fn only_what_the_error_advises_is_retried() {
    for kind in ErrorKind::ALL {
        let fake = Arc::new(FakeCloud::new(options()));
        fake.fault(Fault::new(refuse(kind)).on(OpKind::Create));
        let outcomes = retried(&fake).power_up(&cx(), &[call("1", &["c1"])]).await;
        let again = matches!(
            Error::new(kind, "").effect(Effect::None).advice(),
            Advice::Retry(_)
        );
        assert_eq!(
            count(&fake, OpKind::Create),
            if again { 2 } else { 1 },
            "{kind}"
        );
        assert_eq!(
            words(&outcomes),
            [if again { "done" } else { "failed" }],
            "{kind}"
        );
        if !again {
            assert!(
                !error_of(&outcomes, "c1").is_exhausted(),
                "{kind}: nothing was used up"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_are_counted_and_nobody_retries_what_was_given_up() {
    let fake = Arc::new(FakeCloud::new(options()));
    fake.fault(Fault::new(refuse(ErrorKind::Connect)).always());
    let twice = Retry::new(Arc::new(retried(&fake)), RetryOptions::default());
    let outcomes = twice.power_up(&cx(), &[call("1", &["c1"])]).await;
    assert!(error_of(&outcomes, "c1").is_exhausted());
    assert_eq!(count(&fake, OpKind::Create), 3);
    assert!(twice.list(&cx()).await.unwrap_err().is_exhausted());
    assert_eq!(count(&fake, OpKind::List), 3);
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_at_least_as_long_as_it_is_told_and_longer_each_time() {
    let fake = Arc::new(FakeCloud::new(options()));
    let busy = Error::new(ErrorKind::Throttled, "slow down").retry_after(seconds(7));
    fake.fault(Fault::new(Trouble::Refuse(busy)).times(2));
    let started = Instant::now();
    let outcomes = retried(&fake).power_up(&cx(), &[call("1", &["c1"])]).await;
    assert_eq!(words(&outcomes), ["done"]);
    let took = started.elapsed();
    assert!(took >= seconds(14) && took <= seconds(18), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn no_wait_ends_after_the_deadline() {
    let fake = Arc::new(FakeCloud::new(options()));
    let busy = Error::new(ErrorKind::Throttled, "slow down").retry_after(seconds(30));
    fake.fault(Fault::new(Trouble::Refuse(busy)).always());
    let started = Instant::now();
    let outcomes = retried(&fake)
        .power_up(&within(30), &[call("1", &["c1"])])
        .await;
    assert!(error_of(&outcomes, "c1").is_exhausted());
    assert_eq!(
        (started.elapsed(), count(&fake, OpKind::Create)),
        (Duration::ZERO, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_a_retry_costs_nothing_that_was_learnt() {
    let fake = Arc::new(FakeCloud::new(options()));
    let busy = Error::new(ErrorKind::Unavailable, "one is not well");
    fake.fault(Fault::new(Trouble::Nodes(vec![name("c2")], busy)));
    fake.fault(Fault::new(Trouble::Slow(seconds(600))).nth(2));
    let outcomes = retried(&fake)
        .power_up(&within(20), &[call("1", &["c1", "c2"])])
        .await;
    assert_eq!(words(&outcomes), ["done", "failed"]);
    assert_eq!(error_of(&outcomes, "c2").kind(), ErrorKind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn only_the_nodes_concerned_are_sent_again() {
    let fake = Arc::new(FakeCloud::new(options()));
    let whole = call("1", &["c1", "c2", "c3"]);
    let busy = || Error::new(ErrorKind::Unavailable, "one is not well");
    fake.fault(Fault::new(Trouble::Nodes(vec![name("c2")], busy())).on(OpKind::Create));
    let retry = retried(&fake);
    assert_eq!(words(&retry.power_up(&cx(), &[whole]).await), ["done"; 3]);
    // The same call whole, and still one machine each.
    assert_eq!(count(&fake, OpKind::Create), 2);
    assert_eq!(fake.read(|books| books.machines().count()).unwrap(), 3);

    fake.fault(Fault::new(Trouble::Nodes(vec![name("c3")], busy())).on(OpKind::Terminate));
    // A second request that names a node which is gone would be a fault of ours.
    let gone = Error::new(ErrorKind::Invalid, "asked again about what is done");
    fake.fault(
        Fault::new(Trouble::Refuse(gone))
            .on(OpKind::Terminate)
            .node(name("c1"))
            .nth(2),
    );
    let batch = ["c1", "c2", "c3"].map(|n| down(n, DownMode::Terminate));
    assert_eq!(words(&retry.power_down(&cx(), &batch).await), ["done"; 3]);
    assert_eq!(count(&fake, OpKind::Terminate), 2);
}

#[tokio::test(start_paused = true)]
async fn what_may_have_acted_stays_so() {
    // The second attempt does not get through, so the first is still open.
    let fake = Arc::new(FakeCloud::new(options()));
    fake.fault(Fault::new(Trouble::LoseReply));
    fake.fault(Fault::new(refuse(ErrorKind::Auth)).nth(2));
    let outcomes = retried(&fake).power_up(&cx(), &[call("1", &["c1"])]).await;
    let error = error_of(&outcomes, "c1");
    assert_eq!(
        (error.kind(), error.may_have_acted()),
        (ErrorKind::Auth, Effect::Unknown)
    );

    // "No room" for the same token says that there is nothing under it.
    let fake = Arc::new(FakeCloud::new(options()));
    let lost = Error::new(ErrorKind::Timeout, "lost on the way there");
    fake.fault(Fault::new(Trouble::Refuse(lost)));
    fake.fault(Fault::new(refuse(ErrorKind::Capacity)).nth(2));
    let outcomes = retried(&fake).power_up(&cx(), &[call("1", &["c1"])]).await;
    assert_eq!(error_of(&outcomes, "c1").may_have_acted(), Effect::None);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_is_not_sent_leaves_the_failure() {
    let writes = class("writes", &[OpKind::Create], Cost::PerCall, 1.0, 0.01);
    let (fake, _, limit) = limited(FakeOptions {
        classes: vec![writes],
        ..options()
    });
    fake.fault(Fault::new(Trouble::LoseReply));
    let retry = Retry::new(Arc::new(limit), RetryOptions::default());
    let outcomes = retry.power_up(&cx(), &[call("1", &["c1"])]).await;
    let error = error_of(&outcomes, "c1");
    assert_eq!(
        (error.kind(), error.may_have_acted()),
        (ErrorKind::Timeout, Effect::Unknown)
    );
    assert_eq!(count(&fake, OpKind::Create), 1);
}

#[tokio::test(start_paused = true)]
async fn the_limit_is_reached_and_not_passed() {
    let writes = class("writes", &[OpKind::Create], Cost::PerNode, 100.0, 10.0);
    let options = FakeOptions {
        delay: seconds(1),
        concurrency: 50,
        classes: vec![writes],
        ..options()
    };
    let (fake, _, limit) = limited(options);
    let provider: Arc<dyn CloudProvider> = Arc::new(limit);
    let mut executor = Executor::new("hpc1");
    let started = Instant::now();
    for batch in 0..200 {
        let names: Vec<String> = (0..5).map(|i| format!("c{}", batch * 5 + i)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (provider, name) = (Arc::clone(&provider), "f".into());
        let work = Work::Up {
            provider,
            name,
            call: call(&batch.to_string(), &names),
        };
        executor.submit(work, started + seconds(600));
    }
    while let Some(finished) = executor.next().await {
        assert_eq!(
            words(&finished.outcomes),
            ["done"; 5],
            "throttled at {:?}",
            started.elapsed()
        );
    }
    // 900 nodes more than the bucket holds, at 10 a second, and one delay.
    let took = started.elapsed().as_secs_f64();
    assert!((91.0..=91.0 * 1.05).contains(&took), "{took}");
    assert_eq!(count(&fake, OpKind::Create), 200);
}

#[tokio::test(start_paused = true)]
async fn what_would_be_too_late_is_not_sent_and_costs_nothing() {
    let writes = class("writes", &[OpKind::Create], Cost::PerNode, 2.0, 1.0);
    let (fake, buckets, limit) = limited(FakeOptions {
        classes: vec![writes],
        ..options()
    });
    limit.power_up(&cx(), &[call("1", &["c1", "c2"])]).await;
    let late = limit
        .power_up(&within(2), &[call("2", &["c3", "c4", "c5"])])
        .await;
    assert_eq!(words(&late), ["skipped"; 3]);
    assert_eq!(count(&fake, OpKind::Create), 1);
    // Dropped while it waits: not sent either.
    let nodes = [call("3", &["c6"])];
    assert!(
        timeout(Duration::from_millis(500), limit.power_up(&cx(), &nodes))
            .await
            .is_err()
    );
    let wait = buckets
        .reserve(&key("writes"), 2.0, 1.0, 1.0, 1_000_500)
        .unwrap();
    assert_eq!(wait, Duration::from_millis(500));
}

#[tokio::test(start_paused = true)]
async fn a_throttle_slows_the_whole_class() {
    let classes = vec![
        class("creates", &[OpKind::Create], Cost::PerNode, 100.0, 10.0),
        class(
            "writes",
            &[OpKind::Create, OpKind::Terminate],
            Cost::PerCall,
            100.0,
            10.0,
        ),
        class("reads", &[OpKind::List], Cost::PerCall, 100.0, 10.0),
    ];
    let (fake, _, limit) = limited(FakeOptions {
        classes,
        ..options()
    });
    let busy = Error::new(ErrorKind::Throttled, "slow down").retry_after(seconds(9));
    fake.fault(Fault::new(Trouble::Refuse(busy)).on(OpKind::Create));
    let throttled = limit.power_up(&cx(), &[call("1", &["c1"])]).await;
    assert_eq!(error_of(&throttled, "c1").delay(), Some(seconds(9)));
    let started = Instant::now();
    limit.list(&cx()).await.unwrap();
    assert_eq!(started.elapsed(), Duration::ZERO, "reads are another class");
    limit
        .power_down(&cx(), &[down("c9", DownMode::Terminate)])
        .await;
    assert!(
        started.elapsed() >= seconds(9),
        "another node, and the same class"
    );
}

#[tokio::test(start_paused = true)]
async fn every_class_and_mode_is_paid() {
    let all = [OpKind::Deallocate, OpKind::Terminate];
    let classes = vec![
        class("calls", &all, Cost::PerCall, 10.0, 1.0),
        class("nodes", &all, Cost::PerNode, 10.0, 1.0),
        class("deletes", &[OpKind::Terminate], Cost::PerNode, 10.0, 1.0),
    ];
    let (_, buckets, limit) = limited(FakeOptions {
        classes,
        ..options()
    });
    let batch = [
        down("c1", DownMode::Terminate),
        down("c2", DownMode::Deallocate),
        down("c3", DownMode::Deallocate),
    ];
    limit.power_down(&cx(), &batch).await;
    for (class, paid) in [("calls", 2.0), ("nodes", 3.0), ("deletes", 1.0)] {
        let left = 10.0 - paid;
        let wait = buckets
            .reserve(&key(class), 10.0, 1.0, left, 1_000_000)
            .unwrap();
        assert_eq!(wait, Duration::ZERO, "{class}: more than {paid} was paid");
        let wait = buckets
            .reserve(&key(class), 10.0, 1.0, 1.0, 1_000_000)
            .unwrap();
        assert_eq!(wait, seconds(1), "{class}: less than {paid} was paid");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_looks_and_changes_nothing() {
    let fake = Arc::new(FakeCloud::new(FakeOptions {
        premade: true,
        ..options()
    }));
    let id = fake.make("hpc1", &name("c1"), Owner::Created).unwrap();
    let whole = stack(
        fake.clone(),
        StackOptions {
            dry_run: true,
            buckets: Arc::new(MemoryBuckets::default()),
            clock: options().clock,
            kind: "f".into(),
            retry: RetryOptions::default(),
        },
    );
    assert_eq!(whole.to_string(), "DryRun(Retry(3, RateLimit(fake)))");
    let leftover = Leftover {
        node: name("c1"),
        id,
        kind: "disk".into(),
        certain: true,
    };
    let skipped = [
        whole.power_up(&cx(), &[call("1", &["c2"])]).await,
        whole
            .power_down(&cx(), &[down("c1", DownMode::Terminate)])
            .await,
        whole.tidy(&cx(), &[Chore::Delete(leftover)]).await,
    ];
    for outcomes in skipped {
        assert!(
            outcomes
                .iter()
                .all(|(_, o)| *o == Outcome::Skipped("dry run".into()))
        );
    }
    assert_eq!(whole.list(&cx()).await.unwrap().instances.len(), 1);
    assert_eq!(fake.read(|books| books.requests()).unwrap(), 1);
    assert_eq!(DryRun::new(fake).to_string(), "DryRun(fake)");
}

#[cfg(feature = "mock")]
#[tokio::test(start_paused = true)]
async fn a_call_is_repeated_as_it_is() {
    use slurmburst_core::mock::MockCloudProvider;
    use slurmburst_core::outcome::Outcomes;

    let mut mock = MockCloudProvider::new();
    let whole = call("1", &["c1", "c2"]);
    let expected = whole.clone();
    mock.expect_power_up().times(2).returning(move |_, calls| {
        assert_eq!(calls, std::slice::from_ref(&expected));
        let mut outcomes = Outcomes::all([name("c1"), name("c2")], &Outcome::AlreadyDone);
        let error = Error::new(ErrorKind::Connect, "no route");
        outcomes.set(&name("c2"), Outcome::Failed(error));
        outcomes
    });
    let retry = Retry::new(
        Arc::new(mock),
        RetryOptions {
            attempts: 2,
            ..RetryOptions::default()
        },
    );
    // A call that went well is not sent again.
    let outcomes = retry.power_up(&cx(), &[whole]).await;
    assert_eq!(words(&outcomes), ["already-done", "failed"]);
    assert_eq!(retry.to_string(), "Retry(2, mock)");
}
