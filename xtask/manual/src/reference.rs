//! The reference: pages of all options, templates and commands, from where they are defined.

use std::fmt::Write;
use std::io;
use std::path::Path;
use std::process;

use cli::{Command, Opt};
use device::applets::TABLE;
use device::install::is_word;
use serde_json::Value;

const MADE: &str =
    "<!-- Made by `cargo xtask docs`, of what it tells of: change that, and not this page. -->\n\n";

/// Names of files in docs/reference, and what is in them.
pub fn pages() -> io::Result<Vec<(&'static str, String)>> {
    let known = evaluated()?;
    Ok(vec![
        ("options.md", options(&known["options"])),
        ("templates.md", templates(&known["templates"])),
        ("ward.md", ward()),
        ("doorward.md", doorward()),
    ])
}

/// What nix/reference.nix says.
fn evaluated() -> io::Result<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let expression = "(import ./default.nix { configuration = { }; nixpkgs = null; }).reference";
    let mut command = process::Command::new("nix-instantiate");
    command.current_dir(root).env_remove("NIX_REMOTE").env("NIX_PATH", "");
    command.env("NIX_CONFIG", "build-users-group =\nsubstituters =\n");
    // Nothing is put into it: any store will do, and this one needs no rights.
    command.args(["--store", "dummy://", "--eval", "--strict", "--json", "--expr", expression]);
    let output = command.output().map_err(|error| {
        io::Error::other(format!("nix-instantiate: {error}; `./setup` installs it"))
    })?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    serde_json::from_slice(&output.stdout).map_err(io::Error::other)
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn options(options: &Value) -> String {
    let mut text = format!(
        "# Options of a configuration\n\n{MADE}Each with the kind of its value, and what it is where \
         nobody says anything. [The guide](../guide/configuration.md) tells how they go together. \
         `NAME` stands for a name of your choice, `[…]` for each element of a list. \
         `doorward build` says where a name or a value is wrong.\n"
    );
    let mut group = "";
    let mut open = false;
    for (name, option) in members(options) {
        let own = name.split('.').next().unwrap_or(name).trim_end_matches("[…]");
        if own != group {
            group = own;
            open = false;
            let _ = write!(text, "\n## `{own}`\n");
        }
        if !std::mem::replace(&mut open, true) {
            text.push('\n');
            text.push_str(HEAD);
        }
        row(&mut text, name, option);
    }
    text
}

const HEAD: &str = "| option | kind | default | is |\n|---|---|---|---|\n";

fn row(text: &mut String, name: &str, option: &Value) {
    let word = |key: &str| option[key].as_str().map(cell);
    let default = match option["default"].as_str() {
        Some(default) => format!("`{}`", code(default)),
        None if option["readOnly"] == true => "given".to_owned(),
        None => String::new(),
    };
    let kind = word("type").unwrap_or_default();
    // A pattern means nothing to Markdown as code.
    let kind =
        if kind.contains(['*', '[', '`']) { format!("`{}`", kind.replace('`', "")) } else { kind };
    let _ = writeln!(
        text,
        "| `{}` | {kind} | {default} | {} |",
        code(name),
        word("description").unwrap_or_default()
    );
}

/// Code in a table: a tag is none there.
fn code(text: &str) -> String {
    text.replace('\n', "\\n").replace('|', "\\|")
}

/// A text in a table: in one line, and without what would end a cell or be a tag.
fn cell(text: &str) -> String {
    text.replace('\n', "\\n").replace('|', "\\|").replace('<', "&lt;")
}

