//! Headers on the way to a service and back: whose they are, and which never pass.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use pingora_error::Result;
use pingora_http::{RequestHeader, ResponseHeader};

use super::Ctx;
use super::front_door::host_of;
use crate::actions::Action;
use crate::actions::files::conditions;
use crate::actions::forward::Passes;
use crate::identity::Caller;
use crate::table::Table;

/// Speak for a client where a program trusts them; Hilum alone writes those that it has something to say for.
const STRIPPED: [&str; 18] = [
    "forwarded",
    "x-real-ip",
    "x-scheme",
    "true-client-ip",
    "cf-connecting-ip",
    "client-ip",
    "proxy",
    "proxy-authorization",
    "x-method-override",
    "remote-user",
    "x-remote-user",
    "x-remote-addr",
    "x-cluster-client-ip",
    "x-arr-clientcert",
    "x-authenticated-user",
    "fastly-client-ip",
    "client-cert",
    "client-cert-chain",
];
const STRIPPED_PREFIXES: [&str; 10] = [
    "ssl-client-",
    "x-auth-request-",
    "x-forwarded",
    "x-client-",
    "x-original-",
    "x-rewrite-",
    "x-hilum-",
    "x-http-method",
    "x-middleware-",
    "x-ssl-",
];
/// Belong to one connection (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
];

/// What a service gets: the client's headers without what only Hilum may say, what the route and its filters add, and last what
/// Hilum says. `head` begins as a fresh copy of the client's, for each try.
///
/// Identity is written here, at the very end, and nowhere else: what is written on the client's own head can be taken away again
/// by the client's `Connection` header, and what is written before the filters by one of them.
pub(super) fn to_service(ctx: &mut Ctx, client: &RequestHeader, head: &mut RequestHeader) -> Result<()> {
    edit(head, |headers| {
        strip(&ctx.table, headers, passes(ctx).cookies);
        if !ctx.peer_is_trusted {
            headers.remove(EARLY_DATA);
        }
        for (name, value) in &ctx.onward.headers {
            headers.insert(name.clone(), value.clone());
        }
    });
    if let Some(route) = ctx.route.clone() {
        route.chain.upstream_request(ctx.depth, client, &mut ctx.facts, &mut ctx.states, head)?;
    }
    speak(ctx, client, head);
    Ok(())
}

/// What Hilum alone says: who is calling, from where, and under which number.
pub(super) fn speak(ctx: &Ctx, client: &RequestHeader, head: &mut RequestHeader) {
    edit(head, |headers| {
        identify(ctx, headers);
        forwarded(ctx, client, headers);
        headers.insert(REQUEST_ID, ctx.facts.request_id.header_value());
        if let Some(trace) = &ctx.trace {
            headers.insert(TRACE_PARENT, trace.value().clone());
        }
    });
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
/// A request that may have been sent again by somebody else (RFC 8470, 5.1). We take none, so only a proxy before us can know.
const EARLY_DATA: HeaderName = HeaderName::from_static("early-data");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// About as many headers as are added, so that the map grows once.
const ADDED: usize = 12;

/// Changes headers without Pingora's second map, which keeps how the client spelled each name: every change of a head pays for
/// both, about half of what all our headers cost (counted). Names have no case (RFC 9110, 5.1), so the spelling is let go.
fn edit(head: &mut RequestHeader, change: impl FnOnce(&mut HeaderMap)) {
    let nothing = RequestHeader::from(http::Request::new(()).into_parts().0);
    let mut parts: http::request::Parts = std::mem::replace(head, nothing).into();
    change(&mut parts.headers);
    *head = parts.into();
}

/// What this route lets through.
fn passes(ctx: &Ctx) -> Passes {
    match ctx.route.as_ref().map(|route| &route.action) {
        Some(Action::Forward(forward)) => forward.passes,
        _ => Passes::default(),
    }
}

fn strip(table: &Table, headers: &mut HeaderMap, passes_cookies: bool) {
    // Collected first, since names can't be removed while they are walked; mostly there are none, and nothing is allocated.
    let doomed: smallvec::SmallVec<[HeaderName; 8]> =
        headers.keys().filter(|name| is_stripped(name)).cloned().collect();
    for name in doomed {
        headers.remove(name);
    }
    match passes_cookies {
        true => drop_own_cookies(table, headers),
        false => drop(headers.remove(header::COOKIE)),
    }
    headers.reserve(ADDED);
}

/// The caller's token is for Hilum, whatever else a service may see of the cookies.
fn drop_own_cookies(table: &Table, headers: &mut HeaderMap) {
    // Bytes, since cookies may hold anything; a line must not vanish for one letter of one of them.
    let is_ours = |pair: &[u8]| {
        let name = pair.split(|b| *b == b'=').next().unwrap_or_default().trim_ascii();
        table.own_cookies.iter().any(|own| own.as_bytes() == name)
    };
    let lines = headers.get_all(header::COOKIE).iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|b| *b == b';')).filter(|pair| !is_ours(pair));
    let kept = pairs.map(<[u8]>::trim_ascii).collect::<Vec<_>>().join(&b"; "[..]);
    // What came in as a header goes out as one.
    let kept = HeaderValue::from_bytes(&kept).ok().filter(|kept| !kept.is_empty());
    headers.remove(header::COOKIE);
    headers.extend(kept.map(|kept| (header::COOKIE, kept)));
}

