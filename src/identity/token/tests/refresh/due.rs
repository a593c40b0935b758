//! When a successor is asked for, by whom, and which is none.

use super::*;
use crate::identity::refresh::{LEASE, WAIT};

async fn caller(token: &Token, text: &str, now: Now) -> Caller {
    token.identify(&headers(&format!("cookie {text}")), now).await
}

#[tokio::test]
async fn a_token_is_due_to_the_second() {
    for (left, is_due) in [(119, true), (120, true), (121, false)] {
        let (it, now) = (world(), Now::read());
        let text = token_until("7", now.unix + left);
        sign_in(&it.token, &text, 0).await;
        let caller = caller(&it.token, &text, now).await;
        assert_eq!(it.token.refresh(&caller, now, || None).is_some(), is_due, "{left}");
    }
}

#[tokio::test]
async fn a_failed_refresh_is_tried_again_when_its_lease_is_over() {
    let it = world();
    let due = token_for("7", 100);
    sign_in(&it.token, &due, 0).await;
    it.auth.fails.store(true, SeqCst);
    assert_eq!(request(&it.token, "cookie", &due).await, None);
    let caller = caller(&it.token, &due, Now::read()).await;
    assert!(it.token.refresh(&caller, Now::read(), || None).is_none());
    assert!(it.token.refresh(&caller, Now::read().later(LEASE), || None).is_some());
}

#[tokio::test(start_paused = true)]
async fn who_finds_another_gateway_at_it_waits_for_a_second_and_looks_again_later() {
    let it = world();
    let due = token_for("7", 100);
    sign_in(&it.token, &due, 0).await;
    it.auth.held.store(true, SeqCst);
    let (other, now) = (gateway(&it.auth, &it.store), Now::read());
    let first = it.token.refresh(&caller(&it.token, &due, now).await, now, || None).expect("it is due");
    it.auth.is_asked().await;
    let (caller, begun) = (caller(&other, &due, now).await, tokio::time::Instant::now());
    let second = other.refresh(&caller, now, || None).expect("it is due");
    assert_eq!(second.cookie(false, 60 * SECOND).await, None);
    assert_eq!(begun.elapsed(), WAIT);
    // Time for the other task to see that it took too long.
    for _ in 0..10 {
        tokio::time::advance(WAIT / 10).await;
        tokio::task::yield_now().await;
    }
    assert!(other.refresh(&caller, now, || None).is_none(), "not at once");
    drop(first);
    it.auth.held.store(false, SeqCst);
    it.auth.release.notify_one();
    let next = request(&it.token, "cookie", &due).await.expect("a cookie");
    let again = other.refresh(&caller, Now::read().later(2 * SECOND), || None).expect("later");
    let cookie = again.cookie(false, 60 * SECOND).await.expect("a cookie");
    assert!(cookie.to_str().unwrap().contains(&next));
    assert_eq!(it.auth.asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_successor_lasts_longer_or_is_none() {
    for (more, is_taken) in [(-1, false), (0, false), (1, true)] {
        let it = world();
        let end = Now::read().unix + 100;
        let due = token_until("7", end);
        sign_in(&it.token, &due, 0).await;
        it.auth.until.store(end.saturating_add_signed(more), SeqCst);
        assert_eq!(request(&it.token, "cookie", &due).await.is_some(), is_taken, "{more}");
        assert_eq!(it.token.metrics.refresh_failed.get(), u64::from(!is_taken), "{more}");
    }
}
