//! What every page must keep at every width, in both schemes of colours, and with no mouse.

use serde_json::{Value, json};

use crate::tab::{Tab, WIDTHS};

const LOOKS: &str = include_str!("looks.js");
const KEYBOARD: &str = include_str!("keyboard.js");

/// Looks at the page from a desk and from a phone, light and dark, and leaves a picture of each width.
pub(crate) async fn at(tab: &Tab, name: &str) {
    for size in WIDTHS {
        tab.size(size).await;
        for scheme in ["dark", "light"] {
            tab.colours(scheme).await;
            assert_eq!(complaints(tab).await, json!([]), "{name} at {} {scheme}", size.0);
            let suffix = if scheme == "dark" { "-dark" } else { "" };
            tab.picture(&format!("{name}-{}{suffix}", size.0), size).await;
        }
    }
    tab.size(WIDTHS[0]).await;
}

/// Goes through the page with the Tab key: everything that can be used is reached, and seen to be reached.
pub(crate) async fn by_keyboard(tab: &Tab, name: &str) {
    assert_eq!(lost_focus(tab).await, json!([]), "{name}");
}

/// What is wrong with how the page looks now.
pub(crate) async fn complaints(tab: &Tab) -> Value {
    tab.eval(LOOKS).await
}

/// What the Tab key does not reach, or reaches without anybody seeing it.
pub(crate) async fn lost_focus(tab: &Tab) -> Value {
    for _ in 0..200 {
        tab.press("Tab").await;
        let mut state = tab.eval(KEYBOARD).await;
        if state != "on" {
            return state["end"].take();
        }
    }
    panic!("the focus never comes to an end");
}
