//! `audit:` as it is written: in `conf/hilum.yaml` how the audit log is kept, in `routes.yaml` what is recorded of a route.

use std::fmt;
use std::path::Path;

use hilum_filters::api::{Kind, Node, Placed, Problem, Try};
use hilum_filters::units::{Positive, Size};
use schemars::JsonSchema;
use serde::Deserialize;

use super::conf::{FileName, written_as_text};
use super::env;

/// How the audit log is kept. Without it there is none, and a route that asks for it is a problem.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditLog {
    /// The beginning of the names of its files, relative to this one. Each process writes files of its own.
    pub file: FileName,
    /// At least 32 bytes, from a variable: `"${HILUM_AUDIT_KEY}"`. Who knows it can write records that seem true.
    pub key: Node,
    /// How large a file gets before the next one is begun, 64KiB or more. Default 64MiB.
    #[serde(default)]
    pub rotate: Option<Try<Placed<Positive<Size>>>>,
}

/// What the records are sealed with. Not printable.
#[derive(Clone, PartialEq, Eq)]
pub struct AuditKey(String);

/// From this many bytes on nobody guesses it.
const STRONG: usize = 32;
const ROTATE: u64 = 64 * 1024 * 1024;
/// A file has to be made, held and synced: below this that is most of the work, and a folder has more files than anybody can read.
const LEAST: u64 = 64 * 1024;

impl AuditKey {
    /// # Errors
    /// It is too short.
    pub fn new(text: &str) -> Result<AuditKey, String> {
        match text.len() < STRONG {
            true => Err(format!(
                "the key of the audit log has {} bytes and can be guessed: use at least {STRONG}",
                text.len()
            )),
            false => Ok(AuditKey(text.to_owned())),
        }
    }

    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditKey")
    }
}

impl AuditLog {
    pub fn file(&self) -> &Path {
        &self.file.0
    }

    pub fn key(&self) -> Option<AuditKey> {
        key(&self.key).ok()
    }

    pub fn rotate(&self) -> u64 {
        self.rotate.and_then(|size| size.0).map_or(ROTATE, |size| size.value.get())
    }

    /// Tells what can't be.
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        problems.extend(key(&self.key).err());
        let rotate = self.rotate.and_then(|size| size.0);
        if let Some(size) = rotate.filter(|size| size.value.get() < LEAST) {
            let text = format!("a file of {} bytes is full after a few records", size.value.get());
            problems.push(Problem::new(size.at, text).help("from `64KiB` on; `64MiB` is the default"));
        }
    }
}

/// It comes from the environment. One that stands in the file is in every backup and every diff of it.
fn key(node: &Node) -> Result<AuditKey, Problem> {
    let text = match &node.kind {
        Kind::Scalar { text, .. } if env::comes_from_variables(node) => text,
        Kind::Scalar { .. } => {
            return Err(Problem::new(node.at, "the key of the audit log is written in the file")
                .help("let it come from a variable: \"${HILUM_AUDIT_KEY}\""));
        }
        _ => return Err(Problem::new(node.at, "expected a key, from a variable: \"${HILUM_AUDIT_KEY}\"")),
    };
    let weak = |why| Problem::new(node.at, why).help("`openssl rand -hex 32` makes a good one");
    AuditKey::new(text).map_err(weak)
}

/// What is recorded of a route.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// What it is about: `"patient/{patient_id}"`, with parameters and claims. It is shown in the records.
    pub resource: Placed<String>,
    /// What is done to it. Default: by the method.
    #[serde(default)]
    pub action: Option<Placed<AuditAction>>,
    /// `true`: what can't be recorded is not done, and answered with 503 `audit_unavailable`. Default false.
    #[serde(default)]
    pub required: Placed<bool>,
}

/// What is done to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditAction {
    Create,
    Read,
    Update,
    Delete,
    Execute,
    SignIn,
    SignOut,
}

impl AuditAction {
    const ALL: [AuditAction; 7] = [
        AuditAction::Create,
        AuditAction::Read,
        AuditAction::Update,
        AuditAction::Delete,
        AuditAction::Execute,
        AuditAction::SignIn,
        AuditAction::SignOut,
    ];

    pub fn name(self) -> &'static str {
        match self {
            AuditAction::Create => "create",
            AuditAction::Read => "read",
            AuditAction::Update => "update",
            AuditAction::Delete => "delete",
            AuditAction::Execute => "execute",
            AuditAction::SignIn => "sign_in",
            AuditAction::SignOut => "sign_out",
        }
    }
}

impl std::str::FromStr for AuditAction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = AuditAction::ALL.map(AuditAction::name).join(", ");
        let found = AuditAction::ALL.into_iter().find(|action| action.name() == text);
        found.ok_or_else(|| format!("expected one of {names}, found `{text}`"))
    }
}

written_as_text!(AuditAction);

#[cfg(test)]
mod tests {
    use crate::config::{Environment, conf, env, yaml};

    const GOOD: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn the_key_of_the_audit_log_is_good_and_from_a_variable() {
        let variables = [("GOOD", GOOD), ("SHORT", "0123456789abcdef0123456789abcde")];
        let cases = [
            ("file: a, key: \"${GOOD}\"", Ok(64 * 1024 * 1024)),
            ("file: a, key: \"${GOOD}\", rotate: 1MiB", Ok(1024 * 1024)),
            ("file: a, key: \"${SHORT}\"", Err("3:24 the key of the audit log has 31 bytes")),
            ("file: a, key: 0123456789abcdef0123456789abcdef", Err("3:24 the key of the audit log is written in")),
            ("file: a, key: \"${NONE:-0123456789abcdef0123456789abcdef}\"", Err("3:24 the key of the audit log is")),
            ("file: a, key: [a]", Err("3:24 expected a key")),
            ("file: a/, key: \"${GOOD}\"", Err("3:16 expected the path of a file")),
            ("file: a, key: \"${GOOD}\", rotate: 0B", Err("3:43 with 0B nothing")),
            ("file: a, key: \"${GOOD}\", rotate: 65535B", Err("3:43 a file of 65535 bytes is full")),
            ("file: a, key: \"${GOOD}\", rotate: 64KiB", Ok(64 * 1024)),
        ];
        for (written, expected) in cases {
            let text = format!("version: 1\nlisteners: [{{ address: \"127.0.0.1:0\" }}]\naudit: {{ {written} }}\n");
            let mut problems = Vec::new();
            let mut node = yaml::parse(&text).expect("YAML");
            env::expand(&mut node, &Environment::of(&variables), &mut problems);
            let conf = conf::read(&node, &mut problems).expect("a conf");
            let told: Vec<_> = problems.iter().map(|p| format!("{}:{} {}", p.at.line, p.at.col, p.message)).collect();
            let audit = conf.audit();
            match expected {
                Ok(rotate) => {
                    let audit = audit.expect("it is there");
                    assert_eq!((told.len(), audit.rotate(), audit.key().is_some()), (0, rotate, true), "{told:?}");
                }
                Err(start) => assert!(told.len() == 1 && told[0].starts_with(start), "{text}{told:?}"),
            }
            let shown = format!("{:?}", audit.and_then(super::AuditLog::key));
            assert!(!shown.contains(GOOD) && !told.iter().any(|told| told.contains(GOOD)), "{shown}");
        }
    }
}
