//! A case as text: bytes of a client, what it is answered, and what the service got.
//!
//! ```text
//! [A01] a title                    begins a case of this id
//! > GET / HTTP/1.1                 bytes of the client, with \r\n at the end
//! >> 5\r\nhello                    bytes of the client as they stand
//! cut                              the client says its last word behind them
//! = 400 framing_rejected | closed  the answer: status and reason, or one of several; `closed`: none
//! & !x-a                           more that must hold of it (see `harness::expect`)
//! @ POST /public/x                 what the service got; without such a line, nothing
//! @& x-user-id: 7                  a header of it; `!name` for none; `= text` for its body
//! ```
//!
//! In bytes, `\r \n \t \0 \\ \xHH` are what they are in Rust, `\{1000*text}` is a text so many times, and `\{user}` and `\{admin}` are
//! tokens. Several answers are those of several requests.

/// One case.
#[derive(Debug, Default)]
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_cut: bool,
    pub(crate) answers: Vec<Answer>,
    pub(crate) got: Vec<Got>,
}

#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) either: Vec<String>,
    pub(crate) holds: Vec<String>,
}

/// A request that the service got: its first line without the version, and what must hold of it.
#[derive(Debug, Default)]
pub(crate) struct Got {
    pub(crate) line: String,
    pub(crate) holds: Vec<String>,
}

/// All cases of a file.
pub(crate) fn cases(text: &str, token: &dyn Fn(&str) -> String) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let fail = || -> ! { panic!("line {}: {line}", number + 1) };
        if let Some((id, title)) = line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
            cases.push(Case { id: id.to_owned(), title: title.to_owned(), ..Case::default() });
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some(case) = cases.last_mut() else { fail() };
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            ">" => {
                case.bytes.extend(bytes(rest, token));
                case.bytes.extend(b"\r\n");
            }
            ">>" => case.bytes.extend(bytes(rest, token)),
            "cut" => case.is_cut = true,
            "=" => case.answers.push(Answer {
                either: rest.split(" | ").map(|one| one.trim().to_owned()).collect(),
                holds: Vec::new(),
            }),
            "&" => case.answers.last_mut().unwrap_or_else(|| fail()).holds.push(rest.to_owned()),
            "@" => case.got.push(Got { line: rest.to_owned(), holds: Vec::new() }),
            "@&" => case.got.last_mut().unwrap_or_else(|| fail()).holds.push(rest.to_owned()),
            _ => fail(),
        }
    }
    for case in &cases {
        assert!(!case.bytes.is_empty() && !case.answers.is_empty(), "{}: {} is not whole", case.id, case.title);
    }
    cases
}

/// What a text with escapes stands for.
fn bytes(text: &str, token: &dyn Fn(&str) -> String) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        let kind = escape.chars().next().expect("something is escaped");
        rest = &escape[kind.len_utf8()..];
        match kind {
            'r' => out.push(b'\r'),
            'n' => out.push(b'\n'),
            't' => out.push(b'\t'),
            '0' => out.push(0),
            '\\' => out.push(b'\\'),
            'x' => {
                out.push(u8::from_str_radix(&rest[..2], 16).expect("two hexadecimal digits"));
                rest = &rest[2..];
            }
            '{' => {
                let end = rest.find('}').expect("a brace that ends");
                match rest[..end].split_once('*') {
                    Some((count, what)) => out.extend(bytes(what, token).repeat(count.parse().expect("a number"))),
                    None => out.extend(token(&rest[..end]).into_bytes()),
                }
                rest = &rest[end + 1..];
            }
            other => panic!("\\{other} in {text}"),
        }
    }
    out.extend(rest.as_bytes());
    out
}

#[test]
fn a_case_is_read_as_it_is_written() {
    let text = "# a comment\n[A01] one\n> A\\x20\\t\\{3*xy} \n>> \\0\\\\\\{who}\ncut\n= 400 a | closed\n& !b\n@ GET /\n@& c: d\n";
    let [case] = cases(text, &|name| format!("<{name}>")).try_into().expect("one case");
    assert_eq!((case.id.as_str(), case.title.as_str(), case.is_cut), ("A01", "one", true));
    assert_eq!(case.bytes, b"A \txyxyxy \r\n\0\\<who>");
    assert_eq!(
        (&case.answers[0].either, &case.answers[0].holds),
        (&vec!["400 a".into(), "closed".into()], &vec!["!b".into()])
    );
    assert_eq!((case.got[0].line.as_str(), &case.got[0].holds), ("GET /", &vec!["c: d".to_owned()]));
}
