//! `respond: { record }`: a line about a request that is on the disk before it is answered.

use std::path::PathBuf;
use std::sync::Arc;

use hilum_filters::api::Problem;
use http::HeaderMap;

use super::{Build, sent};
use crate::config::action;
use crate::records;
use crate::refusal::Reason;
use crate::template::{Json, Names, Scope};

/// Where it is written, and what.
#[derive(Debug)]
pub struct Record {
    file: Arc<records::Record>,
    json: Json,
}

impl Record {
    pub(super) fn compile(written: &action::Record, names: Names, build: &mut Build<'_>) -> Option<Record> {
        let json = Json::compile(&written.json, names, build.problems);
        let path = path(written, build);
        Some(Record { file: build.records.file(&path?), json: json? })
    }

    /// The line of a request. The answer is made before it is appended, so that nothing is recorded that is refused.
    ///
    /// # Errors
    /// The line reads the client's body and that is no JSON object, or it can't be filled in.
    pub fn line(&self, headers: &HeaderMap, body: &[u8], scope: &Arc<Scope>) -> Result<Vec<u8>, Reason> {
        if self.json.reads_request() {
            sent::object(headers, body)?;
        }
        self.json.render(scope).map_err(|failed| {
            log::info!("respond.record: {}", failed.0);
            Reason::ValueMissing
        })
    }

    /// Writes it, and waits until it is on the disk.
    ///
    /// # Errors
    /// `record_unavailable`.
    pub async fn append(&self, line: &[u8]) -> Result<(), Reason> {
        self.file.append(line).await.map_err(|records::Lost| Reason::RecordUnavailable)
    }
}

/// The file, by the one name that all routes and tables know it by.
fn path(written: &action::Record, build: &mut Build<'_>) -> Option<PathBuf> {
    let (at, file) = (written.file.at, &written.file.value);
    if file.as_os_str().as_encoded_bytes().ends_with(b"/") {
        let problem = Problem::new(at, format!("expected the path of a file, found `{}`", file.display()));
        build.problems.push(problem.help("without the `/` at its end it is one"));
        return None;
    }
    let path = build.base_dir.join(file);
    let folder = path.parent().map(|folder| folder.join(".")).and_then(|folder| folder.canonicalize().ok());
    let (Some(folder), Some(name)) = (folder, path.file_name()) else {
        let problem = Problem::new(at, format!("`{}` can't be written: there is no such folder", file.display()));
        build.problems.push(problem.help("it is relative to this file"));
        return None;
    };
    let path = folder.join(name);
    if path.exists() && !path.is_file() {
        build.problems.push(Problem::new(at, format!("`{}` is no file, and keeps nothing", file.display())));
        return None;
    }
    Some(path)
}
