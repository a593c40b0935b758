//! Conditions and ranges of a request → what of a file is sent.

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::world;
use crate::actions::files::conditions::HEADERS;
use crate::actions::{Action, Content};
use crate::proxy::Gateway;

thread_local! {
    static GATEWAY: Gateway = world::gateway("http://127.0.0.1:1");
}

/// What is sent is the part that was announced. The first byte of a line says which header it is.
pub fn range(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(16) {
        let Some((kind, value)) = line.split_first() else { continue };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(HEADERS[usize::from(*kind) % HEADERS.len()].clone(), value);
        }
    }
    GATEWAY.with(|gateway| {
        let table = gateway.table();
        let route = table.routes.iter().find(|route| &*route.name == "files").expect("a route of ours");
        let Action::Files(files) = &route.action else { panic!("it serves files") };
        let answer = files.answer("ten.txt", &Method::GET, &headers).expect("the file is there");
        let length = match &answer.content {
            Content::File { len, .. } => *len,
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::None => 0,
        };
        let announced = answer.headers.get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
        match answer.status {
            StatusCode::OK => assert_eq!((announced, length), (None, 10)),
            StatusCode::PARTIAL_CONTENT => {
                let part = announced.and_then(|text| text.strip_prefix("bytes ")?.strip_suffix("/10")?.split_once('-'));
                let (from, to) = part.expect("a part is announced");
                let (from, to): (u64, u64) = (from.parse().expect("a number"), to.parse().expect("a number"));
                assert!(from <= to && to < 10 && length == to - from + 1, "{from}-{to}, {length} bytes");
                assert!(headers.contains_key(header::RANGE), "nobody asked for a part");
            }
            StatusCode::RANGE_NOT_SATISFIABLE => assert_eq!(announced, Some("bytes */10")),
            StatusCode::NOT_MODIFIED | StatusCode::PRECONDITION_FAILED => assert_eq!((announced, length), (None, 0)),
            other => panic!("{other}"),
        }
    });
}
