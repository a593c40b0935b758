//! What comes in is made unambiguous before anything looks at it: one form of target, host, path and client address.

use std::net::IpAddr;

use hilum_filters::api::RequestId;
use http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use pingora_http::RequestHeader;

use super::{Ctx, Gateway};
use crate::refusal::{Reason, Refusal};
use crate::router::{Head, host, path};
use crate::telemetry::TraceParent;

const REQUEST_ID: &str = "x-request-id";

/// Most of a target, in bytes: as much as servers of this field take (RFC 9112, 3 asks for 8,000).
const TARGET: usize = 8 * 1024;

/// Most of all header lines together with the target, in bytes, and how many lines there may be. Pingora itself takes a mebibyte.
const HEAD: (usize, usize) = (16 * 1024, 100);

/// Whether it is small enough to be looked at.
///
/// # Errors
/// `target_too_long` or `headers_too_large`.
fn check_size(head: &RequestHeader) -> Result<(), Reason> {
    let target = head.raw_path().len();
    if target > TARGET {
        return Err(Reason::TargetTooLong);
    }
    // A line is its name, `: `, its value and its end.
    let lines = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    let (bytes, most) = HEAD;
    if head.headers.len() > most || target + lines.sum::<usize>() > bytes {
        return Err(Reason::HeadersTooLarge);
    }
    Ok(())
}

/// Brings the head to its one form; afterwards `uri.path()` is what is matched and what is sent.
///
/// # Errors
/// What is too large, and a target, path or host that two programs could read differently.
pub(super) fn admit(head: &mut RequestHeader) -> Result<(), Reason> {
    check_size(head)?;
    if head.version == Version::HTTP_2 {
        name_host(head)?;
    }
    let raw = std::str::from_utf8(head.raw_path()).map_err(|_| Reason::PathRejected)?;
    let target = origin_form(raw, head)?;
    check_host(head)?;
    let (raw_path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    if query.is_some_and(|q| q.bytes().any(|b| !b.is_ascii_graphic() || b == b'#')) {
        return Err(Reason::PathRejected);
    }
    let canonical = path::canonical(raw_path).map_err(|_| Reason::PathRejected)?;
    // Nothing to rewrite in nearly every request.
    if target.len() == raw.len() && *canonical == *raw_path {
        // Where a target begins with its fragment, `http` has no path left, and shows a slash in its place.
        return if head.uri.path() == raw_path { Ok(()) } else { Err(Reason::PathRejected) };
    }
    let rewritten = match query {
        Some(query) => format!("{canonical}?{query}"),
        None => canonical.into_owned(),
    };
    head.set_uri(rewritten.parse().map_err(|_| Reason::PathRejected)?);
    Ok(())
}

/// Origin form, and absolute form with our own authority, which says the same (RFC 9112, 3.2). Nothing else names a resource here.
fn origin_form<'r>(raw: &'r str, head: &RequestHeader) -> Result<&'r str, Reason> {
    if raw.starts_with('/') {
        return Ok(raw);
    }
    let rest = raw.strip_prefix("http://").or_else(|| raw.strip_prefix("https://")).ok_or(Reason::PathRejected)?;
    let (authority, target) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let ours =
        head.headers.get(header::HOST).is_some_and(|host| host.as_bytes().eq_ignore_ascii_case(authority.as_bytes()));
    if ours { Ok(target) } else { Err(Reason::HostRejected) }
}

/// An HTTP/2 request names its host in `:authority`, in `Host`, or in both, which must agree (RFC 9113, 8.3.1). From here on it has
/// both, as one over HTTP/1 has its `Host`; a rewritten target would lose the former.
fn name_host(head: &mut RequestHeader) -> Result<(), Reason> {
    let Some(authority) = head.uri.authority() else { return Ok(()) };
    match head.headers.get(header::HOST) {
        Some(host) if host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) => Ok(()),
        Some(_) => Err(Reason::HostRejected),
        None => {
            let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Reason::HostRejected)?;
            head.insert_header(header::HOST, host).map_err(|_| Reason::HostRejected)
        }
    }
}

