use super::*;

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn powering_up(settings: Settings) -> (FakeSlurm, NodeName) {
    let (slurm, c1) = (FakeSlurm::new(settings), name("c1"));
    slurm.add([&c1]);
    slurm.power_up([&c1]);
    assert_eq!(slurm.state(&c1), "MIXED+CLOUD+NOT_RESPONDING+POWERING_UP");
    assert_eq!(slurm.calls(), [Called::Resume(c1.clone())]);
    (slurm, c1)
}

async fn wait(seconds: f64) {
    tokio::time::advance(Duration::from_secs_f64(seconds)).await;
}

async fn change(slurm: &FakeSlurm, node: &NodeName, change: Change) -> Result<(), SlurmError> {
    let mut updates = slurm.update(std::slice::from_ref(node), &change).await;
    assert_eq!(updates.len(), 1);
    updates.remove(0).1
}

fn down() -> Change {
    Change::Down {
        reason: "R".to_owned(),
    }
}

fn settings(idle_on_node_suspend: bool) -> Settings {
    Settings {
        idle_on_node_suspend,
        ..Settings::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_forced_power_down_takes_its_time_and_calls_suspend() {
    let (slurm, c1) = powering_up(Settings::default());
    change(&slurm, &c1, Change::PowerDownForce).await.unwrap();
    assert!(slurm.node(&c1).unwrap().state.is_power_down_requested());
    wait(1.0).await;
    assert_eq!(slurm.state(&c1), "IDLE+CLOUD+POWERING_DOWN");
    assert_eq!(slurm.calls(), [Called::Suspend(c1.clone())]);
    slurm.power_up([&c1]);
    assert_eq!(
        slurm.state(&c1),
        "IDLE+CLOUD+POWERING_DOWN",
        "power_up is lost"
    );
    wait(5.0).await;
    assert_eq!(slurm.state(&c1), "IDLE+CLOUD+POWERED_DOWN");
}

#[tokio::test(start_paused = true)]
async fn a_mark_set_once_powering_down_shows_stays() {
    for idle_on_node_suspend in [false, true] {
        let (slurm, c1) = powering_up(settings(idle_on_node_suspend));
        change(&slurm, &c1, Change::PowerDownForce).await.unwrap();
        wait(1.0).await;
        change(&slurm, &c1, down()).await.unwrap();
        wait(20.0).await;
        assert_eq!(slurm.state(&c1), "DOWN+CLOUD+POWERED_DOWN");
        change(&slurm, &c1, Change::Resume).await.unwrap();
        assert_eq!(slurm.state(&c1), "IDLE+CLOUD+POWERED_DOWN+NOT_RESPONDING");
    }
}

#[tokio::test(start_paused = true)]
async fn a_mark_set_too_early_is_lost() {
    for idle_on_node_suspend in [false, true] {
        let (slurm, c1) = powering_up(settings(idle_on_node_suspend));
        change(&slurm, &c1, Change::PowerDownForce).await.unwrap();
        change(&slurm, &c1, down()).await.unwrap();
        wait(20.0).await;
        assert_eq!(slurm.state(&c1), "IDLE+CLOUD+POWERED_DOWN");
        assert_eq!(slurm.node(&c1).unwrap().reason.unwrap().text, "R");

        // Set before the power-down was wanted, the setting decides.
        let (slurm, c1) = powering_up(settings(idle_on_node_suspend));
        change(&slurm, &c1, down()).await.unwrap();
        change(&slurm, &c1, Change::PowerDownForce).await.unwrap();
        wait(20.0).await;
        let lost = slurm.state(&c1).starts_with("IDLE");
        assert_eq!(lost, idle_on_node_suspend);
    }
}

#[tokio::test(start_paused = true)]
async fn down_alone_leaves_the_node_stuck_until_resume_timeout() {
    let (slurm, c1) = powering_up(Settings::default());
    change(&slurm, &c1, down()).await.unwrap();
    assert_eq!(slurm.state(&c1), "DOWN+CLOUD+NOT_RESPONDING+POWERING_UP");
    change(&slurm, &c1, Change::Resume).await.unwrap();
    assert_eq!(slurm.state(&c1), "IDLE+CLOUD+NOT_RESPONDING+POWERING_UP");
    assert_eq!(slurm.calls(), []);
    wait(60.0).await;
    assert_eq!(slurm.state(&c1), "DOWN+CLOUD+NOT_RESPONDING+POWERED_DOWN");
    assert_eq!(
        slurm.node(&c1).unwrap().reason.unwrap().text,
        "ResumeTimeout reached"
    );
    assert_eq!(slurm.calls(), [Called::ResumeFail(c1)]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_registers_is_up_and_is_suspended_later() {
    let (slurm, c1) = powering_up(Settings::default());
    slurm.up([&c1]);
    wait(100.0).await;
    assert_eq!(slurm.state(&c1), "IDLE+CLOUD");
    let error = change(&slurm, &c1, Change::Resume).await.unwrap_err();
    assert_eq!(error.kind(), SlurmErrorKind::Refused);
    slurm.suspend([&c1]);
    wait(1.0).await;
    assert_eq!(slurm.calls().last(), Some(&Called::Suspend(c1)));
}

#[tokio::test(start_paused = true)]
async fn calls_are_counted_and_unknown_nodes_named() {
    let slurm = FakeSlurm::new(Settings::default());
    let nodes: Vec<_> = (0..250).map(|n| name(&format!("n{n}"))).collect();
    slurm.add(&nodes[..249]);
    let addresses = (0..250).map(|n| format!("a{n}")).collect();
    let updates = slurm.update(&nodes, &Change::Addresses(addresses)).await;
    assert_eq!((slurm.updates(), updates.len()), (3, 4));
    assert_eq!(updates.last().unwrap().0, [nodes[249].clone()]);
    assert!(updates.last().unwrap().1.is_err());
    assert_eq!(
        slurm.node(&nodes[248]).unwrap().addr.as_deref(),
        Some("a248")
    );
    assert_eq!(slurm.nodes(Which::All).await.unwrap().len(), 249);
    assert_eq!(slurm.nodes(Which::Some(&nodes)).await.unwrap().len(), 249);
    assert_eq!(slurm.shows(), 2);
}

#[tokio::test(start_paused = true)]
async fn failures_are_as_told() {
    let slurm = FakeSlurm::default();
    assert_eq!(
        slurm.nodes(Which::All).await.unwrap_err().kind(),
        SlurmErrorKind::Empty
    );
    let c1 = name("c1");
    slurm.add([&c1]);
    slurm.fail_next_show(SlurmErrorKind::Timeout);
    assert_eq!(
        slurm.nodes(Which::All).await.unwrap_err().kind(),
        SlurmErrorKind::Timeout
    );
    assert!(slurm.nodes(Which::All).await.is_ok());
    slurm.fail_next_update(SlurmErrorKind::Unreachable);
    assert!(change(&slurm, &c1, down()).await.is_err());
    assert_eq!(slurm.state(&c1), "IDLE+CLOUD+POWERED_DOWN");
    slurm.silence(Some(SlurmErrorKind::Empty));
    assert!(slurm.nodes(Which::All).await.is_err() && slurm.ping().await.is_ok());
    slurm.silence(None);
    slurm.acts_elsewhere(true);
    assert!(!slurm.ping().await.unwrap().is_this_host);
}
