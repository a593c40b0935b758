//! What a load consists of, as `loads/*.txt` say it: a line for each kind of request.
//!
//! ```text
//! NAME RATE kept|new METHOD TARGET [HEADER: VALUE]
//! ```
//!
//! `{id}` becomes the id of the request; other `{words}` are filled in by the scenario. Besides the methods of HTTP there are `UPLOAD`,
//! `SOCKET`, which take their time, as the target says: `/upload/2s`. A slow download is a plain `GET`.

#[derive(Clone, Debug)]
pub(crate) struct Plan(pub(crate) Vec<Line>);

/// One kind of request.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// How many are due each second.
    pub(crate) rate: f64,
    /// On a connection that was used before, when there is one.
    pub(crate) is_kept: bool,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) header: Option<String>,
}

impl Plan {
    /// The plan in this text, with its words filled in.
    pub(crate) fn parse(text: &str, words: &[(&str, &str)]) -> Plan {
        let text =
            words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(&format!("{{{word}}}"), value));
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Plan(lines.map(|line| Line::parse(line).unwrap_or_else(|| panic!("no line of a load: {line}"))).collect())
    }

    /// The same requests, so many times as often.
    pub(crate) fn times(mut self, factor: f64) -> Plan {
        self.0.iter_mut().for_each(|line| line.rate *= factor);
        self
    }
}

impl Line {
    fn parse(line: &str) -> Option<Line> {
        let mut words = line.split_whitespace();
        let mut next = || words.next();
        let (name, rate, kept, method, target) = (next()?, next()?, next()?, next()?, next()?);
        let header = words.collect::<Vec<_>>().join(" ");
        Some(Line {
            name: name.to_owned(),
            rate: rate.parse().ok()?,
            is_kept: match kept {
                "kept" => true,
                "new" => false,
                _ => return None,
            },
            method: method.to_owned(),
            target: target.to_owned(),
            header: Some(header).filter(|header| !header.is_empty()),
        })
    }
}
