//! A man page from a `Command`, in the `man` macros that every formatter knows.

use std::fmt::Write;

use cli::{Command, Opt};

/// What its page is called: what is no name of s6's stands behind `ward-`, so
/// that nobody's page of `reboot` is hidden.
pub fn page_name(command: &Command) -> String {
    let prefix = if command.name.starts_with("s6-") { "" } else { "ward-" };
    format!("{prefix}{}", command.name)
}

/// The page of one applet.
pub fn page(command: &Command) -> String {
    let mut text = head(&page_name(command), command.summary);
    let _ = writeln!(text, ".SH SYNOPSIS\n.B {}", escaped(command.usage));
    if !command.options.is_empty() {
        text.push_str(".SH OPTIONS\n");
    }
    for Opt(option, meaning) in command.options {
        let _ = writeln!(text, ".TP\n.B {}\n{}", escaped(option), escaped(meaning));
    }
    let (about, examples) = command.about_and_examples();
    for (title, part) in [("DESCRIPTION", about), ("EXAMPLES", examples)] {
        if !part.is_empty() {
            let _ = writeln!(text, ".SH {title}");
            text.push_str(&paragraphs(part));
        }
    }
    text.push_str(".SH SEE ALSO\n.BR ward (8)\n");
    text
}

/// The page of `ward` itself: all applets.
pub fn index(table: &[&Command]) -> String {
    let mut text = head("ward", "Boot, run and repair a small Linux device");
    text.push_str(".SH SYNOPSIS\n.B ward APPLET [ARGUMENT...]\n.br\n.B APPLET [ARGUMENT...]\n");
    text.push_str(".br\n.B ward \\-\\-list\n.br\n.B ward \\-\\-install DIR\n.SH OPTIONS\n");
    text.push_str(".TP\n.B \\-\\-list [\\-\\-links]\nPrint the names of all applets, or of those with links\n");
    text.push_str(
        ".TP\n.B \\-\\-install DIR\nMake a link in DIR for each applet with a name of its own; \
         what is there and is no link to a ward stays\n",
    );
    text.push_str(".SH APPLETS\n");
    for command in table {
        let (name, summary) = (escaped(&page_name(command)), escaped(command.summary));
        let _ = writeln!(text, ".TP\n.BR {name} (8)\n{summary}");
    }
    text
}

fn head(name: &str, summary: &str) -> String {
    let (title, name) = (escaped(&name.to_uppercase()), escaped(name));
    let version = env!("CARGO_PKG_VERSION");
    let summary = escaped(summary);
    format!(".TH {title} 8 \"\" \"Doorward {version}\"\n.SH NAME\n{name} \\- {summary}\n")
}

/// Paragraphs stand apart by empty lines; indented lines keep their layout.
fn paragraphs(about: &str) -> String {
    let mut text = String::new();
    let mut as_it_is = false;
    for line in about.trim_matches('\n').lines() {
        let indented = line.starts_with("  ");
        if indented != as_it_is && !line.is_empty() {
            text.push_str(if indented { ".RS\n.nf\n" } else { ".fi\n.RE\n" });
            as_it_is = indented;
        }
        match line.trim() {
            "" => text.push_str(if as_it_is { "\n" } else { ".PP\n" }),
            words => {
                text.push_str(&escaped(words));
                text.push('\n');
            }
        }
    }
    if as_it_is {
        text.push_str(".fi\n.RE\n");
    }
    text
}

/// A dash stays a dash that can be copied, a backslash stays one, and no word
/// at the start of a line is taken for a request.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    match text.starts_with(['.', '\'']) {
        true => format!("\\&{text}"),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Command = Command {
        name: "s6-svc",
        summary: "Tell a supervisor what to do",
        usage: "s6-svc [-u] DIR",
        options: &[Opt("-u", "Bring it up")],
        about: "It says so.\n\n  s6-svc -u dns\n\n.hidden names are left out.\n\nExamples:\n\n  s6-svc -d web",
        run: |_, _| Ok(cli::Exit::DONE),
    };

    #[test]
    fn a_page_has_the_parts_that_readers_look_for() {
        let text = page(&SAMPLE);
        for part in [
            ".TH S6\\-SVC 8",
            ".SH NAME\ns6\\-svc \\- Tell a supervisor what to do\n",
            ".SH SYNOPSIS\n.B s6\\-svc [\\-u] DIR\n",
            ".TP\n.B \\-u\nBring it up\n",
            ".RS\n.nf\ns6\\-svc \\-u dns\n\n.fi\n.RE\n\\&.hidden names are left out.\n",
            ".SH EXAMPLES\n.RS\n.nf\ns6\\-svc \\-d web\n.fi\n.RE\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }

    #[test]
    fn every_applet_can_be_described_in_full() {
        for applet in device::applets::TABLE {
            let name = applet.name;
            assert!(
                !applet.summary.is_empty() && !applet.summary.ends_with('.'),
                "{name}: summary"
            );
            let taught = ["explain", "log", "reload", "restart", "start", "status", "stop", "why"];
            let (_, examples) = applet.about_and_examples();
            assert!(!taught.contains(&name) || !examples.is_empty(), "{name}: no examples");
            let called = format!("ward {name}");
            let usage = applet.usage;
            assert!(
                usage.starts_with(name) || usage.starts_with(&called),
                "{name}: usage {usage:?}"
            );
            for Opt(option, meaning) in applet.options {
                assert!(
                    !option.is_empty() && !meaning.is_empty(),
                    "{name}: an option without words"
                );
            }
            // Formatters stop at a request that they do not know.
            for line in page(applet).lines().filter(|line| line.starts_with('.')) {
                let request = line[1..].split(' ').next().unwrap_or_default();
                let known = ["TH", "SH", "B", "BR", "TP", "PP", "RS", "RE", "nf", "fi", "br"];
                assert!(known.contains(&request), "{name}: {line}");
            }
        }
    }
}
