//! Files with mistakes and what is printed about them: `golden/NAME.yaml` → `golden/NAME.expected`.
//!
//! A file called `conf-…` is a `conf/hilum.yaml`, every other one a `routes.yaml`. `# with NAME` in it sets a variable to a
//! secret, `# with NAME=value` to that value; `# file PATH: text` puts a file beside it. After a change that is meant, `BLESS=1 cargo test --test cli` writes the
//! expectations anew; what it wrote is for a person to read.

use std::path::{Path, PathBuf};

use super::{CONF, Folder, ROUTES, SECRET, root};

/// Stands for everything that must never be printed.
const CANARY: &str = "CANARY";

/// The variables that a file asks for.
fn variables(text: &str) -> Vec<(&str, &str)> {
    let asked = text.lines().filter_map(|line| line.strip_prefix("# with "));
    asked.map(|asked| asked.split_once('=').unwrap_or((asked, SECRET))).collect()
}

/// Checks one file under its own name, beside a good other one.
fn check(name: &str, text: &str, arguments: &str) -> super::Ran {
    let is_conf = name.starts_with("conf-");
    let folder = Folder::with(&[("good.yaml", if is_conf { ROUTES } else { CONF }), (name, text)]);
    let beside = text.lines().filter_map(|line| line.strip_prefix("# file ")?.split_once(": "));
    beside.for_each(|(path, text)| folder.put(path, &text.replace("\\n", "\n")));
    let (conf, routes) = if is_conf { (name, "good.yaml") } else { ("good.yaml", name) };
    let ran = folder.run(&format!("check --conf {conf} --routes {routes} {arguments}"), &variables(text));
    let printed = format!("{}{}", ran.stdout, ran.stderr);
    assert!(!printed.contains(CANARY), "{name}: a secret is printed:\n{printed}");
    assert!(!printed.contains(SECRET), "{name}: a secret is printed:\n{printed}");
    ran
}

fn files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("tests/cli/golden")).expect("the folder of golden files");
    let mut files: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    files
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).expect("a name")
}

#[test]
fn problems_are_printed_exactly_so() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    for path in files() {
        let text = std::fs::read_to_string(&path).expect("a golden file");
        let ran = check(name(&path), &text, "");
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{}: {}", path.display(), ran.stderr);
        let expected = path.with_extension("expected");
        if bless {
            std::fs::write(&expected, &ran.stderr).expect("the expectation is written");
        }
        let wanted = std::fs::read_to_string(&expected).unwrap_or_default();
        if ran.stderr != wanted {
            let first =
                ran.stderr.lines().zip(wanted.lines().chain(std::iter::repeat(""))).find(|(got, wanted)| got != wanted);
            let (got, wanted) = first.unwrap_or(("(nothing more)", "(more)"));
            wrong.push(format!("{}\n  expected: {wanted}\n  got:      {got}\n{}", name(&path), ran.stderr));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn json_tells_the_same_problems_at_the_same_places() {
    for path in files() {
        let text = std::fs::read_to_string(&path).expect("a golden file");
        let (people, programs) = (check(name(&path), &text, ""), check(name(&path), &text, "--json"));
        assert_eq!((programs.code, programs.stderr.as_str()), (1, ""), "{}", path.display());
        let problems: Vec<serde_json::Value> = serde_json::from_str(&programs.stdout).expect("a JSON array");
        let told = format!("{}: {} problem", name(&path), problems.len());
        assert!(people.stderr.lines().last().is_some_and(|line| line.starts_with(&told)), "{told}: {}", people.stderr);
        for problem in &problems {
            assert_eq!(problem["file"], name(&path));
            let (line, col) = (problem["line"].as_u64().expect("a line"), problem["col"].as_u64().expect("a column"));
            if line > 0 {
                let place = format!("--> {}:{line}:{col}\n", name(&path));
                assert!(people.stderr.contains(&place), "{problem}");
            }
            assert!(people.stderr.contains(problem["message"].as_str().expect("a message")), "{problem}");
        }
    }
}

/// Each mistake is marked in the file itself with `# NUMBER: WORD`, the word at which its problem must point.
#[test]
fn fifteen_mistakes_are_fifteen_problems_at_the_right_places() {
    let path = root().join("tests/cli/golden/fifteen.yaml");
    let text = std::fs::read_to_string(&path).expect("a golden file");
    let marks = text.lines().enumerate().filter_map(|(at, line)| {
        let (_, mark) = line.rsplit_once(" # ")?;
        let (number, word) = mark.split_once(": ")?;
        number.parse::<usize>().ok()?;
        let col = line.find(word).expect("the marked word stands in its line");
        Some((at as u64 + 1, line[..col].chars().count() as u64 + 1))
    });
    let marks: Vec<(u64, u64)> = marks.collect();
    assert_eq!(marks.len(), 15);
    let ran = check("fifteen.yaml", &text, "--json");
    let problems: Vec<serde_json::Value> = serde_json::from_str(&ran.stdout).expect("a JSON array");
    let places: Vec<_> = problems.iter().filter_map(|p| Some((p["line"].as_u64()?, p["col"].as_u64()?))).collect();
    assert_eq!(places, marks, "{}", ran.stdout);
    // Where a slip is near a known word, the word is suggested.
    let suggested = ["`health`", "`token_missing`", "`web`", "`doctors`", "`security_headers`", "`remove`"];
    for word in suggested {
        let meant =
            problems.iter().filter(|p| p["help"].as_str().is_some_and(|h| h == format!("did you mean {word}?")));
        assert_eq!(meant.count(), 1, "{word}: {}", ran.stdout);
    }
}
