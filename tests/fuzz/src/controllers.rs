//! What the kernel says of devices, and what controllers are told.

use model::controller::device_event::{DeviceEvent, Properties, changed_links, is_device_path};
use model::controller::pattern::Pattern;
use model::controller::rule::{self, Look};
use model::controller::uplink;

// A controller that runs as root reads these, and whoever is root of a namespace may send them.
pub fn device_event(bytes: &[u8]) {
    if let Some(event) = DeviceEvent::read(bytes) {
        assert!(is_device_path(event.path));
        assert!(event.old_path.is_none_or(is_device_path));
    }
    for name in changed_links(bytes) {
        assert!(!name.is_empty() && !name.contains(&b'/'));
    }
    for (name, _) in Properties::of_file(bytes).iter() {
        assert!(!name.is_empty());
    }
}

// The compiler reads what people write, and a controller what it made of it.
pub fn device_rule(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (own, rest) = text.split_once("\n\n").unwrap_or(("", text));
    let (first, second) = rest.split_once("\n\n").unwrap_or((rest, rest));
    let _ = uplink::parse(own, &[("first", first), ("second", second)]);
    let rules = rule::parse(own, &[("first", first)]);
    if let Ok(rules) = rules {
        let rule = &rules.rules[0];
        assert!(!rule.alternatives.is_empty(), "it would match nothing, or all");
        rule.matches(&mut Everything(second.as_bytes()));
    }
    if let Ok(pattern) = Pattern::parse(first) {
        pattern.matches(second.as_bytes());
        if let Some(literal) = pattern.literal() {
            assert!(pattern.matches(literal.as_bytes()));
        }
    }
}

/// A device of which everything is the same.
struct Everything<'a>(&'a [u8]);

impl Look for Everything<'_> {
    fn path(&self) -> &[u8] {
        self.0
    }
    fn subsystem(&mut self) -> Option<&[u8]> {
        Some(self.0)
    }
    fn property(&mut self, _name: &str) -> Option<&[u8]> {
        Some(self.0)
    }
    fn attribute(&mut self, _name: &str) -> Option<&[u8]> {
        Some(self.0)
    }
    fn parent_attribute(&mut self, _name: &str, fits: &dyn Fn(&[u8]) -> bool) -> bool {
        fits(self.0)
    }
}
