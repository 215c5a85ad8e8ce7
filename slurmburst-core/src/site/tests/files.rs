//! Finding and reading the file, and the last good copy.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use super::super::load::cluster_name;
use super::super::{Glimpse, LAST_GOOD, Loaded, Site, SiteContext, load_or_last_good, locate};
use super::{LEAST, context, kinds, with};
use crate::config::ConfigError;

#[test]
fn the_file_is_found_in_order() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("slurmburst.toml");
    let conf = dir.path().join("slurm.conf");
    let find = |config: Option<&Path>, vars: &[(&str, &Path)]| {
        locate(config, |name| {
            let var = vars.iter().find(|(n, _)| *n == name);
            var.map(|(_, path)| OsString::from(path))
        })
    };
    let message = |result: Result<_, ConfigError>| result.unwrap_err().to_string();
    let gone = Path::new("/nowhere/x.toml");

    assert_eq!(
        message(find(None, &[("SLURM_CONF", &conf)])),
        format!(
            "slurmburst.toml: there is no site file; looked at $SLURMBURST_CONFIG (not set), {} (beside $SLURM_CONF), /etc/slurm/slurmburst.toml; make one with `slurmburst init`, or name it with --config",
            file.display()
        )
    );
    fs::write(&file, LEAST).unwrap();
    assert_eq!(find(None, &[("SLURM_CONF", &conf)]), Ok(file.clone()));
    assert_eq!(
        find(None, &[("SLURMBURST_CONFIG", &file)]),
        Ok(file.clone())
    );
    assert_eq!(
        find(
            None,
            &[("SLURM_CONF", &conf), ("SLURMBURST_CONFIG", Path::new(""))]
        ),
        Ok(file.clone())
    );
    assert_eq!(
        find(Some(&file), &[("SLURMBURST_CONFIG", gone)]),
        Ok(file.clone())
    );
    // What is named is not replaced by another.
    assert_eq!(
        message(find(
            None,
            &[("SLURM_CONF", &conf), ("SLURMBURST_CONFIG", gone)]
        )),
        "/nowhere/x.toml: does not exist, and $SLURMBURST_CONFIG names it; correct $SLURMBURST_CONFIG, or make it with `slurmburst init`"
    );
    assert!(message(find(Some(gone), &[("SLURM_CONF", &conf)])).contains("--config names it"));
    assert!(message(find(None, &[])).contains("beside $SLURM_CONF (not set)"));
}

#[test]
fn what_cannot_be_read_says_why() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("s.toml");
    let message = |what: &str| {
        let e = Site::load(&file, &kinds(), &context()).unwrap_err();
        assert_eq!(e.to_string(), format!("{}{what}", file.display()));
    };
    message(": does not exist; make it with `slurmburst init`, or name another with --config");
    fs::write(&file, b"a = 1\nb = \"\xc3\xa4\xff\"").unwrap();
    message(":2:7: is not UTF-8 from here on; save the file as UTF-8");
    fs::write(&file, vec![b'#'; (1 << 20) + 1]).unwrap();
    message(": is larger than 1048576 bytes, which no site file is; is it the right file?");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    message(": cannot be read: it is not a regular file");
}

#[test]
fn the_clusters_name_comes_from_slurm_conf() {
    assert_eq!(
        cluster_name("# ClusterName=a\n clustername = \"HPC1\" # x\n"),
        Some("hpc1".into())
    );
    assert_eq!(
        cluster_name("ClusterNames=a\nClusterName\nClusterName=\n"),
        None
    );

    let dir = TempDir::new().unwrap();
    let (file, conf) = (dir.path().join("s.toml"), dir.path().join("slurm.conf"));
    fs::write(&file, LEAST).unwrap();
    fs::write(&conf, "ClusterName=Uni\n").unwrap();
    let load = |ctx: &SiteContext| Site::load(&file, &kinds(), ctx).map(|site| site.cluster);
    let ctx = SiteContext {
        slurm_conf: Some(conf.clone()),
        ..SiteContext::default()
    };
    assert_eq!(load(&ctx).unwrap(), "uni");
    // The site file's word on where slurm.conf is goes first.
    fs::write(&file, with(&format!("slurm.conf = {conf:?}"))).unwrap();
    assert_eq!(
        load(&SiteContext {
            slurm_conf: Some("/nowhere".into()),
            ..ctx
        })
        .unwrap(),
        "uni"
    );
    assert_eq!(load(&context()).unwrap(), "hpc1");
}

#[test]
fn a_broken_file_is_still_glimpsed() {
    let text =
        "state_dir = \"/s\"\nlog_file = relative\ncluster = \"c\n[slurm]\nconf = \"/c\"\n[[[x";
    let seen = Glimpse::of(text);
    assert_eq!(seen.state_dir.as_deref(), Some(Path::new("/s")));
    assert_eq!(seen.log_file, None);
    assert_eq!(seen.slurm_conf.as_deref(), Some(Path::new("/c")));
    assert_eq!(Glimpse::of("\0"), Glimpse::default());
}

