//! What Nix prints: progress in short, and mistakes as one would tell them.

use cli::Failure;

/// Listens to what Nix prints on its standard error.
#[derive(Default)]
pub struct Messages {
    /// From the first `error:` on.
    errors: Vec<String>,
    /// What builders have said and what is no part of Nix's own messages.
    said: Vec<String>,
    in_list: bool,
}

impl Messages {
    /// Takes a line, and gives what of it is to be shown at once.
    pub fn hear(&mut self, line: &str) -> Option<String> {
        let is_listed = self.in_list && line.starts_with("  /");
        self.in_list = is_listed || line.ends_with("will be built:");
        if self.in_list || line.starts_with("warning: dumping very large path") {
            return None;
        }
        if !self.errors.is_empty() || line.starts_with("error: ") {
            self.errors.push(line.to_owned());
            return None;
        }
        if let Some(path) = line.strip_prefix("building '") {
            let path = path.trim_end_matches('.').trim_end_matches('\'');
            return Some(format!("building {}", name(path)));
        }
        let line = line.strip_prefix("doorward: ").unwrap_or(line);
        self.said.push(line.to_owned());
        None
    }

    /// Why it failed.
    pub fn failure(&self) -> Failure {
        let mut lines: Vec<&str> = Vec::new();
        let mut builders = false;
        for line in &self.errors {
            let text = line.strip_prefix("error: ").unwrap_or(line);
            if text.starts_with("builder for '") || text.contains("dependencies of derivation") {
                // The builder has said it better.
                builders = true;
            } else if !text.starts_with("(use '--show-trace'") {
                // Nix indents what follows the first line.
                lines.push(text.strip_prefix("       ").unwrap_or(text));
            }
        }
        if builders || lines.is_empty() {
            lines.extend(self.said.iter().map(String::as_str));
        }
        if lines.iter().all(|line| line.trim().is_empty()) {
            lines = self.errors.iter().map(String::as_str).collect();
        }
        let text = lines.join("\n");
        let failure = Failure::not_achieved(text.trim());
        match text.contains("sandbox") || text.contains("namespace") {
            true => failure.hint(
                "builds run in namespaces; where the system forbids them, `--option sandbox false` \
                 does without (as root, with /nix as the store)",
            ),
            false => failure,
        }
    }
}

/// The name in a store path, without hash and `.drv`.
fn name(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    let file = file.strip_suffix(".drv").unwrap_or(file);
    file.split_once('-').map_or(file, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(text: &str) -> (Vec<String>, String) {
        let mut messages = Messages::default();
        let shown = text.lines().filter_map(|line| messages.hear(line)).collect();
        (shown, messages.failure().message)
    }

    #[test]
    fn a_builder_that_failed_is_told_by_what_it_said() {
        let (shown, why) = heard(
            "these 2 derivations will be built:\n  /nix/store/aaa-gw-services.drv\n  \
             /nix/store/bbb-gw-system.drv\nbuilding '/nix/store/aaa-gw-services.drv'...\n\
             doorward: the service `a`, producer-for: there is no service b\n  did you mean a?\n\
             error: builder for '/nix/store/aaa-gw-services.drv' failed with exit code 1\n\
             error: 1 dependencies of derivation '/nix/store/bbb-gw-system.drv' failed to build\n",
        );
        assert_eq!(shown, ["building gw-services"]);
        assert_eq!(why, "the service `a`, producer-for: there is no service b\n  did you mean a?");
    }

    #[test]
    fn a_mistake_in_an_expression_keeps_its_place() {
        let (shown, why) = heard(
            "error: attribute 'shh' missing\n\n       at /c.nix:2:18:\n\n            1| {\n\
             (use '--show-trace' to show detailed location information)\n",
        );
        assert_eq!(shown, [""; 0]);
        assert_eq!(why, "attribute 'shh' missing\n\nat /c.nix:2:18:\n\n     1| {");
    }
}
