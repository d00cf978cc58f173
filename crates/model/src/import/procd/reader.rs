//! Goes through a script as the shell would, as far as everything is known.

mod parameter;
mod values;

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::super::Remarks;
use super::super::script::{self, Piece, Word as Made};
use super::super::shell::{Item, Kind, Word};
use super::instance::{Instance, Unknown};
use crate::limits::{IMPORT_DEPTH_MAX, IMPORT_STEPS_MAX};
use crate::service::signal;

/// What a variable holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Known(String),
    /// What the configuration would say is not known; this is said where it says nothing.
    Default(String),
    /// The name of an [`Unknown`].
    Unknown(String),
}

/// Whether the commands behind are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    On,
    Returned,
}

pub(super) struct Reader<'a> {
    pub file: &'a str,
    pub remarks: Remarks,
    pub functions: BTreeMap<&'a str, (u32, &'a [Item])>,
    variables: BTreeMap<String, Value>,
    pub unknown: Vec<Unknown>,
    pub instances: Vec<Instance>,
    open: Option<Instance>,
    /// Lines for the shell that stand before every instance.
    pub before: Vec<String>,
    /// Whether commands count: not at the top of the script, which every call of it goes through.
    starting: bool,
    /// Whether something that stays is started.
    stays: bool,
    depth: usize,
    steps: usize,
}

/// What OpenWrt's own functions begin with.
const HELPERS: [&str; 16] = [
    "config_",
    "uci",
    "procd_",
    "json_",
    "network_",
    "validate_",
    "service_",
    "xappend",
    "board_",
    "ubus",
    "list_contains",
    "extra_",
    "start-stop-daemon",
    "fw3",
    "fw4",
    "rc_",
];

impl<'a> Reader<'a> {
    pub fn new(file: &'a str, remarks: Remarks) -> Self {
        Self {
            file,
            remarks,
            functions: BTreeMap::new(),
            variables: BTreeMap::new(),
            unknown: Vec::new(),
            instances: Vec::new(),
            open: None,
            before: Vec::new(),
            starting: false,
            stays: false,
            depth: 0,
            steps: 0,
        }
    }

    pub fn is_set(&self, name: &str) -> bool {
        matches!(self.variables.get(name), Some(Value::Known(text)) if text == "1")
    }

    /// Goes through what stands outside of functions.
    pub fn top(&mut self, items: &'a [Item]) {
        self.starting = false;
        self.run(items);
        if let Some(Value::Known(order)) = self.variables.get("START") {
            let what = alloc::format!(
                "START={order}: a number is no need: write what it needs into dependencies.d"
            );
            self.remarks.otherwise((self.file, 0), what);
        }
    }

    /// Goes through the function that starts.
    pub fn start(&mut self, name: &str) {
        self.starting = true;
        let Some((_, body)) = self.functions.get(name).copied() else { return };
        self.stays = self.matters(body, 0);
        self.run(body);
        self.close();
    }

    /// What the function `stop` of a script without procd does.
    pub fn stop(&mut self) -> Vec<String> {
        let before = core::mem::take(&mut self.before);
        self.start("stop");
        core::mem::replace(&mut self.before, before)
    }

    /// Functions that the system calls, other than that which starts; the signal that reloads.
    pub fn other_functions(&mut self, procd: bool) -> Option<u8> {
        let mut reload = None;
        let known: &[&str] = match procd {
            true => &[
                "boot",
                "stop_service",
                "reload_service",
                "service_triggers",
                "service_started",
                "service_stopped",
                "service_running",
                "service_data",
                "shutdown",
                "status_service",
            ],
            false => &["boot", "reload", "restart", "shutdown"],
        };
        for name in known {
            let Some((line, body)) = self.functions.get(name).copied() else { continue };
            let mut left = 0;
            for item in body {
                match sent(item) {
                    Some(number) if *name == "reload_service" => reload = Some(number),
                    _ if is_again(item) => {}
                    _ => left += 1,
                }
            }
            let what = match *name {
                _ if left == 0 => continue,
                "service_triggers" => {
                    "service_triggers: nothing here reloads it when its configuration changes"
                        .into()
                }
                name => alloc::format!("{name}: what is done there"),
            };
            self.remarks.left_out((self.file, line), what);
        }
        reload
    }

