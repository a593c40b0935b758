//! The commands as people and programs call them: exit codes, what is printed, and that no secret ever is.

mod audited;
mod check;
mod commands;
mod deployment;
mod examples;
mod golden;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Long enough for HS512, and no secret of anybody's.
const SECRET: &str = "a-secret-of-the-tests-that-is-long-enough-for-every-algorithm-0123456789";
/// A `conf/hilum.yaml` without a problem, on ports of the system's choice.
const CONF: &str = "version: 1\nlisteners: [{ address: \"127.0.0.1:0\" }]\nadmin: { address: \"127.0.0.1:0\" }\n";
/// The smallest `routes.yaml`.
const ROUTES: &str = "version: 1\nroutes:\n  - { name: hello, match: GET /, auth: public, respond: { text: hello } }\n";

/// What a command came to.
#[derive(Debug)]
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

/// A folder with files, and commands that are run in it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Folder {
        let folder = Folder(tempfile::tempdir().expect("a folder"));
        files.iter().for_each(|(path, text)| folder.put(path, text));
        folder
    }

    /// Both files without a problem, where `hilum` looks for them by itself.
    fn good() -> Folder {
        Folder::with(&[("conf/hilum.yaml", CONF), ("routes.yaml", ROUTES)])
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file in our own folder");
    }

    fn run(&self, arguments: &str, variables: &[(&str, &str)]) -> Ran {
        hilum(self.0.path(), arguments, variables)
    }
}

/// Runs `hilum` in a folder, with these variables and no others.
fn hilum(folder: &Path, arguments: &str, variables: &[(&str, &str)]) -> Ran {
    let output = command(folder, arguments, variables).output().expect("hilum runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("hilum prints UTF-8");
    let code = output.status.code().unwrap_or_else(|| panic!("`hilum {arguments}` ended with {}", output.status));
    let ran = Ran { code, stdout: text(output.stdout), stderr: text(output.stderr) };
    assert!(
        !["panicked", "panic at"].iter().any(|word| ran.stderr.contains(word)),
        "`hilum {arguments}`: {}",
        ran.stderr
    );
    ran
}

fn command(folder: &Path, arguments: &str, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hilum"));
    command.args(arguments.split_whitespace()).current_dir(folder).stdin(Stdio::null());
    command.env_clear().envs(variables.iter().copied());
    command
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
