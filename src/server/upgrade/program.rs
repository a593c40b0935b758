//! What a successor is started with: the same command, of whatever stands at its path by then.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context;
use tokio::process::{Child, Command};

const TAKES_OVER: &str = "--upgrade";

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// The program of this process, as it was called. Asked at the start: later the file may be another one, which is the point, and
    /// the system would tell of the one that was deleted.
    ///
    /// # Errors
    /// The system does not tell where it is.
    pub fn of_this_process() -> anyhow::Result<Program> {
        let itself = std::env::current_exe().context("where this program is is not known")?;
        Ok(Program::of(itself, std::env::args_os()))
    }

    fn of(itself: PathBuf, mut arguments: impl Iterator<Item = OsString>) -> Program {
        // By a link, if it was called by one: to point it elsewhere is how many programs are replaced.
        let called = arguments.next().map(PathBuf::from).filter(|called| called.components().count() > 1);
        let called = called.filter(|called| called.canonicalize().is_ok_and(|called| called == itself));
        let arguments = arguments.filter(|argument| argument != TAKES_OVER).chain([TAKES_OVER.into()]).collect();
        Program { path: called.unwrap_or(itself), arguments }
    }

    /// Starts it with our environment and our outputs.
    pub(super) fn start(&self) -> std::io::Result<Child> {
        Command::new(&self.path).args(&self.arguments).spawn()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_called_as_this_one_was() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let (itself, link, other) = (folder.join("hilum-1"), folder.join("hilum"), folder.join("other"));
        for file in [&itself, &other] {
            std::fs::write(file, "").unwrap();
        }
        std::os::unix::fs::symlink(&itself, &link).unwrap();
        let (itself, link, other) = (itself.to_str().unwrap(), link.to_str().unwrap(), other.to_str().unwrap());
        for (words, path, arguments) in [
            (vec![itself, "run"], itself, "run --upgrade"),
            (vec![link, "run", "--conf", "c"], link, "run --conf c --upgrade"),
            // Found in the path, or called by a name that is not its own.
            (vec!["hilum", "run"], itself, "run --upgrade"),
            (vec![other, "run"], itself, "run --upgrade"),
            // A successor's successor.
            (vec![itself, "run", "--upgrade", "--conf", "c"], itself, "run --conf c --upgrade"),
            (vec![], itself, "--upgrade"),
        ] {
            let program = Program::of(itself.into(), words.iter().map(OsString::from));
            let expected: Vec<OsString> = arguments.split(' ').map(OsString::from).collect();
            assert_eq!(program, Program { path: path.into(), arguments: expected }, "{words:?}");
        }
    }
}
