//! The chunked coding by the letter (RFC 9112, 7.1). What can be read in two ways is how requests are smuggled.
//!
//! Pingora takes an empty line for the last chunk, any byte in an extension and blanks behind a size. Another program in front of us
//! may see the end of the body elsewhere, so the bytes are looked at before Pingora gets them.

/// The bytes between two chunks' data, `left` bytes of which are still to come.
#[derive(Clone, Debug)]
pub(super) struct Chunks {
    state: State,
    left: u64,
    /// Bytes of the line that is being read; of the whole section for trailers.
    line: usize,
    data: u64,
    framing: u64,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The first digit of a size.
    Line,
    Size,
    /// The first letter of an extension's name.
    Name,
    Extension,
    LineEnd,
    Data,
    DataEnd,
    DataLineEnd,
    /// The first letter of a trailer field, or the end.
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerLineEnd,
    LastLineEnd,
    Over,
}

/// The body is not framed as it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IllFramed;

/// Most digits of a size: more than any body has, and no sum of two can overflow.
const DIGITS: usize = 15;

/// Most bytes of a chunk's line, its extensions included.
const LINE: usize = 1024;

/// Most bytes of all trailer fields.
const TRAILERS: usize = 8 * 1024;

/// So much framing may there be beyond as much as there is data: whoever sends single bytes makes us work and says nothing.
const SLACK: u64 = 64 * 1024;

impl Chunks {
    pub(super) fn new() -> Self {
        Chunks { state: State::Line, left: 0, line: 0, data: 0, framing: 0 }
    }

    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Goes on with these bytes and tells how many of them are the body's. Fewer than all: it is over, and the rest is what follows.
    ///
    /// # Errors
    /// A byte that may not stand where it stands, or too many of them.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Result<usize, IllFramed> {
        let mut at = 0;
        while at < bytes.len() && !self.is_over() {
            if self.state == State::Data {
                let rest = bytes.len() - at;
                let taken = usize::try_from(self.left).map_or(rest, |left| left.min(rest));
                at += taken;
                self.left -= taken as u64;
                self.data += taken as u64;
                if self.left == 0 {
                    self.state = State::DataEnd;
                }
                continue;
            }
            self.framing += 1;
            if self.framing > SLACK + self.data {
                return Err(IllFramed);
            }
            self.state = self.next(bytes[at])?;
            at += 1;
        }
        Ok(at)
    }

    fn next(&mut self, byte: u8) -> Result<State, IllFramed> {
        self.line += 1;
        let digit = char::from(byte).to_digit(16).map(u64::from);
        Ok(match (self.state, byte, digit) {
            (State::Line, _, Some(digit)) => {
                self.line = 1;
                self.left = digit;
                State::Size
            }
            (State::Size, _, Some(digit)) if self.line <= DIGITS => {
                self.left = self.left * 16 + digit;
                State::Size
            }
            (State::Size | State::Extension, b';', _) => State::Name,
            (State::Name, _, _) if is_token(byte) => State::Extension,
            (State::Size | State::Extension, b'\r', _) => State::LineEnd,
            (State::Extension, _, _) if is_content(byte) && self.line <= LINE => State::Extension,
            (State::LineEnd, b'\n', _) if self.left > 0 => State::Data,
            (State::LineEnd, b'\n', _) => {
                self.line = 0;
                State::Trailer
            }
            (State::DataEnd, b'\r', _) => State::DataLineEnd,
            (State::DataLineEnd, b'\n', _) => State::Line,
            (State::Trailer, b'\r', _) => State::LastLineEnd,
            (State::Trailer | State::TrailerName, _, _) if is_token(byte) && self.line <= TRAILERS => {
                State::TrailerName
            }
            (State::TrailerName, b':', _) => State::TrailerValue,
            (State::TrailerValue, b'\r', _) => State::TrailerLineEnd,
            (State::TrailerValue, _, _) if is_content(byte) && self.line <= TRAILERS => State::TrailerValue,
            (State::TrailerLineEnd, b'\n', _) => State::Trailer,
            (State::LastLineEnd, b'\n', _) => State::Over,
            _ => return Err(IllFramed),
        })
    }
}

