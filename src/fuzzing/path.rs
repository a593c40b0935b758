//! The path of a target → its one form → its route → what is sent to the service.

use http::HeaderMap;

use super::world;
use crate::identity::Caller;
use crate::proxy::Gateway;
use crate::router::path as paths;
use crate::table::ask::Answers;
use crate::table::decide::{self, Facts, Verdict};

thread_local! {
    static GATEWAY: Gateway = world::gateway("http://127.0.0.1:1");
}

/// What is sent is what was matched and authorised, however the service reads it.
pub fn path(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Ok(canonical) = paths::canonical(text) else { return };
    assert_eq!(paths::canonical(&canonical).as_deref(), Ok(&*canonical), "one form of {text:?}");
    GATEWAY.with(|gateway| {
        let (table, headers) = (gateway.table(), HeaderMap::new());
        let head = world::get(&canonical, &headers);
        let Ok(found) = decide::find(&table, &head) else { return };
        let facts =
            Facts { caller: &Caller::Missing, host: head.host, secure: false, now: 0, answers: &Answers::default() };
        let verdict = decide::judge(&found, &head, &facts);
        let name = &*found.route.name;
        if matches!(name, "protected" | "doctors") {
            assert!(matches!(verdict, Verdict::Refuse(_)), "{text:?} gets in without a token");
        }
        let Verdict::Forward(onward) = verdict else { return };
        let sent = onward.target.as_deref().unwrap_or(&canonical);
        let sent = sent.split_once('?').map_or(sent, |(path, _)| path);
        assert_eq!(paths::canonical(sent).as_deref(), Ok(sent), "what is sent for {text:?} has one form");
        let careless = world::carelessly(sent);
        let inside = match name {
            "moved" => careless.starts_with("/to/") && careless.ends_with("/it") && careless.matches('/').count() == 3,
            "rest" => careless == "/under" || careless.starts_with("/under/"),
            own => careless == format!("/{own}") || careless.starts_with(&format!("/{own}/")),
        };
        assert!(inside, "{name}: {text:?} is sent as {sent:?}, which may be read as {careless:?}");
    });
}
