//! The cookie in which a browser keeps its token. Scripts can't read it (`HttpOnly`) and it is sent to every path.

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;

use super::now::Now;
use super::source::is_name;

/// What `cookie:` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieOptions {
    pub name: Box<str>,
    pub same_site: SameSite,
    pub secure: Secure,
}

/// To which requests of foreign pages the browser adds the cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameSite {
    /// None at all, not even when a link is followed.
    Strict,
    /// When a link is followed.
    #[default]
    Lax,
    /// All. Browsers want it to be `Secure` then.
    None,
}

/// Whether the browser may send the cookie over plain HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Secure {
    /// Not when it was set over TLS.
    #[default]
    Auto,
    /// Never.
    Always,
    /// It may.
    Never,
}

impl CookieOptions {
    /// Says what is wrong, if anything is: browsers silently drop such a cookie, and nobody could sign in.
    pub fn check(&self) -> Result<(), String> {
        let Self { name, same_site, secure } = self;
        if !is_name(name) {
            return Err(format!("`{name}` is no cookie name: use letters, digits and any of !#$%&'*+-.^_`|~"));
        }
        let lower = name.to_ascii_lowercase();
        let prefixed = lower.starts_with("__host-") || lower.starts_with("__secure-");
        if *secure == Secure::Never && (prefixed || *same_site == SameSite::None) {
            let what = if prefixed { "a cookie of such a name" } else { "`same_site: none`" };
            return Err(format!("browsers drop {what} without Secure: say `secure: always`"));
        }
        Ok(())
    }

    /// The `Set-Cookie` that gives the browser `token` for `max_age`, in whole seconds.
    pub(super) fn set(&self, token: &str, max_age: Duration, now: Now, secure_connection: bool) -> HeaderValue {
        let max_age = max_age.min(LONGEST).as_secs();
        let end = UNIX_EPOCH + Duration::from_secs(now.unix.saturating_add(max_age).min(LAST_SECOND));
        let expires = httpdate::fmt_http_date(end);
        let value =
            format!("{}={token}; Expires={expires}; Max-Age={max_age}{}", self.name, self.ends(secure_connection));
        header(value)
    }

    /// The `Set-Cookie` that makes the browser forget it: the same name and attributes, and an end long ago.
    pub(super) fn clear(&self, secure_connection: bool) -> HeaderValue {
        header(format!("{}=; Expires=Thu, 01 Jan 1970 00:00:00 GMT{}", self.name, self.ends(secure_connection)))
    }

    fn ends(&self, secure_connection: bool) -> String {
        let secure = match self.secure {
            Secure::Auto => secure_connection,
            Secure::Always => true,
            Secure::Never => false,
        };
        let same_site = match self.same_site {
            SameSite::Strict => "Strict",
            SameSite::Lax => "Lax",
            SameSite::None => "None",
        };
        format!("{}; HttpOnly; Path=/; SameSite={same_site}", if secure { "; Secure" } else { "" })
    }
}

/// Browsers keep no cookie longer (RFC 6265bis, 5.5).
const LONGEST: Duration = Duration::from_hours(400 * 24);

/// The end of the year 9999, the last that an HTTP date can say (RFC 9110, 5.6.7).
const LAST_SECOND: u64 = 253_402_300_799;

fn header(text: String) -> HeaderValue {
    let mut value = HeaderValue::try_from(text).expect("a checked name and a verified token are visible ASCII");
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::super::testkit::today;
    use super::*;

    fn options(name: &str, same_site: SameSite, secure: Secure) -> CookieOptions {
        CookieOptions { name: name.into(), same_site, secure }
    }

    fn check(same_site: SameSite, secure: Secure, secure_connection: bool, set: &str, clear: &str) {
        let options = options("predicthealth_jwt", same_site, secure);
        options.check().unwrap();
        assert_eq!(options.set("a.b.c", Duration::from_secs(900), today(), secure_connection), set);
        assert_eq!(options.clear(secure_connection), clear);
    }

    #[test]
    fn cookies_are_those_predicthealths_clients_know() {
        check(
            SameSite::Lax,
            Secure::Auto,
            false,
            "predicthealth_jwt=a.b.c; Expires=Fri, 15 Jan 2027 08:15:00 GMT; Max-Age=900; HttpOnly; Path=/; SameSite=Lax",
            "predicthealth_jwt=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Path=/; SameSite=Lax",
        );
    }

    #[test]
    fn secure_is_as_configured() {
        for (same_site, secure, secure_connection, attributes) in [
            (SameSite::Lax, Secure::Auto, true, "; Secure; HttpOnly; Path=/; SameSite=Lax"),
            (SameSite::Strict, Secure::Always, false, "; Secure; HttpOnly; Path=/; SameSite=Strict"),
            (SameSite::None, Secure::Always, true, "; Secure; HttpOnly; Path=/; SameSite=None"),
            (SameSite::Lax, Secure::Never, true, "; HttpOnly; Path=/; SameSite=Lax"),
        ] {
            let set =
                format!("predicthealth_jwt=a.b.c; Expires=Fri, 15 Jan 2027 08:15:00 GMT; Max-Age=900{attributes}");
            let clear = format!("predicthealth_jwt=; Expires=Thu, 01 Jan 1970 00:00:00 GMT{attributes}");
            check(same_site, secure, secure_connection, &set, &clear);
        }
    }

    #[test]
    fn no_time_is_too_long_to_be_written() {
        let options = options("sid", SameSite::Lax, Secure::Auto);
        let far = Now { unix: u64::MAX, ..today() };
        let value = options.set("a", Duration::MAX, far, false);
        assert_eq!(
            value,
            "sid=a; Expires=Fri, 31 Dec 9999 23:59:59 GMT; Max-Age=34560000; HttpOnly; Path=/; SameSite=Lax"
        );
        assert!(!format!("{value:?}").contains("sid"));
    }

    #[test]
    fn cookies_that_browsers_drop_are_refused() {
        for good in [
            options("__Host-sid", SameSite::Lax, Secure::Auto),
            options("sid", SameSite::None, Secure::Always),
            options("sid", SameSite::Lax, Secure::Never),
        ] {
            good.check().unwrap();
        }
        for bad in [
            options("", SameSite::Lax, Secure::Auto),
            options("a;b", SameSite::Lax, Secure::Auto),
            options("__Host-sid", SameSite::Lax, Secure::Never),
            options("__secure-sid", SameSite::Lax, Secure::Never),
            options("sid", SameSite::None, Secure::Never),
        ] {
            bad.check().expect_err("is refused");
        }
    }
}