fn templates(templates: &Value) -> String {
    let mut text = format!(
        "# Templates of services\n\n{MADE}`svc.NAME.build {{ … }}` makes a service, with \
         `svc = config.system.service` or `pkgs.svc`. All take `name` and `dependencies` besides. \
         A parameter without a default is needed.\n"
    );
    for (name, template) in members(templates) {
        let about = template["description"].as_str().filter(|about| !about.is_empty());
        let about = match (about, name.as_str()) {
            (Some(about), _) => about,
            (None, "longrun") => "a process that is kept running, from its own parameters",
            (None, "oneshot") => "something that is done, and undone",
            (None, "bundle") => "a name for several",
            (None, _) => "",
        };
        let _ = write!(text, "\n## `{name}`\n\n{}.\n", capital(about));
        let parameters = &template["parameters"];
        if members(parameters).next().is_none() {
            match name.as_str() {
                "longrun" | "oneshot" | "bundle" => text.push_str(
                    "[Services](../guide/configuration.md#services) tells what it is made of.\n",
                ),
                _ => text.push_str("It has no parameters of its own.\n"),
            }
            continue;
        }
        text.push('\n');
        text.push_str(&HEAD.replace("option", "parameter"));
        for (name, parameter) in members(parameters) {
            row(&mut text, name, parameter);
        }
    }
    text
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn ward() -> String {
    let mut text = format!(
        "# Commands of `ward`\n\n{MADE}`ward NAME …`. `--help` as the first word prints the same as here; \
         [exit codes](../guide/exit-codes.md) are in one table.\n\n"
    );
    // As `ward --help` has them: first its own words, then names that others know.
    let (own, names): (Vec<&Command>, Vec<&Command>) =
        TABLE.iter().copied().partition(|applet| is_word(applet));
    let list = |text: &mut String, applets: &[&Command]| {
        text.push_str("| command | does |\n|---|---|\n");
        for applet in applets {
            let _ = writeln!(text, "| [`{0}`](#{0}) | {1} |", applet.name, cell(applet.summary));
        }
    };
    list(&mut text, &own);
    text.push_str("\nThese also by their own names, through links (`ward --install DIR`):\n\n");
    list(&mut text, &names);
    for applet in own.iter().chain(&names) {
        let _ = write!(text, "\n## {}\n\n{}.\n", applet.name, applet.summary);
        let options = applet.options.iter().map(|Opt(option, meaning)| (*option, *meaning));
        usage(&mut text, applet.usage, options);
        let (about, examples) = applet.about_and_examples();
        if !about.is_empty() {
            let _ = write!(text, "\n{}\n", paragraphs(about));
        }
        shown(&mut text, examples);
    }
    text
}

fn usage<'a>(text: &mut String, usage: &str, options: impl Iterator<Item = (&'a str, &'a str)>) {
    let _ = write!(text, "\n```text\n{}\n```\n", usage.trim_end());
    let mut first = true;
    for (option, meaning) in options {
        if std::mem::take(&mut first) {
            text.push_str("\n| option | does |\n|---|---|\n");
        }
        let _ = writeln!(text, "| `{}` | {} |", option.replace('|', "\\|"), words(&cell(meaning)));
    }
}

fn shown(text: &mut String, examples: &str) {
    if !examples.is_empty() {
        let lines: Vec<&str> = examples.lines().map(str::trim).collect();
        let _ = write!(text, "\nExamples:\n\n```text\n{}\n```\n", lines.join("\n"));
    }
}

/// Paragraphs; indented lines keep their layout.
fn paragraphs(about: &str) -> String {
    let mut text = String::new();
    let mut as_it_is = false;
    for line in about.trim_matches('\n').lines() {
        let indented = line.starts_with("  ");
        if indented != as_it_is && !line.is_empty() {
            text.push_str(if indented { "\n```text\n" } else { "```\n\n" });
            as_it_is = indented;
        }
        match as_it_is {
            true => text.push_str(line.strip_prefix("  ").unwrap_or(line)),
            false => text.push_str(&words(line)),
        }
        text.push('\n');
    }
    if as_it_is {
        text.push_str("```\n");
    }
    text.replace("\n\n\n", "\n\n").replace("\n\n```\n\n", "\n```\n\n").trim_end().to_owned()
}

/// Plain words, of which none means anything to Markdown.
fn words(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        if matches!(letter, '*' | '_' | '<' | '[' | '\\' | '#') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped.replace("&lt;", "\\<").replace("\\\\<", "\\<")
}

