//! `files`: a folder, served. Nothing outside of it, no dot files, no listing.

pub mod conditions;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use hilum_filters::api::{At, Problem};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use conditions::{Conditions, Range, Verdict, parse_range};

use super::{Answer, Build, Content};
use crate::config::action;
use crate::refusal::{Reason, Refusal};
use crate::template::decoded;

/// A folder, and how long clients may keep what is in it.
#[derive(Debug)]
pub struct Files {
    root: PathBuf,
    index: Option<String>,
    cache_control: HeaderValue,
}

impl Files {
    pub(super) fn compile(written: &action::Files, at: At, build: &mut Build<'_>) -> Option<Files> {
        let root = build.base_dir.join(&written.root.value);
        if !root.is_dir() {
            let text = format!("there is no folder `{}`", written.root.value.display());
            build.problems.push(Problem::new(written.root.at, text).help("it is relative to this file"));
        }
        // Whoever serves this file tells everybody about the services behind, and every rule there is.
        let real = |path: &Path| path.join(".").canonicalize().ok();
        if let (Some(root), Some(here)) = (real(&root), real(build.base_dir))
            && here.starts_with(root)
        {
            let text = format!("`{}` has this file in it, and would serve it", written.root.value.display());
            build.problems.push(Problem::new(written.root.at, text).help("serve a folder of its own"));
        }
        if !build.path.has_rest() {
            let problem = Problem::new(at, format!("`files` serves what is below `{}`", build.path))
                .help("let the path of the route end in `/**`");
            build.problems.push(problem);
        }
        if let Some(index) = written.index.as_ref().filter(|i| i.value.contains('/') || i.value.starts_with('.')) {
            build
                .problems
                .push(Problem::new(index.at, format!("expected the name of a file, found `{}`", index.value)));
        }
        // A shared cache must not hand one caller's file to another.
        let whose = if build.has_claims { "private" } else { "public" };
        let cache_control = match written.cache.and_then(|cache| cache.0) {
            None if build.has_claims => HeaderValue::from_static("private, no-store"),
            None => HeaderValue::from_static("no-cache"),
            Some(span) => HeaderValue::from_str(&format!("{whose}, max-age={}", span.get().as_secs())).expect("digits"),
        };
        Some(Files { root, index: written.index.as_ref().map(|i| i.value.clone()), cache_control })
    }

    /// The answer for the rest of the path, as it stands in the canonical path. Touches the disk: not for an async thread.
    ///
    /// # Errors
    /// `file_missing` for everything that is no plain file below the root, whatever the cause: a client learns nothing else.
    pub fn answer(&self, rest: &str, method: &Method, headers: &HeaderMap) -> Result<Answer, Refusal> {
        let missing = || Refusal::from(Reason::FileMissing);
        let path = self.relative(rest).ok_or_else(missing)?;
        let (file, path) = self.open(&path).ok_or_else(missing)?;
        let about = file.metadata().ok().filter(std::fs::Metadata::is_file).ok_or_else(missing)?;
        let modified = about.modified().unwrap_or(UNIX_EPOCH);
        let mut answer = Answer::new(StatusCode::OK);
        let etag = etag(modified, about.len());
        answer.headers.insert(header::ETAG, etag.clone());
        answer.headers.insert(header::LAST_MODIFIED, date(modified));
        answer.headers.insert(header::CACHE_CONTROL, self.cache_control.clone());
        answer.headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        answer.headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let conditions = Conditions { headers, etag: etag.to_str().unwrap_or_default(), modified };
        match conditions.verdict() {
            Verdict::Failed => {
                answer.status = StatusCode::PRECONDITION_FAILED;
                return Ok(answer);
            }
            Verdict::Unchanged => {
                answer.status = StatusCode::NOT_MODIFIED;
                return Ok(answer);
            }
            Verdict::Send => {}
        }
        answer.headers.insert(header::CONTENT_TYPE, content_type(&path));
        let range = headers.get(header::RANGE).filter(|_| *method == Method::GET && conditions.range_holds());
        send(answer, file, about.len(), range)
    }

    /// The path below the root; `None` when it names what is never served.
    fn relative(&self, rest: &str) -> Option<String> {
        let mut path = String::with_capacity(rest.len());
        for segment in rest.split('/').filter(|s| !s.is_empty()) {
            let segment = decoded(segment);
            // A canonical path has no dot segments and no separators; dot files are nobody's business.
            if segment.starts_with('.') || segment.contains(['/', '\\', '\0']) {
                return None;
            }
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(&segment);
        }
        match (path.is_empty() || rest.ends_with('/'), &self.index) {
            (false, _) => Some(path),
            (true, None) => None,
            (true, Some(index)) if path.is_empty() => Some(index.clone()),
            (true, Some(index)) => Some(format!("{path}/{index}")),
        }
    }

