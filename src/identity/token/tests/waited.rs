//! A store that has to be waited for: what it said is believed for a while, and its outage ends nothing.

use super::*;

#[tokio::test]
async fn the_answer_of_a_store_that_is_waited_for_is_believed_for_max_staleness() {
    let store = Arc::new(Slow::default());
    let token = over(&store);
    let text = format!("cookie {}", token_of("7", 900));
    open(&token, &text["cookie ".len()..], today()).await;
    let start = today();
    for (milliseconds, expect, asked) in [
        (0, "7 Cookie", 1),
        (1, "7 Cookie", 1),
        (1999, "7 Cookie", 1),
        (2000, "7 Cookie", 2),
        (3999, "7 Cookie", 2),
        (4000, "7 Cookie", 3),
    ] {
        let now = start.later(Duration::from_millis(milliseconds));
        let must_wait = store.asked.load(SeqCst) < asked;
        assert_eq!(token.identify_now(&headers(&text), now).is_none(), must_wait, "{milliseconds}");
        assert_eq!(ask(&token, &text, now).await, expect);
        assert_eq!(store.asked.load(SeqCst), asked, "{milliseconds}");
    }
    // Ended by another gateway, which tells nobody.
    store.keys.lock().unwrap().clear();
    assert_eq!(ask(&token, &text, start.later(Duration::from_millis(5999))).await, "7 Cookie");
    assert_eq!(ask(&token, &text, start.later(Duration::from_millis(6000))).await, "no session Cookie");
    // A "no" is not kept: the session may be opened at any moment.
    open(&token, &text["cookie ".len()..], today()).await;
    assert_eq!(ask(&token, &text, start.later(Duration::from_millis(6001))).await, "7 Cookie");
}

#[tokio::test]
async fn an_outage_refuses_nobody_and_ends_nothing() {
    let store = Arc::new(Slow::default());
    let token = over(&store);
    let [ana, bob] = ["ana", "bob"].map(|user| token_of(user, 900));
    open(&token, &ana, today()).await;
    let identity = open(&token, &bob, today()).await;
    let start = today();
    assert_eq!(ask(&token, &format!("cookie {ana}"), start).await, "ana Cookie");
    store.down.store(true, SeqCst);
    assert_eq!(ask(&token, &format!("cookie {ana}"), start).await, "ana Cookie");
    assert_eq!(ask(&token, &format!("cookie {bob}"), start).await, "store down Cookie");
    assert_eq!(token.end_session(&ana, start).await, Err(StoreDown));
    assert_eq!(token.open_session(&identity, SECOND, None, start).await, Err(PutError::Down));
    assert_eq!(ask(&token, &format!("cookie {ana}"), start.later(SECOND)).await, "ana Cookie");
    assert_eq!(ask(&token, &format!("cookie {ana}"), start.later(2 * SECOND)).await, "store down Cookie");
    assert_eq!(ask(&token, "cookie bad", start).await, "invalid Cookie");
    assert_eq!(token.metrics.store_down.get(), 4);
    store.down.store(false, SeqCst);
    for (user, text) in [("ana", ana), ("bob", bob)] {
        assert_eq!(ask(&token, &format!("cookie {text}"), start.later(2 * SECOND)).await, format!("{user} Cookie"));
    }
}

#[tokio::test]
async fn an_answer_that_was_on_its_way_during_a_logout_is_not_kept() {
    let (store, text) = (Arc::new(Slow::default()), token_of("7", 900));
    let token = Arc::new(over(&store));
    open(&token, &text, today()).await;
    store.held.store(true, SeqCst);
    let early = tokio::spawn({
        let (token, text) = (token.clone(), format!("cookie {text}"));
        async move { ask(&token, &text, today()).await }
    });
    store.waiting.notified().await;
    store.held.store(false, SeqCst);
    assert_eq!(token.end_session(&text, today()).await, Ok(true));
    store.release.notify_one();
    // The request began before the logout and may be served; the next one may not.
    assert_eq!(early.await.unwrap(), "7 Cookie");
    assert_eq!(ask(&token, &format!("cookie {text}"), today()).await, "no session Cookie");
}

#[tokio::test]
async fn an_answer_that_came_while_a_logout_was_on_its_way_is_not_kept() {
    let (store, text) = (Arc::new(Slow::default()), token_of("7", 900));
    let token = Arc::new(over(&store));
    open(&token, &text, today()).await;
    store.held.store(true, SeqCst);
    let logout = tokio::spawn({
        let (token, text) = (token.clone(), text.clone());
        async move { token.end_session(&text, today()).await }
    });
    store.waiting.notified().await;
    store.held.store(false, SeqCst);
    assert_eq!(ask(&token, &format!("cookie {text}"), today()).await, "7 Cookie");
    store.release.notify_one();
    assert_eq!(logout.await.unwrap(), Ok(true));
    assert_eq!(ask(&token, &format!("cookie {text}"), today()).await, "no session Cookie");
}

#[tokio::test]
async fn a_file_that_says_the_same_of_a_token_asks_nobody_anew() {
    let (store, caches) = (Arc::new(Slow::default()), TokenCaches::default());
    let of = |options| Token::remembered(options, None, store.clone(), metrics(), &caches).unwrap();
    let (text, now) = (token_of("7", 900), today());
    let cookie = format!("cookie {text}");
    let mut running = of(options());
    open(&running, &text, now).await;
    assert_eq!(ask(&running, &cookie, now).await, "7 Cookie");
    for _ in 0..3 {
        // What is compiled and refused is as if it had not been.
        of(TokenOptions { cached: 1, ..options() });
        running = of(options());
        assert_eq!(ask(&running, &cookie, now).await, "7 Cookie");
    }
    assert_eq!(store.asked.load(SeqCst), 1, "it is known");
    let verify = || VerifyOptions { leeway: SECOND, ..verify_options() };
    let session = || SessionOptions { key: "other:{token}".parse().unwrap(), max_staleness: 2 * SECOND };
    for (number, other) in [
        TokenOptions { name: "other".into(), ..options() },
        TokenOptions { verify: verify(), ..options() },
        TokenOptions { session: Some(session()), ..options() },
        TokenOptions { identity: Vec::new(), ..options() },
    ]
    .into_iter()
    .enumerate()
    {
        let expect = if other.session == Some(session()) { "no session Cookie" } else { "7 Cookie" };
        assert_eq!(ask(&of(other), &cookie, now).await, expect);
        assert_eq!(store.asked.load(SeqCst), number + 2, "another kind of token");
    }
    drop(running);
    assert_eq!(ask(&of(options()), &cookie, now).await, "7 Cookie");
    assert_eq!(store.asked.load(SeqCst), 6, "what no table has is forgotten");
}