    fn left_out(&mut self, item: &Item, why: &str) {
        let mut lines = item.raw.lines();
        let mut shown: String = lines.next().unwrap_or_default().trim().chars().take(120).collect();
        if lines.next().is_some() {
            shown.push_str(" …");
        }
        let colon = if why.is_empty() { "" } else { ": " };
        self.remarks.left_out((self.file, item.line), alloc::format!("{shown}{colon}{why}"));
    }

    fn close(&mut self) {
        self.instances.extend(self.open.take());
    }

    fn run(&mut self, items: &'a [Item]) -> Flow {
        self.depth += 1;
        let mut flow = Flow::On;
        for item in items {
            self.steps += 1;
            if self.depth > IMPORT_DEPTH_MAX || self.steps > IMPORT_STEPS_MAX {
                if self.steps <= IMPORT_STEPS_MAX + 1 {
                    self.left_out(item, "the script calls itself for too long");
                }
                self.steps = self.steps.max(IMPORT_STEPS_MAX + 1);
                break;
            }
            flow = self.item(item);
            if flow == Flow::Returned {
                break;
            }
        }
        self.depth -= 1;
        flow
    }

    fn item(&mut self, item: &'a Item) -> Flow {
        match &item.kind {
            Kind::Simple { assignments, words, redirected } => {
                if words.is_empty() {
                    for (name, word) in assignments {
                        self.assign(name, word, item);
                    }
                    return Flow::On;
                }
                if !assignments.is_empty() || *redirected {
                    self.plain(item);
                    return Flow::On;
                }
                self.simple(item, words)
            }
            Kind::Chain(parts) => self.chain(item, parts),
            Kind::If { condition, then, otherwise } => {
                self.branch(item, condition, then, otherwise)
            }
            Kind::Group(items) => self.run(items),
            Kind::Function { name, body } => {
                self.functions.insert(name, (item.line, body));
                Flow::On
            }
            Kind::Other(items) if self.matters(items, 0) => {
                self.left_out(item, "it is gone through once");
                self.run(items);
                Flow::On
            }
            Kind::Other(_) => {
                self.plain(item);
                Flow::On
            }
        }
    }

    fn branch(
        &mut self,
        item: &'a Item,
        condition: &[Item],
        then: &'a [Item],
        otherwise: &'a [Item],
    ) -> Flow {
        let known = match condition {
            [Item { kind: Kind::Simple { words, .. }, .. }] => self.test(words),
            _ => None,
        };
        match known {
            Some(true) => self.run(then),
            Some(false) => self.run(otherwise),
            None if self.matters(then, 0) => {
                self.left_out(item, "the condition is taken to hold");
                self.run(then);
                Flow::On
            }
            None if self.matters(otherwise, 0) => {
                self.left_out(item, "the condition is taken not to hold");
                self.run(otherwise);
                Flow::On
            }
            None => {
                self.plain(item);
                Flow::On
            }
        }
    }

