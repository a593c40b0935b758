//! What `fuzz/` calls: each target takes bytes that anybody may send and panics when a promise is broken. The inputs that were found
//! (`fuzz/corpus/`) are replayed by a test below, on every machine and without a fuzzer.
//!
//! | target | bytes are | promise, besides that nothing panics |
//! |---|---|---|
//! | `head` | a raw request head | what is let in has one path, one host and one end |
//! | `path` | the path of a target | what is sent is what was matched and authorised |
//! | `credentials` | lines of `Cookie` and `Authorization` | only the one good token is somebody |
//! | `config` | a `routes.yaml`, or a `conf/hilum.yaml` | every problem has a place, and tells no variable |
//! | `forwarded_for` | lines of `X-Forwarded-For` | a client is what a trusted proxy says, else the peer |
//! | `range` | conditions and ranges for a file | what is sent is the part that was announced |
//! | `log_line` | texts of a log line | it is one JSON object on one line, and says the same |
//! | `exchange` | all that a client sends | nobody gets past `auth`, no header of ours is the client's |

mod config;
mod credentials;
mod exchange;
mod forwarded_for;
mod head;
mod log_line;
mod path;
mod range;
// Tests of `proxy` use it as well.
pub(crate) mod world;

pub use config::config;
pub use credentials::credentials;
pub use exchange::exchange;
pub use forwarded_for::forwarded_for;
pub use head::head;
pub use log_line::log_line;
pub use path::path;
pub use range::range;

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Every target by its name, which is that of its corpus.
    const TARGETS: &[(&str, fn(&[u8]))] = &[
        ("config", super::config),
        ("credentials", super::credentials),
        ("exchange", super::exchange),
        ("forwarded_for", super::forwarded_for),
        ("head", super::head),
        ("log_line", super::log_line),
        ("path", super::path),
        ("range", super::range),
    ];

    /// The names in a folder, sorted.
    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn fuzz() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
    }

    #[test]
    fn every_input_that_was_found_keeps_the_promises() {
        for (target, run) in TARGETS {
            let corpus = fuzz().join("corpus").join(target);
            let inputs = names(&corpus);
            assert!((5..=200).contains(&inputs.len()), "{target}: {} inputs", inputs.len());
            for input in inputs {
                let bytes = std::fs::read(corpus.join(&input)).unwrap();
                let kept = std::panic::catch_unwind(|| run(&bytes));
                assert!(kept.is_ok(), "fuzz/corpus/{target}/{input} breaks a promise: {}", bytes.escape_ascii());
            }
        }
    }

    #[test]
    fn every_target_has_a_corpus_and_a_program() {
        let targets: Vec<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(names(&fuzz().join("corpus")), targets);
        let programs: Vec<_> = targets.iter().map(|name| format!("{name}.rs")).collect();
        assert_eq!(names(&fuzz().join("fuzz_targets")), programs);
        let manifest = std::fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
        for target in targets {
            assert!(manifest.contains(&format!("name = \"{target}\"")), "{target} is not in fuzz/Cargo.toml");
        }
    }
}