/// Who is calling, from the verified token alone.
fn identify(ctx: &Ctx, headers: &mut HeaderMap) {
    let keeps = passes(ctx).authorization;
    for name in ctx.table.own_headers.iter().chain([&header::AUTHORIZATION]) {
        if !(keeps && name == header::AUTHORIZATION) {
            headers.remove(name);
        }
    }
    if let Caller::Known { identity, .. } = &ctx.caller {
        for (name, value) in &identity.headers {
            headers.insert(name.clone(), value.clone());
        }
        headers.insert(header::AUTHORIZATION, identity.authorization.clone());
    }
}

fn is_stripped(name: &HeaderName) -> bool {
    let text = name.as_str();
    // CGI, WSGI and others read `X_User_ID` and `X-User-ID` as one name, and `.` is no better.
    if text.contains(['_', '.']) {
        return true;
    }
    // The first letters tell nearly every other name apart at once.
    matches!(text.as_bytes().first(), Some(b'x' | b'f' | b't' | b'c' | b'p' | b'r' | b's'))
        && (STRIPPED.contains(&text) || STRIPPED_PREFIXES.iter().any(|prefix| text.starts_with(prefix)))
}

/// `X-Forwarded-*`: what the connection was. Appended to only behind a trusted proxy.
fn forwarded(ctx: &Ctx, client: &RequestHeader, headers: &mut HeaderMap) {
    let mut text = String::with_capacity(64);
    if ctx.peer_is_trusted {
        for line in client.headers.get_all(FORWARDED_FOR).iter().filter_map(|line| line.to_str().ok()) {
            text.push_str(line);
            text.push_str(", ");
        }
    }
    let _ = write!(text, "{}", ctx.peer);
    // Addresses, and what came in as a header.
    if let Ok(value) = HeaderValue::from_str(&text) {
        headers.insert(FORWARDED_FOR, value);
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(if ctx.facts.secure { "https" } else { "http" }));
    if let Ok(host) = HeaderValue::from_str(asked_host(ctx, client)) {
        headers.insert(FORWARDED_HOST, host);
    }
}

/// The authority that the client asked: of a trusted proxy, the last that it says itself; what stands before is the client's word.
pub(super) fn asked_host<'h>(ctx: &Ctx, client: &'h RequestHeader) -> &'h str {
    let by_proxy = client.headers.get_all(FORWARDED_HOST).iter().next_back().filter(|_| ctx.peer_is_trusted);
    by_proxy.and_then(|host| host.to_str().ok()).unwrap_or_else(|| host_of(client))
}

