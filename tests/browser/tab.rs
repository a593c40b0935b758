//! What a person does in front of a page: goes somewhere, clicks, types, reads; and pictures of what they see.

use std::path::Path;

use base64::Engine;
use serde_json::{Value, json};

use crate::chromium::Chromium;
use crate::harness::eventually;

/// The widths at which every page is looked at: a desk and a phone.
pub(crate) const WIDTHS: [(u32, u32); 2] = [(1280, 900), (390, 844)];

pub(crate) struct Tab {
    chromium: Chromium,
    origin: String,
}

impl Tab {
    /// A browser of its own that knows no session.
    pub(crate) async fn open(origin: String) -> Tab {
        let tab = Tab { chromium: Chromium::start(&origin).await, origin };
        tab.colours("light").await;
        tab.size(WIDTHS[0]).await;
        tab
    }

    pub(crate) async fn close(self) {
        self.chromium.close().await;
    }

    pub(crate) async fn size(&self, (width, height): (u32, u32)) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.chromium.order("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Light or dark; nothing moves, so that a picture is of the finished page.
    pub(crate) async fn colours(&self, scheme: &str) {
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.chromium.order("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// Asks for a page by its address and waits until it has settled at `path`, which may be another one.
    pub(crate) async fn go(&self, address: &str, path: &str) {
        self.chromium.order("Page.navigate", json!({ "url": format!("{}{address}", self.origin) })).await;
        self.settled(path).await;
    }

    /// Goes back to the page before, which may lead to another one.
    pub(crate) async fn back(&self, path: &str) {
        let history = self.chromium.order("Page.getNavigationHistory", json!({})).await;
        let before = history["currentIndex"].as_u64().and_then(|at| usize::try_from(at).ok()?.checked_sub(1));
        let entry = &history["entries"][before.expect("a page before this one")]["id"];
        self.eval("window.isOld = true").await;
        self.chromium.order("Page.navigateToHistoryEntry", json!({ "entryId": entry })).await;
        self.until("!window.isOld").await;
        self.settled(path).await;
    }

    /// Waits until the page of this path is there and all its panels have what they show.
    pub(crate) async fn settled(&self, path: &str) {
        let there = format!(
            "location.pathname === {} && document.readyState === 'complete' && !document.querySelector('[aria-busy], .bone')",
            json!(path)
        );
        self.until(&there).await;
    }

    /// Waits until this expression holds. A page on its way out is asked again.
    pub(crate) async fn until(&self, condition: &str) {
        eventually(condition, async || (self.try_eval(condition).await? == true).then_some(())).await;
    }

    pub(crate) async fn eval(&self, script: &str) -> Value {
        self.try_eval(script).await.unwrap_or_else(|| panic!("the page went away, or can't say: {script}"))
    }

    async fn try_eval(&self, script: &str) -> Option<Value> {
        let ask = json!({ "expression": script, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.chromium.try_order("Runtime.evaluate", ask).await.ok()?;
        match answer.get("exceptionDetails") {
            Some(_) => None,
            None => Some(answer["result"]["value"].take()),
        }
    }

    /// Clicks with the mouse on what stands there, as seen: what is covered gets no click.
    pub(crate) async fn click(&self, selector: &str) {
        let place = format!(
            "(() => {{ const node = document.querySelector({0}); if (!node) return null; node.scrollIntoView({{ block: 'center' }}); \
             const box = node.getBoundingClientRect(); const [x, y] = [box.x + box.width / 2, box.y + box.height / 2]; \
             const top = document.elementFromPoint(x, y); return node.contains(top) || top?.contains(node) ? [x, y] : null; }})()",
            json!(selector)
        );
        let place = eventually(selector, async || self.try_eval(&place).await.filter(Value::is_array)).await;
        for kind in ["mousePressed", "mouseReleased"] {
            let mouse = json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
            self.chromium.order("Input.dispatchMouseEvent", mouse).await;
        }
    }

    /// Types into a field in place of what stands there.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        self.click(selector).await;
        self.eval(&format!("document.querySelector({}).select?.()", json!(selector))).await;
        self.chromium.order("Input.insertText", json!({ "text": text })).await;
    }

    /// Chooses an entry of a list by its words.
    pub(crate) async fn choose(&self, selector: &str, words: &str) {
        let choose = format!(
            "(() => {{ const list = document.querySelector({}); const entry = [...list.options].find((one) => one.text === {}); \
             if (entry) {{ list.value = entry.value; list.dispatchEvent(new Event('change')); }} return !!entry; }})()",
            json!(selector),
            json!(words)
        );
        self.until(&choose).await;
    }

    /// Waits until these words can be read.
    pub(crate) async fn reads(&self, words: &str) {
        self.until(&format!("document.body.innerText.replace(/\\s+/g, ' ').includes({})", json!(words))).await;
    }

    pub(crate) async fn press(&self, key: &str) {
        let code = if key == "Enter" { 13 } else { 9 };
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let press = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text });
            self.chromium.order("Input.dispatchKeyEvent", press).await;
        }
    }

    /// Everything that can be read on the page, fields included, with single spaces.
    pub(crate) async fn text(&self) -> String {
        let words = "[document.body.innerText, ...[...document.querySelectorAll('input, textarea')].map((field) => field.value)]";
        let text = self.eval(&format!("{words}.join(' ').replace(/\\s+/g, ' ')")).await;
        format!(" {} ", text.as_str().unwrap_or_default())
    }

    /// A picture of the whole page, in a window as high as it is: what is fixed to its edges covers nothing.
    pub(crate) async fn picture(&self, name: &str, (width, height): (u32, u32)) {
        let whole = self.eval("document.documentElement.scrollHeight").await.as_u64().expect("a height");
        self.size((width, height.max(u32::try_from(whole).expect("a page")))).await;
        self.eval("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))").await;
        let shot = self.chromium.order("Page.captureScreenshot", json!({})).await;
        let picture = base64::engine::general_purpose::STANDARD
            .decode(shot["data"].as_str().expect("a picture"))
            .expect("the protocol sends base64");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/browser");
        std::fs::create_dir_all(&folder).expect("a folder for pictures");
        std::fs::write(folder.join(format!("{name}.png")), picture).expect("a file of our own");
        self.size((width, height)).await;
    }

    /// What went wrong since the last time this was asked.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.chromium.problems()
    }

    /// What went wrong until now is known.
    pub(crate) fn forget(&self) {
        drop(self.problems());
    }

    /// Fails unless exactly this went wrong since the last time it was asked, in any order.
    pub(crate) fn went_wrong(&self, place: &str, expected: &[&str]) {
        let mut problems = self.problems();
        problems.sort();
        assert_eq!(problems, expected, "{place}");
    }
}