    /// Opens below the root. `Dir` lets the kernel refuse what leads out of it, links included.
    fn open(&self, path: &str) -> Option<(std::fs::File, String)> {
        let root = Dir::open_ambient_dir(&self.root, ambient_authority()).ok()?;
        if root.metadata(path).ok()?.is_file() {
            return Some((root.open(path).ok()?.into_std(), path.to_owned()));
        }
        let path = format!("{path}/{}", self.index.as_ref()?);
        root.metadata(&path).ok().filter(cap_std::fs::Metadata::is_file)?;
        Some((root.open(&path).ok()?.into_std(), path))
    }
}

fn send(mut answer: Answer, file: std::fs::File, len: u64, range: Option<&HeaderValue>) -> Result<Answer, Refusal> {
    use std::io::{Seek, SeekFrom};
    let (from, len) = match range.and_then(|r| r.to_str().ok()).map_or(Range::Whole, |text| parse_range(text, len)) {
        Range::Whole => (0, len),
        Range::Part { from, to } => {
            answer.status = StatusCode::PARTIAL_CONTENT;
            answer.headers.insert(header::CONTENT_RANGE, ascii(&format!("bytes {from}-{to}/{len}")));
            (from, to - from + 1)
        }
        Range::Unsatisfiable => {
            answer.status = StatusCode::RANGE_NOT_SATISFIABLE;
            answer.headers.remove(header::CONTENT_TYPE);
            answer.headers.insert(header::CONTENT_RANGE, ascii(&format!("bytes */{len}")));
            return Ok(answer);
        }
    };
    if from > 0 {
        (&file).seek(SeekFrom::Start(from)).map_err(|_| Refusal::from(Reason::FileMissing))?;
    }
    answer.content = Content::File { file, len };
    Ok(answer)
}

fn etag(modified: SystemTime, len: u64) -> HeaderValue {
    let nanos = modified.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    ascii(&format!("\"{nanos:x}-{len:x}\""))
}

fn date(time: SystemTime) -> HeaderValue {
    ascii(&httpdate::fmt_http_date(time))
}

fn ascii(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("our own ASCII text")
}

