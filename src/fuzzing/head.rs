//! A raw head → the front door.

use super::world;
use crate::proxy::{Gateway, seams};
use crate::router::{host, path};
use crate::table::decide;

thread_local! {
    static WORLD: (tokio::runtime::Runtime, Gateway) = (
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"),
        world::gateway("http://127.0.0.1:1"),
    );
}

/// What is let in has one path, one host and one end.
pub fn head(data: &[u8]) {
    WORLD.with(|(runtime, gateway)| {
        let Some((mut head, raw)) = runtime.block_on(seams::read(data)) else { return };
        if seams::admit(&mut head, &raw).is_err() {
            return;
        }
        let (first, version) = (head.raw_path().to_vec(), head.version);
        assert_eq!(path::canonical(head.uri.path()).as_deref(), Ok(head.uri.path()), "the path has one form");
        assert!(first.starts_with(b"/") && first.iter().all(u8::is_ascii_graphic), "{}", first.escape_ascii());
        assert!(seams::admit(&mut head, &raw).is_ok() && head.raw_path() == first, "it is let in as it is, once more");
        let seen = seams::head_of(&head);
        assert!(host::is_authority(seen.host) || version == http::Version::HTTP_10, "{:?}", seen.host);
        one_end(&raw);
        let name = |head| decide::find(&gateway.table(), head).map(|found| found.route.name.clone()).ok();
        assert_eq!(name(&seen), name(&seen), "a head has one route");
    });
}

/// Counted in another way than the front door does: over whole lines, with everything between the words dropped.
fn one_end(raw: &[u8]) {
    let text = String::from_utf8_lossy(raw).to_ascii_lowercase();
    let names: Vec<_> = text.lines().filter_map(|line| Some(line.split_once(':')?.0.trim())).collect();
    let framings = names.iter().filter(|name| ["content-length", "transfer-encoding"].contains(name)).count();
    assert!(framings <= 1, "{text:?}");
    assert!(!text.contains("\r\n ") && !text.contains("\r\n\t"), "{text:?}");
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count(), "{text:?}");
}