/// The head says what our body is, and nothing of the one that the client sent any more.
pub(super) fn replace_body(head: &mut RequestHeader) {
    edit(head, |headers| {
        let about_theirs = |name: &HeaderName| {
            name.as_str().starts_with("content-") || ["digest", "repr-digest"].contains(&name.as_str())
        };
        let theirs: Vec<HeaderName> = headers.keys().filter(|name| about_theirs(name)).cloned().collect();
        for name in theirs {
            headers.remove(name);
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    });
}

/// The client's head as a request of our own: without what belongs to its connection, its body and its cache.
pub(super) fn own_head(client: &RequestHeader) -> RequestHeader {
    let mut head = client.clone();
    edit(&mut head, |headers| {
        let of_its_body = [header::CONTENT_LENGTH, header::EXPECT];
        for name in nominated(&client.headers).chain(HOP_BY_HOP).chain(of_its_body).chain(conditions::HEADERS) {
            headers.remove(name);
        }
        // What is read here must be readable.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    });
    head
}

/// The headers that `Connection` names.
fn nominated(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    let lines = headers.get_all(header::CONNECTION).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).filter_map(|name| name.trim().parse().ok())
}

/// A service's answer before anything else looks at it.
pub(super) fn from_service(ctx: &Ctx, head: &mut ResponseHeader) {
    let nothing = ResponseHeader::from(http::Response::new(()).into_parts().0);
    let mut parts: http::response::Parts = std::mem::replace(head, nothing).into();
    let headers = &mut parts.headers;
    // A 101 is about the connection: its `Upgrade` must pass, and Pingora writes `Connection` itself.
    if parts.status != http::StatusCode::SWITCHING_PROTOCOLS {
        // Framing is Pingora's: it needs these to read the body, and writes its own.
        let framing = [header::TRANSFER_ENCODING, header::CONNECTION, header::CONTENT_LENGTH];
        for name in doomed(passes(ctx), headers).into_iter().filter(|name| !framing.contains(name)) {
            headers.remove(name);
        }
    }
    replace_cookies(&ctx.table, headers);
    hide_address(ctx, headers);
    headers.reserve(4);
    *head = parts.into();
}

/// The same for an answer that was read whole.
pub(super) fn clean(ctx: &Ctx, headers: &mut HeaderMap) {
    for name in doomed(passes(ctx), headers) {
        headers.remove(name);
    }
    replace_cookies(&ctx.table, headers);
    hide_address(ctx, headers);
}

/// A service that redirects to itself names the address by which only we know it. Its path is left, which means this site.
fn hide_address(ctx: &Ctx, headers: &mut HeaderMap) {
    let Some(location) = headers.get(header::LOCATION) else { return };
    let Some(Action::Forward(forward)) = ctx.route.as_ref().map(|route| &route.action) else { return };
    let peers = &forward.pool.options().peers;
    let Some(path) = path_at(location, |host| peers.iter().any(|peer| peer.authority().eq_ignore_ascii_case(host)))
    else {
        return;
    };
    // `//host` would be another site.
    let path = if path.starts_with("//") { "/".to_owned() } else { path };
    match HeaderValue::try_from(path) {
        Ok(path) => headers.insert(header::LOCATION, path),
        Err(_) => headers.remove(header::LOCATION),
    };
}

/// The path and query of an absolute URL, where its authority is one of these.
fn path_at(location: &HeaderValue, is_one: impl Fn(&str) -> bool) -> Option<String> {
    let text = location.to_str().ok()?;
    let (scheme, rest) = text.split_once("://")?;
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let is_http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    (is_http && is_one(host)).then(|| if path.starts_with('/') { path.to_owned() } else { format!("/{path}") })
}

fn replace_cookies(table: &Table, headers: &mut HeaderMap) {
    if let Some(kept) = foreign_cookies(table, headers) {
        headers.remove(header::SET_COOKIE);
        headers.extend(kept.into_iter().map(|value| (header::SET_COOKIE, value)));
    }
}

/// What belongs to the service's connection, and what only Hilum may say.
fn doomed(passes: Passes, headers: &HeaderMap) -> smallvec::SmallVec<[HeaderName; 8]> {
    let ours = (!passes.reason).then(|| HeaderName::from_static("x-hilum-reason"));
    nominated(headers).chain(HOP_BY_HOP).chain(ours).filter(|name| headers.contains_key(name)).collect()
}

/// The cookies that are not ours, when one is: a service that set ours would sign somebody in behind our back.
fn foreign_cookies(table: &Table, headers: &HeaderMap) -> Option<Vec<HeaderValue>> {
    let is_ours = |value: &&HeaderValue| {
        let name = value.as_bytes().split(|b| *b == b'=').next().unwrap_or_default().trim_ascii();
        table.own_cookies.iter().any(|own| own.as_bytes() == name)
    };
    let all = headers.get_all(header::SET_COOKIE);
    all.iter().find(is_ours)?;
    Some(all.iter().filter(|value| !is_ours(value)).cloned().collect())
}

/// What every answer says, a service's or our own.
pub(super) fn to_client(ctx: &Ctx, head: &mut ResponseHeader) -> Result<()> {
    head.insert_header(REQUEST_ID, ctx.facts.request_id.header_value())?;
    if let Some(trace) = &ctx.trace {
        head.insert_header(TRACE_PARENT, trace.value().clone())?;
    }
    if let Some(hsts) = ctx.entrance.hsts() {
        head.insert_header(header::STRICT_TRANSPORT_SECURITY, hsts.clone())?;
    }
    if let Some(route) = &ctx.route
        && let Some(said) = &route.cache_control
        // A file says itself how long it may be kept; that it is missing does not.
        && !(matches!(route.action, Action::Files(_)) && head.headers.contains_key(header::CACHE_CONTROL))
    {
        head.insert_header(header::CACHE_CONTROL, said.clone())?;
    }
    if let Some(cookie) = &ctx.new_cookie {
        head.append_header(header::SET_COOKIE, cookie.clone())?;
        // Whoever keeps this answer would hand the session to others.
        head.insert_header(header::CACHE_CONTROL, "private, no-store")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