/// By extension; text is UTF-8.
fn content_type(path: &str) -> HeaderValue {
    let kind = mime_guess::from_path(path).first_raw().unwrap_or("application/octet-stream");
    let text =
        kind.starts_with("text/") || ["application/javascript", "application/json", "image/svg+xml"].contains(&kind);
    match text && !kind.contains("charset") {
        true => ascii(&format!("{kind}; charset=utf-8")),
        false => HeaderValue::from_static(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name=content`… in a fresh folder; a request as `METHOD rest [header: value]…`; the answer as `status [header…]`.
    struct Folder {
        dir: tempfile::TempDir,
    }

    impl Folder {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path().join("root");
            std::fs::create_dir_all(root.join("sub")).unwrap();
            for (name, text) in [
                ("a.txt", "0123456789"),
                ("empty.txt", ""),
                ("sub/index.html", "<p>"),
                (".secret", "x"),
                ("ñ b.css", "p{}"),
            ] {
                std::fs::write(root.join(name), text).unwrap();
            }
            std::fs::write(dir.path().join("outside.txt"), "outside").unwrap();
            std::os::unix::fs::symlink("../outside.txt", root.join("link.txt")).unwrap();
            std::os::unix::fs::symlink("/etc/hostname", root.join("absolute.txt")).unwrap();
            std::os::unix::fs::symlink("a.txt", root.join("inside.txt")).unwrap();
            Folder { dir }
        }

        fn get(&self, rest: &str, headers: &[(&'static str, &str)]) -> (u16, HeaderMap, String) {
            let files = Files {
                root: self.dir.path().join("root"),
                index: Some("index.html".into()),
                cache_control: HeaderValue::from_static("no-cache"),
            };
            let headers: HeaderMap =
                headers.iter().map(|(n, v)| (header::HeaderName::from_static(n), v.parse().unwrap())).collect();
            match files.answer(rest, &Method::GET, &headers) {
                Err(refusal) => (refusal.status.as_u16(), HeaderMap::new(), refusal.reason.to_owned()),
                Ok(answer) => {
                    let mut text = String::new();
                    if let Content::File { file, len } = answer.content {
                        use std::io::Read;
                        file.take(len).read_to_string(&mut text).unwrap();
                    }
                    (answer.status.as_u16(), answer.headers, text)
                }
            }
        }
    }

    #[test]
    fn files_below_the_root_are_served_and_nothing_else() {
        let folder = Folder::new();
        let cases = [
            ("a.txt", 200, "0123456789"),
            ("empty.txt", 200, ""),
            ("inside.txt", 200, "0123456789"),
            ("sub", 200, "<p>"),
            ("sub/", 200, "<p>"),
            ("%C3%B1%20b.css", 200, "p{}"),
            ("", 404, "file_missing"),
            ("nope", 404, "file_missing"),
            (".secret", 404, "file_missing"),
            ("link.txt", 404, "file_missing"),
            ("absolute.txt", 404, "file_missing"),
            ("a.txt/", 404, "file_missing"),
            ("..%2foutside.txt", 404, "file_missing"),
            ("../outside.txt", 404, "file_missing"),
            ("sub/../a.txt", 404, "file_missing"),
            ("/etc/passwd", 404, "file_missing"),
        ];
        for (rest, status, text) in cases {
            let (got, _, body) = folder.get(rest, &[]);
            assert_eq!((got, body.as_str()), (status, text), "{rest}");
        }
    }

    #[test]
    fn conditions_and_ranges_are_those_of_rfc_9110() {
        let folder = Folder::new();
        let (_, headers, _) = folder.get("a.txt", &[]);
        let etag = headers[header::ETAG].to_str().unwrap().to_owned();
        let weak = format!("W/{etag}");
        let list = format!("\"x\", {etag}");
        let modified = headers[header::LAST_MODIFIED].to_str().unwrap().to_owned();
        let old = "Thu, 01 Jan 1970 00:00:10 GMT";
        let cases: &[(&[(&'static str, &str)], u16, &str)] = &[
            (&[("if-none-match", &etag)], 304, ""),
            (&[("if-none-match", &weak)], 304, ""),
            (&[("if-none-match", &list)], 304, ""),
            (&[("if-none-match", "*")], 304, ""),
            (&[("if-none-match", "\"x\""), ("if-none-match", &etag)], 304, ""),
            (&[("if-match", "\"x\""), ("if-match", &etag)], 200, "0123456789"),
            (&[("if-match", "\"x\""), ("if-match", "\"y\"")], 412, ""),
            (&[("if-none-match", "\"x\"")], 200, "0123456789"),
            (&[("if-modified-since", &modified)], 304, ""),
            (&[("if-modified-since", old)], 200, "0123456789"),
            (&[("if-none-match", "\"x\""), ("if-modified-since", &modified)], 200, "0123456789"),
            (&[("if-match", "\"x\"")], 412, ""),
            (&[("if-match", &etag)], 200, "0123456789"),
            (&[("if-unmodified-since", old)], 412, ""),
            (&[("range", "bytes=2-4")], 206, "234"),
            (&[("range", "bytes=7-")], 206, "789"),
            (&[("range", "bytes=-3")], 206, "789"),
            (&[("range", "bytes=-99")], 206, "0123456789"),
            (&[("range", "bytes=2-99")], 206, "23456789"),
            (&[("range", "bytes=10-")], 416, ""),
            (&[("range", "bytes=-0")], 416, ""),
            (&[("range", "bytes=4-2")], 200, "0123456789"),
            (&[("range", "bytes=0-1,3-4")], 200, "0123456789"),
            (&[("range", "lines=1-2")], 200, "0123456789"),
            (&[("range", "bytes=x-")], 200, "0123456789"),
            (&[("range", "bytes=2-4"), ("if-range", &etag)], 206, "234"),
            (&[("range", "bytes=2-4"), ("if-range", "\"x\"")], 200, "0123456789"),
            (&[("range", "bytes=2-4"), ("if-range", &modified)], 206, "234"),
        ];
        for (headers, status, text) in cases {
            let (got, answer, body) = folder.get("a.txt", headers);
            assert_eq!((got, body.as_str()), (*status, *text), "{headers:?}");
            if got == 206 || got == 416 {
                assert!(answer.contains_key(header::CONTENT_RANGE), "{headers:?}");
            }
        }
    }

    #[test]
    fn types_are_told_and_never_guessed_by_the_client() {
        let folder = Folder::new();
        for (rest, kind) in [
            ("a.txt", "text/plain; charset=utf-8"),
            ("sub/", "text/html; charset=utf-8"),
            ("%C3%B1%20b.css", "text/css; charset=utf-8"),
        ] {
            let (_, headers, _) = folder.get(rest, &[]);
            assert_eq!(headers[header::CONTENT_TYPE], kind);
            assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        }
    }
}