fn doorward() -> String {
    let mut text = format!(
        "# Commands of `doorward`\n\n{MADE}Each prints this with `--help`, and has a man page.\n"
    );
    let mut whole = host::command();
    whole.build();
    for command in whole.get_subcommands().filter(|command| !command.is_hide_set()) {
        of_host(&mut text, command, "doorward");
    }
    text
}

fn of_host(text: &mut String, command: &clap::Command, above: &str) {
    let name = format!("{above} {}", command.get_name());
    let inside: Vec<&clap::Command> = command
        .get_subcommands()
        .filter(|inside| !inside.is_hide_set() && inside.get_name() != "help")
        .collect();
    let _ = write!(text, "\n## {name}\n");
    let about = command.get_long_about().or(command.get_about());
    if let Some(about) = about {
        let _ = write!(text, "\n{}\n", words(about.to_string().trim()));
    }
    let synopsis = command.clone().bin_name(name.clone()).render_usage().to_string();
    let synopsis = synopsis.trim_start_matches("Usage:").trim().to_owned();
    let lines: Vec<&str> = synopsis.lines().map(str::trim).collect();
    let rows: Vec<(String, String)> = command
        .get_arguments()
        .filter(|argument| !argument.is_hide_set() && argument.get_id() != "help")
        .map(|argument| {
            let meaning = argument.get_help().map(ToString::to_string).unwrap_or_default();
            (flags(argument), meaning)
        })
        .collect();
    let rows = rows.iter().map(|(option, meaning)| (option.as_str(), meaning.as_str()));
    usage(text, &lines.join("\n"), rows);
    if let Some(after) = command.get_after_help().map(ToString::to_string) {
        shown(text, after.trim_start_matches("Examples:").trim_matches('\n'));
    }
    for command in inside {
        of_host(text, command, &name);
    }
}

/// As help has it: `-o, --output DIR`.
fn flags(argument: &clap::Arg) -> String {
    let mut names = Vec::new();
    names.extend(argument.get_short().map(|letter| format!("-{letter}")));
    names.extend(argument.get_long().map(|word| format!("--{word}")));
    let takes = argument.get_action().takes_values();
    let values: Vec<String> = match argument.get_value_names() {
        Some(values) if takes => values.iter().map(ToString::to_string).collect(),
        None if takes => vec![argument.get_id().to_string()],
        _ => Vec::new(),
    };
    match names.is_empty() {
        true => values.join(" "),
        false => [vec![names.join(", ")], values].concat().join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_stand_below_the_first_word_of_their_names() {
        let known: Value = serde_json::from_str(
            r#"{ "a.b": { "type": "a | b", "default": "[ \"<x>\" ]", "description": "one" },
                 "a.c": { "type": "an integer", "default": null, "description": "two" },
                 "d": { "type": "a string", "default": null, "readOnly": true, "description": "" } }"#,
        )
        .expect("it is JSON");
        let text = options(&known);
        let (_, rest) = text.split_once("\n## `a`\n\n").expect("a group");
        let expected = format!(
            "{HEAD}| `a.b` | a \\| b | `[ \"<x>\" ]` | one |\n| `a.c` | an integer |  | two |\n\n\
             ## `d`\n\n{HEAD}| `d` | a string | given |  |\n"
        );
        assert_eq!(rest, expected);
    }

    #[test]
    fn indented_lines_stay_as_they_are() {
        let text = paragraphs("It *does*.\n\n  a  b\n    c\n\nThen.");
        assert_eq!(text, "It \\*does\\*.\n\n```text\na  b\n  c\n```\n\nThen.");
    }

    #[test]
    fn every_command_is_told_of() {
        let text = ward();
        for applet in TABLE {
            assert!(text.contains(&format!("\n## {}\n", applet.name)), "{}", applet.name);
        }
        let text = doorward();
        for title in ["doorward build", "doorward services check", "doorward vm key"] {
            assert!(text.contains(&format!("\n## {title}\n")), "{title}");
        }
        assert!(!text.contains("doorward make"), "help does not show it either");
    }
}
