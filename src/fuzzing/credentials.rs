//! Lines of `Cookie` and `Authorization` → who is calling.

use http::{HeaderMap, HeaderValue, header};

use super::world;
use crate::identity::Caller;
use crate::proxy::Gateway;

thread_local! {
    static WORLD: (Gateway, String) = (world::gateway("http://127.0.0.1:1"), world::token());
}

/// Only the one good token is somebody. A line that begins with `a` is an `Authorization`, each other one a `Cookie`.
pub fn credentials(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(16) {
        let (name, value) = match line.split_first() {
            Some((b'a', rest)) => (header::AUTHORIZATION, rest),
            Some((_, rest)) => (header::COOKIE, rest),
            None => continue,
        };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    }
    WORLD.with(|(gateway, good)| {
        let table = gateway.table();
        let token = &table.tokens[0];
        let found: Vec<String> = token.find_all(&headers).into_iter().map(str::to_owned).collect();
        let now = world::today();
        let caller = token.identify_now(&headers, now).expect("without sessions nobody is waited for");
        if let Caller::Known { identity, .. } = &caller {
            assert_eq!(&*identity.token, good, "another token than the good one is somebody");
            assert!(found.iter().any(|token| token == good), "what is somebody is found by a logout too");
            let line =
                token.set_cookie(identity, std::time::Duration::from_secs(60), now, true).expect("it has a cookie");
            assert!(line.as_bytes().starts_with(format!("jwt={good}; ").as_bytes()), "{line:?}");
        }
        if headers.is_empty() {
            assert!(matches!(caller, Caller::Missing));
        }
    });
}
