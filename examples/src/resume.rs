//! `slurmburst-resume`: ResumeProgram of slurm.conf.

fn main() -> std::process::ExitCode {
    slurmburst::app::resume(&slurmburst::kinds())
}
