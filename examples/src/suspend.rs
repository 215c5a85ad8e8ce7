//! `slurmburst-suspend`: SuspendProgram of slurm.conf.

fn main() -> std::process::ExitCode {
    slurmburst::app::suspend(&slurmburst::kinds())
}
