//! Where an audit log lies: `FILE` is no file itself, but the beginning of the names of all of its files.
//!
//! | name | what it is |
//! |---|---|
//! | `FILE.<writer>.000001` | a segment: one process wrote it, `<writer>` is when it started and a random number |
//! | `FILE.head` | how far each chain was when it was last looked at; see [`super::head`] |
//! | `FILE.lock` | held while `FILE.head` is changed |

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Result};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The common beginning.
#[derive(Clone, Debug)]
pub(super) struct Place(PathBuf);

impl Place {
    pub(super) fn new(base: &Path) -> Place {
        Place(base.to_owned())
    }

    #[cfg(test)]
    pub(super) fn base(&self) -> &Path {
        &self.0
    }

    fn with(&self, more: &str) -> PathBuf {
        let mut name = self.0.as_os_str().to_owned();
        name.push(more);
        name.into()
    }

    pub(super) fn segment(&self, writer: &str, number: u32) -> PathBuf {
        self.with(&format!(".{writer}.{number:06}"))
    }

    pub(super) fn head(&self) -> PathBuf {
        self.with(".head")
    }

    pub(super) fn new_head(&self) -> PathBuf {
        self.with(".head.new")
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.with(".lock")
    }

    pub(super) fn folder(&self) -> &Path {
        self.0.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// The folder, for the owner alone where it has to be made.
    pub(super) fn make_folder(&self) -> Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(self.folder())
    }

    /// The names of new files are in their folder, which is synced for itself.
    pub(super) fn sync_folder(&self) -> Result<()> {
        File::open(self.folder())?.sync_all()
    }

    /// All segments: writer and number, in order.
    pub(super) fn segments(&self) -> Result<Vec<(String, u32)>> {
        let prefix = [self.0.file_name().and_then(OsStr::to_str).unwrap_or_default(), "."].concat();
        let mut found = Vec::new();
        for entry in std::fs::read_dir(self.folder())? {
            let name = entry?.file_name();
            found.extend(name.to_str().and_then(|name| name.strip_prefix(&prefix)).and_then(parse));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// The first record of a segment, whole or not; with its line break, if it is whole.
    pub(super) fn first_line(&self, writer: &str, number: u32) -> Result<Vec<u8>> {
        let mut line = Vec::new();
        BufReader::new(File::open(self.segment(writer, number))?).read_until(b'\n', &mut line)?;
        Ok(line)
    }

    /// Whether anything was ever recorded in what is here. What can't be read may hold something.
    pub(super) fn holds_records(&self) -> Result<bool> {
        let holds = |line: Result<Vec<u8>>| line.map_or(true, |line| line.ends_with(b"\n"));
        Ok(self.segments()?.iter().any(|(writer, number)| holds(self.first_line(writer, *number))))
    }

    /// The log that a segment belongs to, if the path is a segment's.
    pub(super) fn of_segment(path: &Path) -> Option<(Place, String, u32)> {
        let name = path.file_name()?.to_str()?;
        let writer = name.rsplit('.').nth(1)?;
        let at = name.rfind(&format!(".{writer}."))?;
        let (writer, number) = parse(&name[at + 1..])?;
        Some((Place(path.with_file_name(&name[..at])), writer, number))
    }
}

/// `<writer>.<number>`
fn parse(name: &str) -> Option<(String, u32)> {
    let (writer, number) = name.split_once('.')?;
    let is_writer = writer.len() == WRITER.len()
        && writer.bytes().zip(WRITER.bytes()).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            b'x' => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            form => byte == form,
        });
    // As `segment` writes it, which has seven digits after a million files.
    let is_number = match number.len() {
        6 => true,
        length => length > 6 && !number.starts_with('0'),
    } && number.bytes().all(|b| b.is_ascii_digit());
    (is_writer && is_number).then_some((writer.to_owned(), number.parse().ok()?))
}

/// What the name of a writer looks like.
const WRITER: &str = "00000000T000000000Z-xxxxxxxx";

/// A name for this process: when it started, so that files are listed in order, and a random number, since in containers all have
/// the same process id.
pub(super) fn writer(time: &str, random: u32) -> String {
    let time: String = time.chars().filter(|c| !"-:.".contains(*c)).collect();
    format!("{time}-{random:08x}")
}

/// Opens a file for its owner alone.
pub(super) fn create(path: &Path, options: &mut OpenOptions) -> Result<File> {
    // What is recorded is about people: nobody else reads it.
    options.mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_known_by_its_name() {
        let writer = writer("2026-11-24T19:31:00.123Z", 0xbeef);
        assert_eq!(writer, "20261124T193100123Z-0000beef");
        let place = Place::new(Path::new("logs/audit.log"));
        let path = place.segment(&writer, 7);
        assert_eq!(path, Path::new("logs/audit.log.20261124T193100123Z-0000beef.000007"));
        let (of, found, number) = Place::of_segment(&path).unwrap();
        assert_eq!((of.base(), found, number), (place.base(), writer, 7));
        let many = place.segment("20261124T193100123Z-0000beef", 1_000_000);
        assert_eq!(Place::of_segment(&many).unwrap().2, 1_000_000);
        assert!(
            Place::of_segment(&place.segment("20261124T193100123Z-0000beef", 7).with_extension("0000007")).is_none()
        );
        for other in ["audit.log", "audit.log.head", "audit.log.lock", "audit.log.20261124T193100123Z-0000beef.00007"] {
            assert!(Place::of_segment(Path::new(other)).is_none(), "{other}");
        }
    }

    #[test]
    fn segments_are_read_in_the_order_of_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(&folder.path().join("log"));
        for number in [1_000_000, 999_999, 2] {
            std::fs::write(place.segment("20261124T193100123Z-0000beef", number), "").unwrap();
        }
        let numbers: Vec<_> = place.segments().unwrap().into_iter().map(|(_, number)| number).collect();
        assert_eq!(numbers, [2, 999_999, 1_000_000]);
    }

    #[test]
    fn a_name_alone_lies_in_the_folder_of_today() {
        assert_eq!(Place::new(Path::new("audit")).folder(), Path::new("."));
    }
}
