//! Where successors come: a Unix socket in a folder that is ours alone, since whoever connects is given the listening sockets.

use std::fs::{DirBuilder, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

const OURS_ALONE: u32 = 0o700;

/// Listened on, and found by nobody yet: it has its name in the folder once [`Unpublished::publish`] was called.
pub(in crate::server) struct Listening {
    pub(super) listener: UnixListener,
    pub(in crate::server) name: Unpublished,
}

/// A socket beside the place where it is to be.
pub(in crate::server) struct Unpublished {
    beside: PathBuf,
    path: PathBuf,
}

impl Listening {
    /// `path` is where successors look for it.
    pub(in crate::server) fn new(path: &Path) -> anyhow::Result<Listening> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}", std::process::id()));
        let name = Unpublished { beside: beside.into(), path: path.to_owned() };
        // Of a process that had our number and was killed.
        let _ = std::fs::remove_file(&name.beside);
        let listener = UnixListener::bind(&name.beside)
            .with_context(|| format!("{} can't be listened on for successors", path.display()))?;
        listener.set_nonblocking(true)?;
        Ok(Listening { listener, name })
    }
}

impl Unpublished {
    /// From now on successors find this one, and whatever was there before is gone. In one step, so that there is always somebody.
    pub(in crate::server) fn publish(self) -> std::io::Result<()> {
        std::fs::rename(&self.beside, &self.path)
    }
}

impl Drop for Unpublished {
    fn drop(&mut self) {
        // It has moved, or nobody ever hears of it.
        let _ = std::fs::remove_file(&self.beside);
    }
}

/// Makes the folder of the socket where it is missing.
///
/// # Errors
/// It is not for our user alone.
pub(in crate::server) fn own_folder(socket: &Path) -> anyhow::Result<()> {
    let folder = socket.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let told = || format!("the folder {} of the upgrade socket", folder.display());
    let look = || std::fs::symlink_metadata(folder);
    let found = match look() {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(OURS_ALONE).create(folder).and_then(|()| look())
        }
        found => found,
    };
    let found = found.with_context(|| format!("{} can't be made", told()))?;
    match fault(&found, rustix::process::geteuid().as_raw()) {
        None => Ok(()),
        Some(fault) => bail!("{} {fault}: whoever gets in there gets the listening sockets", told()),
    }
}

fn fault(folder: &Metadata, own: u32) -> Option<String> {
    let (mode, owner) = (folder.mode() & 0o777, folder.uid());
    match () {
        () if !folder.is_dir() => Some("is no folder".to_owned()),
        () if owner != own => Some(format!("belongs to user {owner} and this process to user {own}")),
        () if mode != OURS_ALONE => Some(format!("has mode {mode:04o} and must have 0700")),
        () => None,
    }
}

/// Whether somebody answers there.
pub(in crate::server) fn is_taken(path: &Path) -> bool {
    UnixStream::connect(path).is_ok()
}

/// Connects to the process that runs.
pub(super) fn connect(path: &Path) -> anyhow::Result<UnixStream> {
    UnixStream::connect(path).map_err(|e| match e.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => anyhow::anyhow!(
            "no running gateway is at {}, so there is nothing to take over: start without `--upgrade`",
            path.display()
        ),
        _ => anyhow::Error::new(e).context(format!("the running gateway at {} can't be reached", path.display())),
    })
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_is_ours_alone_or_it_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let own = rustix::process::geteuid().as_raw();
        for (mode, is_good) in
            [(0o700, true), (0o2700, true), (0o770, false), (0o777, false), (0o755, false), (0o600, false)]
        {
            let at = folder.path().join(format!("{mode:o}"));
            std::fs::create_dir(&at).unwrap();
            std::fs::set_permissions(&at, Permissions::from_mode(mode)).unwrap();
            let told = own_folder(&at.join("socket")).map_err(|e| e.to_string());
            assert_eq!(told.is_ok(), is_good, "{mode:o}: {told:?}");
            assert!(is_good || told.unwrap_err().contains(&format!("has mode {:04o} and must", mode & 0o777)));
        }
        let foreign = fault(&std::fs::symlink_metadata(folder.path()).unwrap(), own + 1);
        assert_eq!(foreign, Some(format!("belongs to user {own} and this process to user {}", own + 1)));
        // A link may lead elsewhere tomorrow.
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path().join("700"), &link).unwrap();
        assert!(own_folder(&link.join("socket")).unwrap_err().to_string().contains("is no folder"));
    }

    #[test]
    fn a_folder_that_is_missing_is_made_for_us_alone() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("run/hilum");
        own_folder(&at.join("socket")).unwrap();
        assert_eq!(std::fs::metadata(&at).unwrap().mode() & 0o777, OURS_ALONE);
    }

    #[test]
    fn a_socket_is_found_when_it_is_published_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let told = connect(&path).unwrap_err().to_string();
        assert!(told.contains("nothing to take over"), "{told}");
        // What a process that was killed has left.
        drop(UnixListener::bind(&path).unwrap());
        assert!(!is_taken(&path));
        let Listening { listener: first, name } = Listening::new(&path).unwrap();
        assert!(!is_taken(&path));
        name.publish().unwrap();
        assert!(is_taken(&path));
        // The next one takes its place, or goes without a trace.
        drop(Listening::new(&path).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let second = Listening::new(&path).unwrap();
        second.name.publish().unwrap();
        drop(first);
        assert!(is_taken(&path), "the second one answers");
    }
}
