//! A row of the contract as it stands in `rows/*.txt`: who may ask, how it is asked, and what is answered when all is well, when
//! nobody behind the gateway answers, and when nonsense comes back.
//!
//! ```text
//! == METHOD PATH         as the contract names it; several methods may stand before the path
//! by WHO                 public, session (everybody who is signed in), patient, doctor, institution or admin
//! send REQUEST           where it needs more than its own line; headers, or `json …` or `form …` as body, follow indented
//! good EXPECTATION       what the right caller is answered; see `harness::expect`, further lines follow indented
//! other EXPECTATION      what every other type of user is answered, if not 403 as usual; `listed`: the `ask`s below say it
//! down EXPECTATION       when no service can be reached; `*` is any reason of the class `upstream`
//! garbage EXPECTATION    when services answer 200 with a page
//! broken EXPECTATION     when services answer 500 with a text; `same` in one of the three: as `good`, since none is asked
//! ask WHO REQUEST        one more request, and
//! gives EXPECTATION      its answer
//! ```

/// One row.
#[derive(Debug, Default)]
pub(crate) struct Row {
    /// `METHOD PATH` for each method.
    pub(crate) of: Vec<String>,
    pub(crate) by: String,
    pub(crate) send: String,
    pub(crate) good: String,
    pub(crate) other: Option<String>,
    pub(crate) down: String,
    pub(crate) garbage: String,
    pub(crate) broken: String,
    pub(crate) more: Vec<Case>,
}

/// One more request of a row.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) by: String,
    pub(crate) send: String,
    pub(crate) gives: String,
}

/// How the refusals of a path look when its row does not say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// `/api/web`: `error` and `message`.
    Web,
    /// `/api/v1`: `error` alone.
    Api,
    /// Redirects.
    Page,
}

impl Row {
    pub(crate) fn look(&self) -> Look {
        match self.of[0].split_once(' ').map_or("", |(_, path)| path) {
            path if path.starts_with("/api/v1") => Look::Api,
            path if path.starts_with("/api") => Look::Web,
            _ => Look::Page,
        }
    }

    /// What these services make of it.
    pub(crate) fn instead<'r>(&'r self, expectation: &'r str) -> &'r str {
        if expectation == "same" { &self.good } else { expectation }
    }
}

/// All rows of a file. Text before the first one says what they are about.
pub(crate) fn rows(text: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for block in text.split("\n== ").skip(1) {
        let (of, rest) = block.split_once('\n').expect("a row has more than its name");
        let (methods, path) = of.rsplit_once(' ').expect("a row names methods and a path");
        let of: Vec<_> = methods.split(' ').map(|method| format!("{method} {path}")).collect();
        let mut row = Row { send: of[0].clone(), of, ..Row::default() };
        for (word, value) in entries(rest) {
            let place = match word {
                "by" => &mut row.by,
                "send" => &mut row.send,
                "good" => &mut row.good,
                "down" => &mut row.down,
                "garbage" => &mut row.garbage,
                "broken" => &mut row.broken,
                "other" => row.other.insert(String::new()),
                "ask" => {
                    let (by, send) = value.split_once(' ').expect("who asks, and what");
                    row.more.push(Case { by: by.to_owned(), send: send.to_owned(), gives: String::new() });
                    continue;
                }
                "gives" => &mut row.more.last_mut().expect("`ask` comes before `gives`").gives,
                word => panic!("{}: what is `{word}`?", row.of[0]),
            };
            value.clone_into(place);
        }
        for (word, value) in [
            ("by", &row.by),
            ("good", &row.good),
            ("down", &row.down),
            ("garbage", &row.garbage),
            ("broken", &row.broken),
        ] {
            assert!(!value.is_empty(), "{}: `{word}` is missing", row.of[0]);
        }
        assert!(row.more.iter().all(|case| !case.gives.is_empty()), "{}: an `ask` without `gives`", row.of[0]);
        rows.push(row);
    }
    rows
}

/// A word, and what stands behind it and indented below it.
fn entries(text: &str) -> Vec<(&str, String)> {
    let mut entries: Vec<(&str, String)> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        match line.strip_prefix("  ") {
            Some(more) => {
                let (_, value) = entries.last_mut().expect("a word comes before what belongs to it");
                value.push('\n');
                value.push_str(more);
            }
            None => {
                let (word, value) = line.split_once(' ').unwrap_or((line, ""));
                entries.push((word, value.to_owned()));
            }
        }
    }
    entries
}

/// The request that `send` means, with this line of the caller's.
pub(crate) fn request(send: &str, caller: &str) -> String {
    let mut lines: Vec<&str> = send.lines().collect();
    let body = lines.last().and_then(|line| line.split_once(' ')).filter(|(word, _)| ["json", "form"].contains(word));
    let (kind, body) = match body {
        Some(("json", body)) => (Some("application/json"), body),
        Some((_, body)) => (Some("application/x-www-form-urlencoded"), body),
        None => (None, ""),
    };
    if kind.is_some() {
        lines.pop();
    }
    let mut text = lines.join("\n");
    for line in [caller.to_owned(), kind.map(|kind| format!("Content-Type: {kind}")).unwrap_or_default()] {
        if !line.is_empty() {
            text.push('\n');
            text.push_str(&line);
        }
    }
    // What has no body says so, as browsers do.
    if kind.is_none() && !text.starts_with("GET ") {
        text.push_str("\nContent-Length: 0");
    }
    format!("{text}\n\n{body}")
}
