//! Sessions that follow one another, in Redis. Beside the key of a session stands a hash with what is known of it: `token`,
//! `session` (its key), `began`, `refresh`, and the hashes before and after it. Each step is one script, so it is done whole or
//! not at all, and every gateway sees the same.

use std::time::Duration;

use redis::{Pipeline, pipe};

use super::super::key::SessionKey;
use super::super::refresh::{Claim, Origin};
use super::super::store::NewSession;
use super::link::{Failed, Link};
use super::milliseconds;

/// 1 session, 2 its hash; value, milliseconds, token, began, refresh.
const PUT: &str = r"
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'session', KEYS[1], 'token', ARGV[3], 'began', ARGV[4], 'refresh', ARGV[5])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1";

/// 1 session, 2 its hash, 3 the claim; milliseconds of the claim.
const CLAIM: &str = r"
if redis.call('EXISTS', KEYS[1]) == 0 then return {'never'} end
local known = redis.call('HMGET', KEYS[2], 'began', 'refresh', 'next')
if not known[1] then return {'never'} end
if known[3] then
  local token = redis.call('HGET', known[3], 'token')
  if token then return {'refreshed', token} end
  return {'never'}
end
if not redis.call('SET', KEYS[3], '1', 'NX', 'PX', ARGV[1]) then return {'elsewhere'} end
return {'ours', known[1], known[2]}";

/// 1 and 2 the old session and its hash, 3 and 4 the new ones; as for PUT.
const SUCCEED: &str = r"
if redis.call('EXISTS', KEYS[1]) == 0 or redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[4])
redis.call('HSET', KEYS[4], 'session', KEYS[3], 'token', ARGV[3], 'began', ARGV[4], 'refresh', ARGV[5], 'previous', KEYS[2])
redis.call('PEXPIRE', KEYS[4], ARGV[2])
redis.call('HSET', KEYS[2], 'next', KEYS[4])
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

pub(super) async fn claim(link: &Link, key: &SessionKey, lease: Duration) -> Result<Claim, Failed> {
    let claim = format!("hilum:refreshing:{}", key.hex());
    let mut commands = script(CLAIM, &[key.text(), &hash(key), &claim]);
    commands.arg(milliseconds(lease));
    let (answer,): (Vec<String>,) = link.query(&commands).await?;
    Ok(match answer.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["refreshed", token] => Claim::Refreshed(token.into()),
        ["elsewhere"] => Claim::Elsewhere,
        ["ours", began, refresh] => Claim::Ours(Origin {
            // What is no number was not written by us, and is as old as can be.
            began: began.parse().unwrap_or(0),
            refresh_token: (!refresh.is_empty()).then(|| refresh.into()),
        }),
        _ => Claim::Never,
    })
}

pub(super) async fn succeed(
    link: &Link,
    (old, new): (&SessionKey, &SessionKey),
    session: &NewSession<'_>,
    origin: &Origin,
) -> Result<bool, Failed> {
    let commands = script(SUCCEED, &[old.text(), &hash(old), new.text(), &hash(new)]);
    let (kept,): (u64,) = link.query(&kept(commands, session, origin)).await?;
    Ok(kept == 1)
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
    commands.arg(session.value).arg(milliseconds(session.ttl)).arg(session.token).arg(origin.began);
    commands.arg(origin.refresh_token.as_deref().unwrap_or_default());
    commands
}
