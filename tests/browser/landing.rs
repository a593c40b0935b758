//! The pages of who is not signed in: the landing page and its two forms, and what says that something is not there.

use crate::harness::{Redis, eventually};
use crate::journeys::sign_in;
use crate::looks;
use crate::world::{World, account};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_landing_page_says_what_is_missing_and_what_was_refused() {
    let world = World::start().await;
    let tab = world.browser().await;
    tab.go("/", "/").await;
    looks::at(&tab, "landing").await;
    looks::by_keyboard(&tab, "landing").await;
    tab.went_wrong("the landing page", &[]);

    tab.click("#login-form [type=submit]").await;
    tab.until("document.querySelectorAll('#login-form [aria-invalid=true]').length === 2").await;
    assert!(tab.text().await.contains("Falta este dato: correo electrónico."));
    tab.fill("#email", "lucia.mendoza@example.com").await;
    tab.fill("#password", "no es esta").await;
    tab.press("Enter").await;
    tab.until("document.querySelector('#login-form .form-message').innerText.startsWith('Error de autenticación')")
        .await;
    looks::at(&tab, "landing-refused").await;
    tab.went_wrong("a refused sign-in", &["401 POST /api/web/auth/login"]);
    tab.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_and_what_is_down_are_pages_for_people() {
    let mut redis = Redis::start().await;
    let world = World::with(&format!("sessions: \"{}\"", redis.url())).await;
    let tab = world.browser().await;
    tab.go("/no/existe", "/no/existe").await;
    let text = tab.text().await;
    assert!(
        text.contains(" 404 ") && text.contains("Esta página no existe") && text.contains("indique esta referencia: "),
        "{text}"
    );
    looks::at(&tab, "404").await;
    looks::by_keyboard(&tab, "404").await;
    tab.went_wrong("a page that is not there", &["404 GET /no/existe"]);

    tab.go("/", "/").await;
    let patient = account("patient");
    sign_in(&tab, patient.email, patient.password, "/patient/dashboard").await;
    redis.kill().await;
    eventually("the cached session to end", async || {
        tab.go("/patient/profile", "/patient/profile").await;
        (tab.eval("document.querySelector('.lost-code')?.innerText").await == "503").then_some(())
    })
    .await;
    tab.forget();
    tab.go("/patient/profile", "/patient/profile").await;
    let text = tab.text().await;
    assert!(
        text.contains("El servicio de sesiones no está disponible") && text.contains("(store_unavailable)"),
        "{text}"
    );
    looks::at(&tab, "500").await;
    looks::by_keyboard(&tab, "500").await;
    tab.went_wrong("without the sessions", &["503 GET /patient/profile"]);
    tab.close().await;
}
