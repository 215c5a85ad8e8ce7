//! A cloud that takes 5 s for every call, and a thousand nodes: Slurm does not notice.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs
)]

use std::thread::sleep;
use std::time::{Duration, Instant};

use slurmburst_tests::burst::{Build, Burst, site_text};
use slurmburst_tests::{Cluster, SlurmUser, SlurmVersion, on_both};

fn slow_provider(version: SlurmVersion) {
    const NODES: usize = 1_000;
    let (Some(_), Some(bin)) = (version.or_skip(), Build::Fake.or_skip()) else {
        return;
    };
    let builder = Cluster::builder(version)
        .user(SlurmUser::Slurm)
        // One more, with which none needs a port of its own.
        .nodes("n[1-1000],spare")
        .suspend_time(600)
        .resume_timeout(300)
        // Otherwise Slurm asks for 300 a minute.
        .conf_line("ResumeRate=0");
    let rest = "[provider.cloud]\nkind = \"fake\"\ndelay = \"5s\"\nmax_batch = 10\nconcurrency = 8\n\
                [[nodes]]\nhostlist = \"n[1-1000]\"\n  [[nodes.placement]]\n  provider = \"cloud\"\n";
    let site = site_text(builder.dir(), "", rest);
    let burst = Burst::start(builder, &bin, &site);
    let cluster = &burst.cluster;
    let ran = std::thread::scope(|scope| {
        let watch = scope.spawn(|| burst.watch_call("slurmburst-resume", Duration::from_secs(30)));
        cluster.sbatch(&["-N1000", "-w", "n[1-1000]"], "#!/bin/sh\ntrue\n");
        cluster.wait_for(
            "ResumeProgram to be called",
            Duration::from_secs(20),
            || burst.log().contains(" invoked resume "),
        );
        let (mut slowest, mut times) = (("", Duration::ZERO), 0);
        let end = Instant::now() + Duration::from_secs(20);
        while Instant::now() < end {
            let what: (&str, &[&str]) = match times % 4 {
                3 => ("scontrol", &["reconfigure"]),
                _ => ("sinfo", &["-h", "-o", "%t %D"]),
            };
            let start = Instant::now();
            let out = cluster.run(what.0, what.1);
            let took = start.elapsed();
            assert!(out.status.success(), "{what:?}: {out:?}");
            assert!(took < Duration::from_secs(2), "{} took {took:?}", what.0);
            if took > slowest.1 {
                slowest = (what.0, took);
            }
            times += 1;
            sleep(Duration::from_millis(400));
        }
        println!(
            "{times} questions, the slowest {} with {:.2} s",
            slowest.0,
            slowest.1.as_secs_f32()
        );
        watch.join().expect("watched")
    });
    println!("slurmburst-resume took {:.2} s", ran.as_secs_f32());
    assert!(ran < Duration::from_secs(3), "{ran:?}");
    let log = burst.log();
    assert_eq!(log.matches(" invoked ").count(), 1);
    assert_eq!(log.matches("\"what\":\"recorded\"").count(), NODES);
    let up = log.matches("\"what\":\"up\"").count();
    println!("{up} nodes came up meanwhile");
    assert!((1..NODES).contains(&up), "still at work: {up}");
    assert!(!burst.pids("slurmburst-converge").is_empty());
}

on_both!(slow_provider);
