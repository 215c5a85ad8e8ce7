//! The executor: parallel within limits, one outcome per node, whatever happens.
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

use slurmburst_core::error::{Effect, ErrorKind};
use slurmburst_core::executor::{Executor, Finished, Work};
use slurmburst_core::fake::{FakeCloud, FakeOptions, Fault, Trouble};
use slurmburst_core::outcome::Outcome;
use slurmburst_core::provider::{CloudProvider, DownMode, OpKind};
use tokio::time::{Instant, timeout};

use common::{call, count, down, error_of, name, options, words};

fn up(fake: &Arc<FakeCloud>, id: &str, nodes: &[&str]) -> Work {
    let provider: Arc<dyn CloudProvider> = fake.clone();
    Work::Up {
        provider,
        name: "fake".into(),
        call: call(id, nodes),
    }
}

fn after(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

async fn all(executor: &mut Executor) -> Vec<Finished> {
    let mut finished = Vec::new();
    while let Some(one) = executor.next().await {
        finished.push(one);
    }
    finished
}

fn slow(seconds: u64, concurrency: usize) -> Arc<FakeCloud> {
    let delay = Duration::from_secs(seconds);
    Arc::new(FakeCloud::new(FakeOptions {
        delay,
        concurrency,
        ..options()
    }))
}

#[tokio::test(start_paused = true)]
async fn what_was_not_started_can_be_taken_back() {
    let fake = slow(1, 2);
    let mut executor = Executor::new("hpc1");
    for id in ["1", "2", "3", "4", "5"] {
        executor.submit(up(&fake, id, &[&format!("c{id}")]), after(60));
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    executor.recall(|work| work.nodes()[0].as_str() != "c4");
    executor.recall(|_| false);
    let begun = Instant::now();
    let mut sent = Vec::new();
    for one in all(&mut executor).await {
        let node = one.work.nodes().remove(0);
        match one.outcomes.get(&node) {
            Some(Outcome::Superseded) => assert!(one.took.is_zero()),
            other => sent.push((node.to_string(), other.is_some_and(Outcome::is_success))),
        }
    }
    sent.sort();
    assert_eq!(sent, ["c1", "c2", "c4"].map(|n| (n.to_owned(), true)));
    assert_eq!(begun.elapsed().as_secs(), 1);
    assert_eq!(count(&fake, OpKind::Create), 3);
}

#[tokio::test(start_paused = true)]
async fn as_many_at_once_as_the_provider_wants() {
    let fake = slow(1, 2);
    let mut executor = Executor::new("hpc1");
    let started = Instant::now();
    for id in ["1", "2", "3", "4", "5", "6"] {
        executor.submit(up(&fake, id, &[&format!("c{id}")]), after(60));
    }
    // Another provider is not held up by this one.
    let other: Arc<dyn CloudProvider> = slow(1, 1);
    let batch = vec![down("d1", DownMode::Terminate)];
    executor.submit(
        Work::Down {
            provider: other,
            name: "other".into(),
            batch,
        },
        after(60),
    );
    assert_eq!(executor.in_flight(), 7);
    let finished = all(&mut executor).await;
    assert_eq!((finished.len(), executor.in_flight()), (7, 0));
    assert_eq!(started.elapsed().as_secs(), 3);
    assert!(
        finished
            .iter()
            .all(|f| f.took.as_secs() == 1 && f.outcomes.len() == 1)
    );
    let down = finished
        .iter()
        .position(|f| f.work.name() == "other")
        .unwrap();
    assert!(down < 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_started_at_its_deadline_is_not_sent() {
    let fake = slow(5, 1);
    let mut executor = Executor::new("hpc1");
    executor.submit(up(&fake, "1", &["c1"]), after(60));
    executor.submit(up(&fake, "2", &["c2"]), after(3));
    executor.submit(up(&fake, "3", &["c3"]), Instant::now());
    let finished = all(&mut executor).await;
    for one in &finished {
        let expected = if one.work.nodes() == [name("c1")] {
            "done"
        } else {
            "skipped"
        };
        assert_eq!(words(&one.outcomes), [expected]);
    }
    assert_eq!(finished.len(), 3);
    assert_eq!(count(&fake, OpKind::Create), 1);
}

#[tokio::test(start_paused = true)]
async fn what_outlives_its_deadline_has_an_unknown_effect() {
    let fake = slow(100, 4);
    let mut executor = Executor::new("hpc1");
    let started = Instant::now();
    executor.submit(up(&fake, "1", &["c1", "c2"]), after(10));
    let finished = executor.next().await.unwrap();
    assert_eq!(started.elapsed().as_secs(), 10);
    for node in ["c1", "c2"] {
        let error = error_of(&finished.outcomes, node);
        assert_eq!(
            (error.kind(), error.may_have_acted()),
            (ErrorKind::Timeout, Effect::Unknown)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_stays_with_its_nodes() {
    let fake = slow(1, 4);
    fake.fault(Fault::new(Trouble::Panic).node(name("c2")));
    let mut executor = Executor::new("hpc1");
    for id in ["1", "2", "3"] {
        executor.submit(up(&fake, id, &[&format!("c{id}")]), after(60));
    }
    for one in all(&mut executor).await {
        if one.work.nodes() == [name("c2")] {
            let error = error_of(&one.outcomes, "c2");
            assert_eq!(error.kind(), ErrorKind::Unexpected);
            assert_eq!(error.may_have_acted(), Effect::Unknown);
            assert!(
                error
                    .message()
                    .contains("a fault of the fake cloud's script"),
                "{error}"
            );
        } else {
            assert_eq!(words(&one.outcomes), ["done"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn asking_for_the_next_and_giving_up_loses_nothing() {
    let fake = slow(5, 4);
    let mut executor = Executor::new("hpc1");
    executor.submit(up(&fake, "1", &["c1"]), after(60));
    for _ in 0..4 {
        assert!(
            timeout(Duration::from_secs(1), executor.next())
                .await
                .is_err()
        );
    }
    assert_eq!(words(&executor.next().await.unwrap().outcomes), ["done"]);
    assert!(executor.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_drops_what_is_under_way() {
    let fake = slow(5, 4);
    let mut executor = Executor::new("hpc1");
    executor.submit(up(&fake, "1", &["c1"]), after(60));
    assert!(
        timeout(Duration::from_secs(1), executor.next())
            .await
            .is_err()
    );
    executor.shutdown().await;
    assert_eq!(executor.in_flight(), 0);
    assert!(executor.next().await.is_none());
    assert_eq!(fake.read(|books| books.machines().count()).unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_empty_executor_has_nothing_next() {
    assert!(Executor::new("hpc1").next().await.is_none());
}

#[cfg(feature = "mock")]
#[tokio::test]
async fn an_answer_about_other_nodes_is_corrected() {
    use slurmburst_core::mock::MockCloudProvider;
    use slurmburst_core::outcome::{Outcome, Outcomes};
    use slurmburst_core::provider::Capabilities;

    let mut mock = MockCloudProvider::new();
    mock.expect_capabilities()
        .return_const(Capabilities::new("me"));
    mock.expect_power_down()
        .times(1)
        .returning(|_, _| Outcomes::all([name("c2"), name("stranger")], &Outcome::AlreadyDone));
    let provider: Arc<dyn CloudProvider> = Arc::new(mock);
    let batch = vec![
        down("c1", DownMode::Terminate),
        down("c2", DownMode::Terminate),
    ];
    let mut executor = Executor::new("hpc1");
    executor.submit(
        Work::Down {
            provider,
            name: "mock".into(),
            batch,
        },
        after(60),
    );
    let outcomes = executor.next().await.unwrap().outcomes;
    assert_eq!(words(&outcomes), ["failed", "already-done"]);
    assert_eq!(error_of(&outcomes, "c1").may_have_acted(), Effect::Unknown);
}
