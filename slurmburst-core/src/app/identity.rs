//! Who this process is: unblocked signals, and SlurmUser instead of root.

use std::ffi::CString;
use std::io;

use nix::sys::signal::SigSet;
use nix::unistd::{Gid, Uid, User, geteuid, initgroups, setgid, setuid};

/// Unblocks every signal. Slurm 22.05 starts its programs with twelve of them
/// blocked, SIGCHLD and SIGTERM among them: nothing could be waited for, and
/// nobody could end us. To be called before any thread is started.
///
/// # Errors
/// The kernel's, which it never gives for this call in practice.
pub fn unblock_signals() -> io::Result<()> {
    SigSet::all().thread_unblock().map_err(io::Error::from)
}

/// Becomes `user` if this process is root and `user` is not, so that no file is
/// ever made that the unattended runs cannot open.
///
/// # Errors
/// There is no such user, or the change is not allowed.
pub fn become_slurm_user(user: &str) -> io::Result<()> {
    if !geteuid().is_root() || user == "root" {
        return Ok(());
    }
    let (name, uid, gid) = look_up(user)?;
    initgroups(&name, gid)?;
    setgid(gid)?;
    setuid(uid)?;
    Ok(())
}

/// The name of the user that this process runs as.
pub(super) fn user_name() -> String {
    let uid = geteuid();
    match User::from_uid(uid) {
        Ok(Some(user)) => user.name,
        _ => format!("uid {uid}"),
    }
}

fn look_up(user: &str) -> io::Result<(CString, Uid, Gid)> {
    let unknown = || {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!("SlurmUser {user} is no user of this host"),
        )
    };
    let entry = match user.parse::<u32>() {
        Ok(uid) => User::from_uid(Uid::from_raw(uid))?,
        Err(_) => User::from_name(user)?,
    };
    let entry = entry.ok_or_else(unknown)?;
    let name = CString::new(entry.name).map_err(|_| unknown())?;
    Ok((name, entry.uid, entry.gid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_unblock() {
        unblock_signals().unwrap();
        let now = SigSet::thread_get_mask().unwrap();
        assert!(!now.contains(nix::sys::signal::Signal::SIGTERM));
    }

    #[test]
    fn an_unknown_user_is_named() {
        if !geteuid().is_root() {
            return;
        }
        let e = become_slurm_user("no-such-user-here").unwrap_err();
        assert!(e.to_string().contains("no-such-user-here"), "{e}");
    }
}
