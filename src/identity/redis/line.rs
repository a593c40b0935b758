//! Sessions that follow one another, in Redis. Beside the key of a session stands a hash with what is known of it: `session` (its
//! key), `began`, `refresh` (sealed by its token), and the hashes before and after it, with the next token (sealed likewise). Each step
//! is one script, so it is done whole or not at all, and every gateway sees the same.

use std::time::Duration;

use redis::{Pipeline, pipe};

use super::super::key::SessionKey;
use super::super::refresh::{Claim, Origin};
use super::super::store::{NewSession, Old};
use super::link::{Failed, Link};
use super::milliseconds;
use super::seal::{open, seal};

/// 1 session, 2 its hash; value, milliseconds, began, refresh.
const PUT: &str = r"
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('HSET', KEYS[2], 'session', KEYS[1], 'began', ARGV[3], 'refresh', ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1";

/// 1 session, 2 its hash, 3 the claim; milliseconds of the claim.
const CLAIM: &str = r"
if redis.call('EXISTS', KEYS[1]) == 0 then return {'never'} end
local known = redis.call('HMGET', KEYS[2], 'began', 'refresh', 'next', 'token')
if not known[1] then return {'never'} end
if known[3] then
  if known[4] and redis.call('EXISTS', known[3]) == 1 then return {'refreshed', known[4]} end
  return {'never'}
end
if not redis.call('SET', KEYS[3], '1', 'NX', 'PX', ARGV[1]) then return {'elsewhere'} end
return {'ours', known[1], known[2]}";

/// 1 and 2 the old session and its hash, 3 and 4 the new ones; as for PUT, and the new token.
const SUCCEED: &str = r"
if redis.call('EXISTS', KEYS[1]) == 0 or redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
if redis.call('EXISTS', KEYS[4]) == 1 and redis.call('HGET', KEYS[4], 'previous') ~= KEYS[2] then return 2 end
redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2])
redis.call('HSET', KEYS[4], 'session', KEYS[3], 'began', ARGV[3], 'refresh', ARGV[4], 'previous', KEYS[2])
redis.call('PEXPIRE', KEYS[4], ARGV[2])
redis.call('HSET', KEYS[2], 'next', KEYS[4], 'token', ARGV[5])
return 1";

/// 1 session, 2 its hash. Answers whether the session was there, and the keys of the others of its line.
const END: &str = r"
local ended = {tostring(redis.call('DEL', KEYS[1]))}
local ways = redis.call('HMGET', KEYS[2], 'next', 'previous')
redis.call('DEL', KEYS[2])
for way, name in ipairs({'next', 'previous'}) do
  local at = ways[way]
  while at do
    local known = redis.call('HMGET', at, 'session', name)
    redis.call('DEL', at)
    if known[1] then
      redis.call('DEL', known[1])
      table.insert(ended, known[1])
    end
    at = known[2]
  end
end
return ended";

pub(super) async fn put(
    link: &Link,
    key: &SessionKey,
    session: &NewSession<'_>,
    origin: &Origin,
) -> Result<(), Failed> {
    let commands = kept(script(PUT, &[key.text(), &hash(key)]), session, origin);
    link.query::<(u64,)>(&commands).await.map(drop)
}

pub(super) async fn claim(link: &Link, old: Old<'_>, lease: Duration) -> Result<Claim, Failed> {
    let claim = format!("hilum:refreshing:{}", old.key.hex());
    let mut commands = script(CLAIM, &[old.key.text(), &hash(old.key), &claim]);
    commands.arg(milliseconds(lease));
    let (answer,): (Vec<String>,) = link.query(&commands).await?;
    Ok(match answer.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["refreshed", sealed] => open(sealed, old.token).map_or(Claim::Never, |token| Claim::Refreshed(token.into())),
        ["elsewhere"] => Claim::Elsewhere,
        ["ours", began, refresh] => Claim::Ours(Origin {
            // What is no number was not written by us, and is as old as can be.
            began: began.parse().unwrap_or(0),
            refresh_token: open(refresh, old.token).map(Into::into),
        }),
        _ => Claim::Never,
    })
}

/// What became of a successor.
pub(super) enum Succeeded {
    Kept,
    /// The old session has ended.
    Over,
    /// It follows another one.
    Taken,
}

pub(super) async fn succeed(
    link: &Link,
    old: Old<'_>,
    new: &SessionKey,
    session: &NewSession<'_>,
    origin: &Origin,
) -> Result<Succeeded, Failed> {
    let commands = script(SUCCEED, &[old.key.text(), &hash(old.key), new.text(), &hash(new)]);
    let mut commands = kept(commands, session, origin);
    commands.arg(seal(session.token, old.token).ok_or(Failed::Down)?);
    let (kept,): (u64,) = link.query(&commands).await?;
    Ok(match kept {
        1 => Succeeded::Kept,
        2 => Succeeded::Taken,
        _ => Succeeded::Over,
    })
}

/// Whether there was a session, and the keys of the others that ended with it.
pub(super) async fn end(link: &Link, key: &SessionKey) -> Result<(bool, Vec<String>), Failed> {
    let (mut answer,): (Vec<String>,) = link.query(&script(END, &[key.text(), &hash(key)])).await?;
    let was_there = !answer.is_empty() && answer.remove(0) != "0";
    Ok((was_there, answer))
}

fn hash(key: &SessionKey) -> String {
    format!("hilum:session:{}", key.hex())
}

fn script(text: &str, keys: &[&str]) -> Pipeline {
    let mut commands = pipe();
    commands.cmd("EVAL").arg(text).arg(keys.len());
    for key in keys {
        commands.arg(*key);
    }
    commands
}

fn kept(mut commands: Pipeline, session: &NewSession<'_>, origin: &Origin) -> Pipeline {
    commands.arg(session.value).arg(milliseconds(session.ttl)).arg(origin.began);
    // One that can't be sealed is not kept: then the next token is had by the token itself.
    let refresh = origin.refresh_token.as_deref().and_then(|text| seal(text, session.token));
    commands.arg(refresh.unwrap_or_default());
    commands
}
