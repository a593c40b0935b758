//! The documentation: pages for everybody, reached by their links, that look right and ask nothing of another host.

use crate::looks;
use crate::world::World;

const PAGES: [&str; 6] = ["", "/rutas", "/motivos", "/identidad", "/operacion", "/desarrollo"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documentation_is_read_from_page_to_page() {
    let world = World::start().await;
    let tab = world.browser().await;
    tab.go("/docs", "/docs").await;
    for page in PAGES {
        let path = format!("/docs{page}");
        tab.click(&format!("nav a[href=\"{path}\"]")).await;
        tab.settled(&path).await;
        let name = format!("docs{}", page.replace('/', "-"));
        looks::at(&tab, &name).await;
        looks::by_keyboard(&tab, &name).await;
        tab.went_wrong(&path, &[]);
    }
    tab.close().await;
}
