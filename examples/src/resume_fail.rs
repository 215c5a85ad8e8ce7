//! `slurmburst-resume-fail`: ResumeFailProgram of slurm.conf.

fn main() -> std::process::ExitCode {
    slurmburst::app::resume_fail(&slurmburst::kinds())
}
