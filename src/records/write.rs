//! Lines into a file and onto its disk, or none of them.

use std::fs::{File, OpenOptions};
use std::io::{Error, Read, Result, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Appends whole lines. The file is opened each time, so that one that was moved away or deleted is begun anew.
///
/// # Errors
/// What the system says; the file is then as long as before.
pub(super) fn append(path: &Path, lines: &[u8]) -> Result<()> {
    let is_new = !path.try_exists()?;
    // What is recorded is about people: nobody else reads it.
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    // Another gateway may write to it as well, as while one takes over from another.
    file.lock()?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        // A device or a pipe keeps nothing.
        return Err(Error::other("it is no file"));
    }
    let before = metadata.len();
    let written = heal(&mut file, before).and_then(|()| file.write_all(lines)).and_then(|()| file.sync_data());
    if let Err(e) = written {
        // Whoever waits is told that there is no record, so there must not be half of one either.
        file.set_len(before)?;
        return Err(e);
    }
    if is_new {
        // The name of a new file is in its folder, which is synced for itself.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Ends a last line that a crash left half written, so that the next one is whole.
fn heal(file: &mut File, length: u64) -> Result<()> {
    if length == 0 {
        return Ok(());
    }
    let mut last = [0];
    file.seek(SeekFrom::Start(length - 1))?;
    file.read_exact(&mut last)?;
    if last == *b"\n" { Ok(()) } else { file.write_all(b"\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_whole_whatever_was_there_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        for (before, after) in [
            (None, "{}\n"),
            (Some(""), "{}\n"),
            (Some("{\"a\":1}\n"), "{\"a\":1}\n{}\n"),
            (Some("{\"a\":"), "{\"a\":\n{}\n"),
        ] {
            match before {
                None => drop(std::fs::remove_file(&path)),
                Some(text) => std::fs::write(&path, text).unwrap(),
            }
            append(&path, b"{}\n").unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
        }
    }

    #[test]
    fn what_keeps_nothing_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/full", &link).unwrap();
        for path in [link.as_path(), folder.path(), &folder.path().join("no/such")] {
            assert!(append(path, b"{}\n").is_err(), "{}", path.display());
        }
    }

    #[test]
    fn a_new_file_is_for_its_owner() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        append(&path, b"{}\n").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0);
    }
}
