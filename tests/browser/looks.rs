//! What every page must keep at every width, in both schemes of colours, and with no mouse.

use serde_json::json;

use crate::tab::{Tab, WIDTHS};

const LOOKS: &str = include_str!("looks.js");
const KEYBOARD: &str = include_str!("keyboard.js");

/// Looks at the page from a desk and from a phone, light and dark, and leaves a picture of each width.
pub(crate) async fn at(tab: &Tab, name: &str) {
    for size in WIDTHS {
        tab.size(size).await;
        for scheme in ["dark", "light"] {
            tab.colours(scheme).await;
            let wrong = tab.eval(LOOKS).await;
            assert_eq!(wrong, json!([]), "{name} at {} {scheme}", size.0);
            let suffix = if scheme == "dark" { "-dark" } else { "" };
            tab.picture(&format!("{name}-{}{suffix}", size.0), size).await;
        }
    }
    tab.size(WIDTHS[0]).await;
}

/// Goes through the page with the Tab key: everything that can be used is reached, and seen to be reached.
pub(crate) async fn by_keyboard(tab: &Tab, name: &str) {
    for _ in 0..200 {
        tab.press("Tab").await;
        let state = tab.eval(KEYBOARD).await;
        if state != "on" {
            assert_eq!(state["end"], json!([]), "{name}: {state}");
            return;
        }
    }
    panic!("{name}: the focus never comes to an end");
}