/// Exactly one, well formed (RFC 9112, 3.2); HTTP/1.0 may lack it.
fn check_host(head: &RequestHeader) -> Result<(), Reason> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => match host.to_str() {
            Ok(text) if host::is_authority(text) => Ok(()),
            _ => Err(Reason::HostRejected),
        },
        (None, _) if head.version == Version::HTTP_10 => Ok(()),
        _ => Err(Reason::HostRejected),
    }
}

/// The head as the router sees it.
pub(super) fn head_of(head: &RequestHeader) -> Head<'_> {
    Head {
        method: &head.method,
        host: host_of(head),
        path: head.uri.path(),
        query: head.uri.query(),
        headers: &head.headers,
    }
}

/// The authority that was asked.
pub(super) fn host_of(head: &RequestHeader) -> &str {
    let named = head.headers.get(header::HOST).and_then(|h| h.to_str().ok());
    named.or_else(|| head.uri.authority().map(http::uri::Authority::as_str)).unwrap_or("")
}

/// Who is asking, over what, and under which id.
pub(super) fn note_client(ctx: &mut Ctx, head: &RequestHeader, peer: Option<IpAddr>, tls: bool) {
    ctx.remember(head);
    let peer = peer.unwrap_or(ctx.facts.client).to_canonical();
    ctx.facts.client = peer;
    ctx.facts.secure = tls;
    ctx.peer = peer;
    ctx.peer_is_trusted = ctx.gateway.trusts(peer);
    if ctx.peer_is_trusted {
        ctx.facts.client = client_behind(&ctx.gateway, peer, &head.headers);
        ctx.facts.secure |=
            last(&head.headers, "x-forwarded-proto").is_some_and(|proto| proto.eq_ignore_ascii_case("https"));
    }
    if let Some(id) = head.headers.get(REQUEST_ID).and_then(|v| v.to_str().ok()).and_then(RequestId::new) {
        ctx.facts.request_id = id;
    }
    ctx.trace = Some(TraceParent::accept_or_make(head.headers.get("traceparent")));
}

/// The last address that no trusted proxy added; what stands before it is the client's own word.
fn client_behind(gateway: &Gateway, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let mut client = peer;
    let lines: Vec<&HeaderValue> = headers.get_all("x-forwarded-for").iter().collect();
    for entry in lines.iter().rev().flat_map(|line| line.to_str().unwrap_or("").rsplit(',')) {
        match entry.trim().parse::<IpAddr>() {
            Ok(address) => client = address.to_canonical(),
            Err(_) => break,
        }
        if !gateway.trusts(client) {
            break;
        }
    }
    client
}

fn last<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get_all(name).iter().next_back()?.to_str().ok()?.rsplit(',').next().map(str::trim)
}

/// Most names that a client may nominate in `Connection`; browsers nominate two.
const NOMINATED: usize = 16;

/// What only this connection is about, said in one way: `Connection` and `Expect`.
///
/// # Errors
/// `malformed`.
pub(super) fn check_connection(headers: &HeaderMap) -> Result<(), Refusal> {
    match nominates_well(headers) && expects_well(headers) {
        true => Ok(()),
        false => Err(Reason::Malformed.into()),
    }
}

/// What no client may nominate: the exchange depends on it (RFC 9110, 7.6.1). Pingora refuses some of these as well, but only after a
/// connection to a service was taken.
const NEVER_NOMINATED: [&str; 6] =
    ["host", "content-length", "transfer-encoding", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];

/// Names, not too many of them, and none that would take a header away that is needed.
fn nominates_well(headers: &HeaderMap) -> bool {
    let mut nominated =
        headers.get_all(header::CONNECTION).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let is_good = |name: &[u8]| {
        let name = name.trim_ascii();
        HeaderName::from_bytes(name).is_ok()
            && !NEVER_NOMINATED.iter().any(|never| name.eq_ignore_ascii_case(never.as_bytes()))
    };
    nominated.by_ref().take(NOMINATED).all(is_good) && nominated.next().is_none()
}

/// Nothing, or the one expectation that there is (RFC 9110, 10.1.1). Any other may be answered with 417; but who waits for something
/// that we don't know, or says twice that they wait, may have another view of where the body begins than a service has.
fn expects_well(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(header::EXPECT).iter();
    lines.next().is_none_or(|line| line.as_bytes().eq_ignore_ascii_case(b"100-continue")) && lines.next().is_none()
}

#[cfg(test)]
mod tests;
