//! Why Hilum refuses: one stable name each, seen in bodies, the header `X-Hilum-Reason`, the access log and metrics (design §5).

use http::StatusCode;

/// A reason with its status, class and default text. Filters bring their own names besides these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    Malformed,
    PathRejected,
    HostRejected,
    FramingRejected,
    BodyInvalid,
    JsonInvalid,
    ValueMissing,
    TokenMissing,
    TokenInvalid,
    TokenExpired,
    SessionUnknown,
    LoginRefused,
    ClaimMismatch,
    ClaimMissing,
    RoleMissing,
    NotOwner,
    CsrfRejected,
    NoRoute,
    FileMissing,
    NotFound,
    MethodNotAllowed,
    ClientTooSlow,
    BodyTooLarge,
    TargetTooLong,
    ContentType,
    RateLimited,
    HeadersTooLarge,
    PeerRefused,
    PeerReset,
    PeerGarbage,
    PartFailed,
    NoHealthyPeer,
    PeerTimeout,
    Deadline,
    AskFailed,
    StoreUnavailable,
    KeysUnavailable,
    /// There is as much to do as may be at once.
    Overloaded,
    AuditUnavailable,
    RecordUnavailable,
    Draining,
    /// A defect of ours; never a client's doing.
    Internal,
}

/// One row: the reason, its name, status, class and what it tells a person when the file says nothing else.
type Row = (Reason, &'static str, u16, Option<&'static str>, &'static str);

use Reason::*;
const UPSTREAM: Option<&str> = Some("upstream");
const ROWS: &[Row] = &[
    (Malformed, "malformed", 400, None, "The request is malformed."),
    (PathRejected, "path_rejected", 400, None, "The path of the request is ambiguous."),
    (HostRejected, "host_rejected", 400, None, "The Host header is missing or malformed."),
    (FramingRejected, "framing_rejected", 400, None, "Where the request ends is ambiguous."),
    (BodyInvalid, "body_invalid", 400, None, "The body is not as it must be."),
    (JsonInvalid, "json_invalid", 400, None, "The body is not a JSON object."),
    (ValueMissing, "value_missing", 400, None, "A value that is needed is missing."),
    (TokenMissing, "token_missing", 401, None, "Sign-in is required."),
    (TokenInvalid, "token_invalid", 401, None, "The token is not valid."),
    (TokenExpired, "token_expired", 401, None, "The token has expired."),
    (SessionUnknown, "session_unknown", 401, None, "The session has ended."),
    (LoginRefused, "login_refused", 401, None, "The sign-in was refused."),
    (ClaimMismatch, "claim_mismatch", 403, None, "This account may not do that."),
    (ClaimMissing, "claim_missing", 403, None, "The token lacks a claim that is needed."),
    (RoleMissing, "role_missing", 403, None, "This account lacks the role that is needed."),
    (NotOwner, "not_owner", 403, None, "This belongs to somebody else."),
    (CsrfRejected, "csrf_rejected", 403, None, "This request does not come from a page of this site."),
    (NoRoute, "no_route", 404, None, "Nothing is here."),
    (FileMissing, "file_missing", 404, None, "There is no such file."),
    (NotFound, "not_found", 404, None, "There is no such thing."),
    (MethodNotAllowed, "method_not_allowed", 405, None, "The method is not allowed here."),
    (ClientTooSlow, "client_too_slow", 408, None, "The request took too long to arrive."),
    (BodyTooLarge, "body_too_large", 413, None, "The body is too large."),
    (TargetTooLong, "target_too_long", 414, None, "The target of the request is too long."),
    (ContentType, "content_type", 415, None, "The body must be application/json."),
    (RateLimited, "rate_limited", 429, None, "Too many requests. Try again later."),
    (HeadersTooLarge, "headers_too_large", 431, None, "The headers of the request are too large."),
    (PeerRefused, "peer_refused", 502, UPSTREAM, "The service can't be reached."),
    (PeerReset, "peer_reset", 502, UPSTREAM, "The service broke the connection."),
    (PeerGarbage, "peer_garbage", 502, UPSTREAM, "The service sent an answer that can't be used."),
    (PartFailed, "part_failed", 502, UPSTREAM, "The answer of the service can't be used."),
    (NoHealthyPeer, "no_healthy_peer", 503, UPSTREAM, "The service is not available."),
    (PeerTimeout, "peer_timeout", 504, UPSTREAM, "The service took too long."),
    (Deadline, "deadline", 504, UPSTREAM, "The request took too long."),
    (AskFailed, "ask_failed", 503, None, "Whether this is allowed can't be found out at the moment."),
    (StoreUnavailable, "store_unavailable", 503, None, "Sessions can't be checked at the moment."),
    (KeysUnavailable, "keys_unavailable", 503, None, "Tokens can't be checked at the moment."),
    (Overloaded, "overloaded", 503, None, "There is too much to do at the moment."),
    (
        AuditUnavailable,
        "audit_unavailable",
        503,
        None,
        "The audit log can't be written at the moment, so this was not done.",
    ),
    (RecordUnavailable, "record_unavailable", 503, None, "This can't be recorded at the moment."),
    (Draining, "draining", 503, None, "This gateway is about to stop."),
    (Internal, "internal", 500, None, "Something went wrong here."),
];

impl Reason {
    fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// The name that never changes.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().2).expect("the rows hold statuses")
    }

    /// What `errors:` and `messages:` may call several reasons by.
    pub fn class(self) -> Option<&'static str> {
        self.row().3
    }

    pub fn message(self) -> &'static str {
        self.row().4
    }

    pub fn all() -> impl Iterator<Item = Reason> {
        ROWS.iter().map(|row| row.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_stands_at_its_reason_and_names_are_unique() {
        let mut names = std::collections::HashSet::new();
        for (at, reason) in Reason::all().enumerate() {
            assert_eq!(reason as usize, at, "{reason:?}");
            assert!(names.insert(reason.name()), "{} stands twice", reason.name());
            assert!(!reason.status().is_success());
        }
    }
}
