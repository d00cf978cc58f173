//! `procd_set_param` and `procd_append_param`.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::super::super::script::{self, Piece};
use super::super::super::shell::{Item, Part, Word};
use super::super::super::unit;
use super::super::instance::Instance;
use super::{Made, Reader};
use crate::service::signal;

impl Reader<'_> {
    /// A word from this byte of its first text on.
    pub(super) fn behind(&self, word: &Word, from: usize) -> Word {
        let mut word = word.clone();
        if let Some(Part::Text(text)) = word.parts.first_mut() {
            *text = text.get(from..).unwrap_or_default().into();
        }
        word.raw = word.raw.get(from..).unwrap_or_default().into();
        word
    }

    pub(super) fn parameter(&mut self, item: &Item, words: &[Word], append: bool) {
        let [kind, words @ ..] = words else { return };
        let Some(mut instance) = self.open.take() else {
            self.left_out(item, "no instance is open");
            return;
        };
        let one = words.first();
        match kind.raw.as_str() {
            "command" => {
                let made = self.words(words, item);
                if !append {
                    instance.command.clear();
                }
                instance.command.extend(made);
            }
            "env" => {
                for word in words {
                    let found = word.raw.trim_start_matches('"').split_once('=');
                    match found.map(|(name, _)| name.to_string()) {
                        Some(name) if script::is_variable(&name) => {
                            let value = self.behind(word, name.len() + 1);
                            let value = self.words(&[Word { quoted: true, ..value }], item);
                            let value = joined(value);
                            instance.environment.push((name, value));
                        }
                        _ => self.left_out(item, "what is set is known only there"),
                    }
                }
            }
            "respawn" => {
                let mut numbers = [3600, 5, 5];
                for (number, word) in numbers.iter_mut().zip(words) {
                    match self.text(word, item).map(|text| text.parse()) {
                        Some(Ok(found)) => *number = found,
                        _ => self.left_out(item, "the numbers are not known: 3600 5 5"),
                    }
                }
                instance.respawn = Some((numbers[0], numbers[1], numbers[2]));
            }
            "user" => {
                instance.user =
                    one.map(|word| joined(self.words(core::slice::from_ref(word), item)))
            }
            "group" => {
                instance.group =
                    one.map(|word| joined(self.words(core::slice::from_ref(word), item)))
            }
            "pidfile" => {
                instance.pid_file =
                    one.map(|word| joined(self.words(core::slice::from_ref(word), item)))
            }
            "nice" => {
                instance.nice =
                    one.map(|word| joined(self.words(core::slice::from_ref(word), item)))
            }
            "term_timeout" => {
                match one.and_then(|word| self.text(word, item)).map(|text| text.parse()) {
                    Some(Ok(seconds)) => instance.term_timeout = Some(seconds),
                    _ => self.left_out(item, "the number is not known"),
                }
            }
            "reload_signal" => {
                match one.and_then(|word| self.text(word, item)).map(|text| signal::parse(&text)) {
                    Some(Some(number)) => instance.reload_signal = Some(number),
                    _ => self.left_out(item, "there is no such signal"),
                }
            }
            "limits" => {
                for word in words {
                    if !self.limit(&mut instance, word, item) {
                        self.left_out(item, "a shell cannot set it");
                    }
                }
            }
            // All output goes into the log, and settings count as part of the service anyway.
            "stdout" | "stderr" | "facility" => {}
            "file" | "netdev" | "data" => {
                self.left_out(item, "nothing here looks whether it has changed");
            }
            _ => self.left_out(item, ""),
        }
        instance.user = instance.user.filter(|user| !user.is_empty());
        self.open = Some(instance);
    }

    /// `nofile="4096 8192"`
    fn limit(&mut self, instance: &mut Instance, word: &Word, item: &Item) -> bool {
        let Some(text) = self.text(word, item) else { return false };
        let Some((name, values)) = text.split_once('=') else { return false };
        let name = name.to_ascii_uppercase();
        let mut read = values.split_ascii_whitespace().map(|value| match value {
            "unlimited" => Some(None),
            value => unit::size(value),
        });
        let Some(soft) = read.next().flatten() else { return false };
        let hard = read.next().unwrap_or(Some(soft));
        let Some(hard) = hard else { return false };
        let can = script::limit(&name, soft, hard).is_some();
        if can {
            instance.limits.push((name, soft, hard));
        }
        can
    }
}

/// Words as one.
fn joined(words: Vec<Made>) -> Made {
    let mut all = Made::new();
    for word in words {
        if !all.is_empty() {
            all.push(Piece::Text(" ".into()));
        }
        all.extend(word);
    }
    all
}
