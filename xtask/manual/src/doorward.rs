//! Man pages and completions of `doorward`, from what it can be told.

use std::io;

use clap_complete::Shell;
use clap_mangen::Man;

/// A page for `doorward` and for each of its commands: `doorward-import-systemd.1`.
pub fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut pages = Vec::new();
    page(&mut host::command(), "doorward", &mut pages)?;
    Ok(pages)
}

fn page(
    command: &mut clap::Command,
    name: &str,
    pages: &mut Vec<(String, Vec<u8>)>,
) -> io::Result<()> {
    for inside in command.clone().get_subcommands_mut().filter(|inside| !inside.is_hide_set()) {
        let own = format!("{name}-{}", inside.get_name());
        page(inside, &own, pages)?;
    }
    // The page is called by the whole name, and so is the command in it.
    let mut shown = command.clone().name(&*name.to_owned().leak()).bin_name(name.replace('-', " "));
    shown.build();
    let mut text = Vec::new();
    Man::new(shown)
        .title(name.to_uppercase())
        .source(format!("Doorward {}", env!("CARGO_PKG_VERSION")))
        .render(&mut text)?;
    let text = String::from_utf8_lossy(&text).replace(".SH EXTRA\nExamples:", ".SH EXAMPLES");
    pages.push((format!("{name}.1"), text.into_bytes()));
    Ok(())
}

/// Completions: the name of the file, and what is in it; that of bash first.
pub fn completions() -> Vec<(&'static str, String)> {
    let script = |shell: Shell| {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut seen(host::command()), "doorward", &mut text);
        String::from_utf8(text).expect("it is made of text")
    };
    vec![
        ("doorward.bash", script(Shell::Bash)),
        ("doorward.fish", script(Shell::Fish)),
        ("_doorward", script(Shell::Zsh)),
    ]
}

/// It, without the commands that help does not show either.
fn seen(command: clap::Command) -> clap::Command {
    let mut shown = clap::Command::new("doorward").version(env!("CARGO_PKG_VERSION"));
    shown = shown.args(command.get_arguments().cloned());
    shown.subcommands(command.get_subcommands().filter(|inside| !inside.is_hide_set()).cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_teaches_by_example() {
        for command in host::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = command.get_name();
            let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(
                text.starts_with("Examples:\n"),
                "crates/host/src/commands/examples.rs lacks {name}"
            );
            for line in text.lines().skip(1) {
                assert!(line.starts_with(&format!("  doorward {name} ")), "{line}");
            }
        }
    }

    #[test]
    fn every_command_that_help_shows_has_a_page() {
        let pages = pages().expect("they are made in memory");
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for name in [
            "doorward.1",
            "doorward-build.1",
            "doorward-import-procd.1",
            "doorward-services-check.1",
        ] {
            assert!(names.contains(&name), "{names:?}");
        }
        assert!(!names.contains(&"doorward-make.1"), "{names:?}");
        let (_, page) = pages
            .iter()
            .find(|(name, _)| name == "doorward-import-systemd.1")
            .expect("it is there");
        let page = String::from_utf8_lossy(page);
        for part in [
            ".SH NAME",
            ".SH SYNOPSIS",
            ".SH EXAMPLES",
            "\\-\\-strict",
            "network\\-online.target=uplink",
        ] {
            assert!(page.contains(part), "{part} is not in\n{page}");
        }
    }
}
