//! Debian's Chromium without a screen, told what to do over a pipe (the DevTools protocol, an object and
//! a zero byte each way).

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::{Folder, wait_for};

/// The program: the small one, or the whole; `None` where neither is installed.
pub fn program() -> Option<&'static Path> {
    ["/usr/bin/chromium-headless-shell", "/usr/bin/chromium"]
        .into_iter()
        .map(Path::new)
        .find(|path| path.exists())
}

pub struct Browser {
    child: Child,
    orders: ChildStdin,
    news: BufReader<ChildStdout>,
    number: u64,
    session: Option<String>,
    /// What pages have complained about.
    pub complaints: Vec<String>,
    _folder: Folder,
}

impl Browser {
    /// With an empty page, as wide and high as told.
    pub fn start(width: u32, height: u32) -> Self {
        let program = program().unwrap_or_else(|| {
            panic!("chromium is missing; `./setup` installs it, or says why it cannot")
        });
        let folder = Folder::new("browser");
        let mut command = Command::new("/bin/sh");
        // It speaks on 3 and 4.
        command.args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "sh"]).arg(program);
        command.args(["--headless", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu"]);
        command.args(["--disable-background-networking", "--disable-dev-shm-usage"]);
        command.args(["--disable-component-update", "--hide-scrollbars"]);
        // What it shows is this project's own, and root has no sandbox.
        command.arg("--no-sandbox").arg(format!("--user-data-dir={}", folder.path().display()));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sh");
        let orders = child.stdin.take().expect("it is piped");
        let news = BufReader::new(child.stdout.take().expect("it is piped"));
        let (number, session, complaints) = (0, None, Vec::new());
        let mut browser =
            Self { child, orders, news, number, session, complaints, _folder: folder };
        let made = browser.ask("Target.createTarget", json!({ "url": "about:blank" }));
        let target = made["targetId"].as_str().expect("it has a name").to_owned();
        let words = json!({ "targetId": target, "flatten": true });
        let session = browser.ask("Target.attachToTarget", words)["sessionId"].clone();
        browser.session = Some(session.as_str().expect("it has a name").to_owned());
        for what in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.ask(what, json!({}));
        }
        browser.size(width, height);
        browser
    }

    /// As a telephone with such a screen shows pages.
    pub fn size(&mut self, width: u32, height: u32) {
        let words = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": true,
        });
        self.ask("Emulation.setDeviceMetricsOverride", words);
    }

    /// Whether dark pages are preferred.
    pub fn dark(&mut self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": value }]);
        self.ask("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// Whether scripts of pages run.
    pub fn scripts(&mut self, run: bool) {
        self.ask("Emulation.setScriptExecutionDisabled", json!({ "value": !run }));
    }

    /// Goes to a page, and waits until it is there.
    pub fn go(&mut self, url: &str) {
        let went = self.ask("Page.navigate", json!({ "url": url }));
        assert!(went["errorText"].is_null(), "{url}: {went}");
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'");
    }

    /// What an expression is on the page.
    pub fn value(&mut self, expression: &str) -> Value {
        let words =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut found = self.ask("Runtime.evaluate", words);
        // While a page goes, nothing can be asked of it.
        found["result"]["value"].take()
    }

    /// Waits until an expression is true.
    pub fn wait(&mut self, expression: &str) {
        wait_for(expression, crate::page::PATIENCE, || {
            let is = self.value(expression) == true;
            if !is {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            is.then_some(())
        });
    }

    /// The picture of a page, a PNG, as high as told.
    pub fn picture(&mut self, width: u32, height: u32) -> Vec<u8> {
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
        let words = json!({ "format": "png", "clip": clip, "captureBeyondViewport": true });
        let taken = self.ask("Page.captureScreenshot", words);
        let text = taken["data"].as_str().expect("a picture");
        model::deploy::base64::decode(text).expect("it is base64")
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.number += 1;
        let mut order = json!({ "id": self.number, "method": method, "params": params });
        if let Some(session) = &self.session {
            order["sessionId"] = json!(session);
        }
        let mut bytes = order.to_string().into_bytes();
        bytes.push(0);
        self.orders.write_all(&bytes).expect("the browser runs");
        loop {
            let mut bytes = Vec::new();
            self.news.read_until(0, &mut bytes).expect("a pipe");
            assert_eq!(bytes.pop(), Some(0), "the browser has ended");
            let news: Value = serde_json::from_slice(&bytes).expect("it speaks JSON");
            match news["method"].as_str() {
                Some("Log.entryAdded") => self.complaints.push(news["params"]["entry"].to_string()),
                Some("Runtime.exceptionThrown") => self.complaints.push(news["params"].to_string()),
                _ => {}
            }
            if news["id"] == self.number {
                assert!(news["error"].is_null(), "{method}: {news}");
                return news["result"].clone();
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