/// A letter of a name (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What a value may hold (RFC 9110, 5.5).
fn is_content(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In one piece and byte by byte: where the body ends, or that it must not be taken.
    #[track_caller]
    fn check(body: &[u8], expected: Result<usize, IllFramed>) {
        let shown = body[..body.len().min(60)].escape_ascii().to_string();
        let mut whole = Chunks::new();
        let got = whole.scan(body);
        assert_eq!(got, expected, "{shown}");
        assert_eq!(whole.is_over(), got.is_ok(), "{shown}");
        let (mut single, mut came) = (Chunks::new(), Ok(0));
        for byte in body {
            came = match (came, single.scan(&[*byte])) {
                (Ok(before), Ok(now)) => Ok(before + now),
                _ => Err(IllFramed),
            };
        }
        assert_eq!(came, expected, "byte by byte: {shown}");
    }

    #[track_caller]
    fn good(body: &str) {
        check(body.as_bytes(), Ok(body.len()));
        // What follows is left alone, whatever it is.
        check(&[body.as_bytes(), b"\r\n\0GET /"].concat(), Ok(body.len()));
    }

    #[track_caller]
    fn bad(body: impl AsRef<[u8]>) {
        check(body.as_ref(), Err(IllFramed));
    }

    #[test]
    fn a_body_of_chunks_ends_where_the_rfc_says() {
        for body in [
            "0\r\n\r\n",
            "000\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "00000000000000a\r\n0123456789\r\n0\r\n\r\n",
            "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
            "2\r\n\r\n\r\n0\r\n\r\n",
            "5;a\r\nhello\r\n0;last\r\n\r\n",
            "5;a=1;b=\"x y\t;z\"\r\nhello\r\n0\r\n\r\n",
            "5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-More:\r\n\r\n",
        ] {
            good(body);
        }
        assert!(!Chunks::new().is_over());
    }

    #[test]
    fn whatever_else_stands_there_is_refused() {
        for size in [
            "",
            ";",
            ";x",
            " 5",
            "5 ",
            "5\t",
            "5 ;a",
            "5;",
            "5; a",
            "5;;",
            "5;a;",
            "5;a=\x01",
            "5;a\u{7f}",
            "5;\0",
            "5;a\0b",
            "5;a\nb",
            "5;a\rb",
            "5\n",
            "5\r",
            "0x5",
            "+5",
            "-5",
            "5_0",
            "g",
            "0000000000000005",
            "10000000000000000",
            "FFFFFFFFFFFFFFFF",
            "5,5",
            "5.0",
            "\u{ff15}",
        ] {
            bad(format!("{size}\r\nhello\r\n0\r\n\r\n"));
        }
        for body in [
            "5\nhello\r\n0\r\n\r\n",
            "5\r\nhello!!\r\n0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello\r0\r\n\r\n",
            "5\r\nhell\r\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhello\r\n\r\n\r\n",
            "5\r\nhello\r\n;x\r\n\r\n",
            "0\r\nGET / HTTP/1.1\r\n\r\n",
            "0\r\n: x\r\n\r\n",
            "0\r\nX : x\r\n\r\n",
            "0\r\nX: a\nb\r\n\r\n",
            "0\r\nX: a\r\n folded\r\n\r\n",
            "0\r\nX: \0\r\n\r\n",
            "0\r\nX: a\r\n\n",
            "0\r\n\n",
            "0\n\r\n",
        ] {
            bad(body);
        }
    }

    #[test]
    fn lines_and_trailers_have_an_end_and_framing_a_measure() {
        assert_eq!((LINE, TRAILERS, SLACK), (1024, 8192, 65_536));
        let line = |length: usize| format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(length - 2));
        good(&line(LINE));
        bad(line(LINE + 1));
        // The name, the colon and both ends of the lines count as well.
        let trailers = |length: usize| format!("0\r\nX:{}\r\n\r\n", "a".repeat(length - 2));
        good(&trailers(TRAILERS));
        bad(trailers(TRAILERS + 1));
        let many = |count: usize, chunk: &str| format!("{}0\r\n\r\n", chunk.repeat(count));
        good(&many(10_000, "1\r\nx\r\n"));
        bad(many(20_000, "1\r\nx\r\n"));
        good(&many(20_000, "5\r\nhello\r\n"));
        bad(many(200, &format!("5;{}\r\nhello\r\n", "a".repeat(1000))));
    }

    #[test]
    fn framing_may_be_so_much_and_not_a_byte_more() {
        // Each chunk of this kind is `line` bytes and four ends of lines, and five bytes of data.
        let chunk = |line: usize| format!("5;{}\r\nhello\r\n", "a".repeat(line - 2));
        let much = chunk(1023).repeat(64);
        let left = usize::try_from(SLACK).unwrap() + 65 * 5 - 64 * 1027 - 4 - "0\r\n\r\n".len();
        good(&format!("{much}{}0\r\n\r\n", chunk(left)));
        bad(format!("{much}{}0\r\n\r\n", chunk(left + 1)));
    }

    #[test]
    fn no_size_overflows() {
        let mut chunks = Chunks::new();
        assert_eq!(chunks.scan(b"fffffffffffffff\r\n"), Ok(17));
        assert_eq!(chunks.left, (1 << 60) - 1);
        assert_eq!(chunks.scan(&[b'\r'; 100]), Ok(100));
    }

    #[test]
    fn of_all_short_texts_only_those_of_the_grammar_end_a_body() {
        let alphabet = b"01;a \r\n:";
        let mut ended = std::collections::BTreeSet::new();
        for length in 1..=7 {
            let mut places = vec![0; length];
            loop {
                let text: Vec<u8> = places.iter().map(|place| alphabet[*place]).collect();
                let mut chunks = Chunks::new();
                if chunks.scan(&text) == Ok(length) && chunks.is_over() {
                    ended.insert(String::from_utf8(text).unwrap());
                }
                let Some(next) = places.iter().rposition(|place| place + 1 < alphabet.len()) else { break };
                places[next] += 1;
                places[next + 1..].fill(0);
            }
        }
        let sizes = ["0", "00", "000", "0;0", "0;1", "0;a"];
        assert_eq!(ended, sizes.iter().map(|size| format!("{size}\r\n\r\n")).collect());
    }
}