/// A site file with its own state_dir.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Place {
        Place {
            dir: TempDir::new().unwrap(),
        }
    }
    fn write(&self, top: &str) {
        let text = with(&format!("state_dir = {:?}\n{top}", self.dir.path()));
        fs::write(self.dir.path().join("s.toml"), text).unwrap();
    }
    fn load(&self) -> Result<Loaded, ConfigError> {
        load_or_last_good(&self.dir.path().join("s.toml"), &kinds(), &context())
    }
    fn copy(&self) -> std::path::PathBuf {
        self.dir.path().join(LAST_GOOD)
    }
    fn why(&self) -> String {
        let message = self.load().unwrap_err().to_string();
        let (_, why) = message.split_once("; the last good copy ").unwrap();
        why.replace(&self.dir.path().display().to_string(), "DIR")
    }
}

#[test]
fn a_broken_file_is_replaced_by_the_last_good_copy() {
    let place = Place::new();
    place.write("return_after = \"7s\"");
    let loaded = place.load().unwrap();
    assert!(loaded.broken.is_none());
    assert_eq!(loaded.keep(), Ok(true));
    assert_eq!(loaded.keep(), Ok(false), "only what changed is written");
    assert_eq!(
        fs::metadata(place.copy()).unwrap().permissions().mode() & 0o777,
        0o600
    );

    for broken in [
        "return_after = 7s",
        "return_afte = \"7s\"",
        "x = \"",
        "cool_off = 1",
    ] {
        place.write(broken);
        let loaded = place.load().unwrap();
        assert_eq!(loaded.broken.as_ref().unwrap().line(), 2, "{broken}");
        assert_eq!(loaded.site.return_after.as_secs(), 7);
        assert_eq!(loaded.site.file, place.copy());
        assert_eq!(loaded.keep(), Ok(false), "a copy is not copied");
    }

    place.write("return_after = \"8s\"");
    let loaded = place.load().unwrap();
    assert!(loaded.broken.is_none());
    assert_eq!(loaded.keep(), Ok(true));
    place.write("=");
    assert_eq!(place.load().unwrap().site.return_after.as_secs(), 8);
    let left: Vec<_> = fs::read_dir(place.dir.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "no temporary file stays: {left:?}");
}

#[test]
fn a_copy_that_others_may_have_written_is_not_trusted() {
    let place = Place::new();
    place.write("");
    place.load().unwrap().keep().unwrap();
    place.write("=");
    assert!(place.load().is_ok());

    fs::set_permissions(place.copy(), Permissions::from_mode(0o620)).unwrap();
    assert_eq!(
        place.why(),
        "DIR/site.last-good.toml cannot be used: others may write to it"
    );
    fs::remove_file(place.copy()).unwrap();
    assert_eq!(place.why(), "DIR/site.last-good.toml does not exist");
    std::os::unix::fs::symlink(place.dir.path().join("s.toml"), place.copy()).unwrap();
    assert!(
        place
            .why()
            .starts_with("DIR/site.last-good.toml cannot be used: Too many levels")
    );
    fs::remove_file(place.copy()).unwrap();
    fs::create_dir(place.copy()).unwrap();
    assert_eq!(
        place.why(),
        "DIR/site.last-good.toml cannot be used: it is not a regular file"
    );
    fs::remove_dir(place.copy()).unwrap();
    fs::write(place.copy(), "=").unwrap();
    assert!(
        place
            .why()
            .contains("cannot be used: DIR/site.last-good.toml:1:1: not valid TOML")
    );
    fs::write(place.copy(), LEAST).unwrap();
    assert_eq!(
        place.why(),
        "DIR/site.last-good.toml is of a site whose state_dir is /var/lib/slurmburst"
    );
    // The next good file mends it.
    place.write("");
    assert_eq!(place.load().unwrap().keep(), Ok(true));
}

#[test]
fn another_users_copy_is_not_trusted() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let place = Place::new();
    place.write("");
    place.load().unwrap().keep().unwrap();
    std::os::unix::fs::chown(place.copy(), Some(4711), None).unwrap();
    place.write("=");
    assert_eq!(
        place.why(),
        "DIR/site.last-good.toml cannot be used: it belongs to another user (uid 4711)"
    );
}

#[test]
fn a_copy_that_cannot_be_written_is_said() {
    let place = Place::new();
    place.write("");
    let mut loaded = place.load().unwrap();
    loaded.site.state_dir = "/nowhere".into();
    let e = loaded.keep().unwrap_err();
    assert!(
        e.to_string()
            .starts_with("/nowhere/site.last-good.toml: the last good copy cannot be written: "),
        "{e}"
    );
}