    fn chain(&mut self, item: &'a Item, parts: &'a [(&'static str, Item)]) -> Flow {
        if parts.iter().any(|(sign, _)| *sign == "|") {
            self.plain(item);
            return Flow::On;
        }
        // The last result, as long as it is known.
        let mut good = Some(true);
        for (sign, part) in parts {
            let reached = match (*sign, good) {
                ("&&", Some(false)) | ("||", Some(true)) => continue,
                (_, Some(_)) => true,
                _ => false,
            };
            if !reached {
                self.plain(item);
                return Flow::On;
            }
            good = match &part.kind {
                Kind::Simple { words, .. } if is_test(words) => {
                    let known = self.test(words);
                    if known.is_none() && !self.is_known(words) {
                        // The value decides, and nobody knows it.
                        let only_ends = parts.iter().skip(1).all(|(_, part)| ends(part));
                        let why = if only_ends {
                            "it is taken to go on"
                        } else {
                            "it depends on a value that is known only there"
                        };
                        self.left_out(item, why);
                        return Flow::On;
                    }
                    known
                }
                Kind::Simple { words, .. }
                    if words.first().is_some_and(|word| word.raw == "false") =>
                {
                    Some(false)
                }
                // What is a program may fail, and only a machine knows.
                Kind::Simple { words, .. } if self.is_program(words) => None,
                _ => {
                    if self.item(part) == Flow::Returned {
                        return Flow::Returned;
                    }
                    Some(true)
                }
            };
            if good.is_none() {
                self.plain(item);
                return Flow::On;
            }
        }
        Flow::On
    }

    /// Whether an instance is opened, or its command said, in there.
    fn matters(&self, items: &[Item], depth: usize) -> bool {
        let deep = depth > 8;
        !deep
            && items.iter().any(|item| match &item.kind {
                Kind::Simple { words, .. } => words.iter().take(2).any(|word| {
                    word.raw == "procd_open_instance"
                        || self
                            .functions
                            .get(word.raw.as_str())
                            .is_some_and(|(_, body)| self.matters(body, depth + 4))
                }),
                Kind::Chain(parts) => parts
                    .iter()
                    .any(|(_, part)| self.matters(core::slice::from_ref(part), depth + 1)),
                Kind::If { then, otherwise, .. } => {
                    self.matters(then, depth + 1) || self.matters(otherwise, depth + 1)
                }
                Kind::Group(items) | Kind::Other(items) => self.matters(items, depth + 1),
                Kind::Function { .. } => false,
            })
    }

    /// A program of the device, and none of this script's or of OpenWrt's own functions.
    fn is_program(&self, words: &[Word]) -> bool {
        let Some(name) = words.first().map(|word| word.raw.as_str()) else { return false };
        let own = [
            "return",
            "exit",
            "local",
            "export",
            "readonly",
            "true",
            ":",
            "append",
            "append_bool",
            "set",
            "shift",
            "eval",
            ".",
        ];
        !own.contains(&name)
            && !self.functions.contains_key(name)
            && !HELPERS.iter().any(|helper| name.starts_with(helper))
            && !name.contains(['$', '`'])
    }

    /// A command that is run as it was written, where everything in it is known; else left out.
    fn plain(&mut self, item: &Item) {
        if !self.starting {
            return self.left_out(item, "it is not within a function that starts something");
        }
        if let Some(line) = self.carried(item) {
            self.before.push(line);
        } else {
            self.left_out(item, "only OpenWrt's shell can do it");
        }
    }

    /// It, with what is known filled in.
    fn carried(&mut self, item: &Item) -> Option<String> {
        match &item.kind {
            Kind::Simple { assignments, words, redirected } => {
                if *redirected || !assignments.is_empty() {
                    let whole = !item.raw.contains(['$', '`', '\n']) && self.is_program(words);
                    return whole.then(|| item.raw.clone());
                }
                if let [word, rest @ ..] = &words[..]
                    && (word.raw == "return" || word.raw == "exit")
                {
                    let zero = rest.first().is_some_and(|code| code.raw == "0");
                    return Some(match (self.stays, zero) {
                        // Not to be started again: see `finish`.
                        (true, _) => "exit 125".into(),
                        (false, true) => "exit 0".into(),
                        (false, false) => "exit 1".into(),
                    });
                }
                if !self.is_program(words) {
                    return None;
                }
                let made = self.words(words, item);
                // What is not known yet would stop the start.
                let known = made.iter().flatten().all(|piece| matches!(piece, Piece::Text(_)));
                known.then(|| script::words(&made))
            }
            Kind::Chain(parts) => {
                let mut text = String::new();
                for (sign, part) in parts {
                    if !sign.is_empty() {
                        text.push_str(&alloc::format!(" {sign} "));
                    }
                    text.push_str(&self.carried(part)?);
                }
                Some(text)
            }
            _ => None,
        }
    }

    fn simple(&mut self, item: &'a Item, words: &'a [Word]) -> Flow {
        let name = words[0].raw.as_str();
        let rest = &words[1..];
        match name {
            "return" | "exit" => return Flow::Returned,
            "true" | ":" | "set" | "shift" => {}
            "." if rest
                .first()
                .is_some_and(|file| file.raw.contains("/lib/") || file.raw.contains("jshn")) => {}
            "local" | "export" | "readonly" => {
                for word in rest {
                    let found = word.raw.split_once('=').map(|(name, _)| name.to_string());
                    match found {
                        Some(name) if script::is_variable(&name) => {
                            let value = self.behind(word, name.len() + 1);
                            self.assign(&name, &value, item);
                        }
                        _ => drop(
                            self.variables.insert(word.raw.clone(), Value::Known(String::new())),
                        ),
                    }
                }
            }
            "append" if rest.len() >= 2 => {
                let (target, value) = (rest[0].raw.clone(), self.value(&rest[1], item));
                let joined = match (self.lookup(&target, None), value) {
                    (Value::Known(old), Value::Known(new)) if old.is_empty() => Value::Known(new),
                    (Value::Known(old), Value::Known(new)) => {
                        Value::Known(alloc::format!("{old} {new}"))
                    }
                    _ => self.unknown_as(&target, item, &item.raw),
                };
                self.variables.insert(target, joined);
            }
            "config_load" => {}
            "config_get" | "config_get_bool" if rest.len() >= 3 => {
                let target = rest[0].raw.clone();
                let value = match rest.get(3) {
                    Some(default) => {
                        let text = self.text(default, item).unwrap_or_default();
                        let what = alloc::format!(
                            "{}: it is {text:?} here, whatever the configuration says",
                            item.raw
                        );
                        self.remarks.otherwise((self.file, item.line), what);
                        Value::Default(text)
                    }
                    None if script::is_variable(&target) => {
                        self.unknown_as(&target, item, &item.raw)
                    }
                    None => self.unknown(item, &item.raw),
                };
                self.variables.insert(target, value);
            }
            "config_foreach" | "config_list_foreach" => {
                let called =
                    rest.first().and_then(|word| self.functions.get(word.raw.as_str())).copied();
                let Some((_, body)) = called else {
                    self.left_out(item, "");
                    return Flow::On;
                };
                self.left_out(
                    item,
                    "it is gone through once, for a section whose name is not known",
                );
                let section = self.unknown_as("section", item, "the name of a section");
                self.variables.insert("1".into(), section);
                self.run(body);
                self.close();
            }
            "procd_open_instance" => {
                self.close();
                let name = rest.first().and_then(|word| match self.value(word, item) {
                    Value::Known(text) | Value::Default(text) if !text.is_empty() => Some(text),
                    _ => None,
                });
                self.open = Some(Instance { line: item.line, name, ..Instance::default() });
            }
            "procd_close_instance" => self.close(),
            "procd_set_param" | "procd_append_param" => {
                self.parameter(item, rest, name == "procd_append_param")
            }
            _ => {
                let called = self.functions.get(name).copied();
                let Some((_, body)) = called else {
                    self.plain(item);
                    return Flow::On;
                };
                // Its arguments are numbers while it runs.
                let old: Vec<(String, Value)> =
                    (1..10).filter_map(|at| self.variables.remove_entry(&at.to_string())).collect();
                for (at, word) in (1..10).zip(rest) {
                    let value = self.value(word, item);
                    self.variables.insert(at.to_string(), value);
                }
                self.run(body);
                for at in 1..10 {
                    self.variables.remove(&at.to_string());
                }
                self.variables.extend(old);
            }
        }
        Flow::On
    }
}

/// `return` and `exit`, in braces or not.
fn ends(item: &Item) -> bool {
    match &item.kind {
        Kind::Simple { words, .. } => {
            words.first().is_some_and(|word| ["return", "exit"].contains(&word.raw.as_str()))
        }
        Kind::Group(items) => items.last().is_some_and(ends),
        _ => false,
    }
}

fn is_test(words: &[Word]) -> bool {
    words.first().is_some_and(|word| word.raw == "[" || word.raw == "test")
}

/// The signal of a `procd_send_signal NAME [INSTANCE [SIGNAL]]`.
fn sent(item: &Item) -> Option<u8> {
    let Kind::Simple { words, .. } = &item.kind else { return None };
    let [name, _, rest @ ..] = &words[..] else { return None };
    if name.raw != "procd_send_signal" {
        return None;
    }
    match rest.get(1) {
        Some(number) => signal::parse(&number.raw),
        None => Some(1),
    }
}

/// `stop`, `start` and `restart`: what is done here anyway.
fn is_again(item: &Item) -> bool {
    let Kind::Simple { words, .. } = &item.kind else { return false };
    words.first().is_some_and(|word| {
        ["stop", "start", "restart", "return", "rc_procd", "true", ":"].contains(&word.raw.as_str())
    })
}
