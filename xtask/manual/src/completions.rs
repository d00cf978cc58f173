//! Completions for bash, zsh and fish, from the tables of commands.

use std::fmt::Write;

use cli::{Command, Opt};

/// Names of services, as the device at hand knows them.
const SERVICES: &str = "s6-rc-db list services 2>/dev/null";

pub fn bash(table: &[&Command]) -> String {
    let mut text = "# Completion of ward and its applets for bash.\n\
        _ward() {\n    local applet=\"${1##*/}\" word=\"$2\" words=\n    \
        if [ \"$applet\" = ward ]; then\n        if [ \"$COMP_CWORD\" = 1 ]; then\n"
        .to_owned();
    let names: Vec<&str> = table.iter().map(|command| command.name).collect();
    let names = names.join(" ");
    let _ = writeln!(text, "            COMPREPLY=($(compgen -W '{names}' -- \"$word\"))");
    text.push_str("            return\n        fi\n        applet=\"${COMP_WORDS[1]}\"\n    fi\n");
    text.push_str("    case $applet in\n");
    for command in table {
        let options = words(command).join(" ");
        let services =
            if takes_services(command) { format!("$({SERVICES})") } else { String::new() };
        let _ = writeln!(text, "    {}) words=\"{options} {services}\" ;;", command.name);
    }
    text.push_str("    esac\n    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n}\n");
    let own: Vec<&str> = own_names(table).collect();
    let _ = writeln!(text, "complete -o default -F _ward ward {}", own.join(" "));
    text
}

pub fn fish(table: &[&Command]) -> String {
    let mut text = "# Completion of ward and its applets for fish.\n".to_owned();
    for command in table {
        let (name, summary) = (command.name, quoted(command.summary));
        let _ = writeln!(text, "complete -c ward -n __fish_use_subcommand -a {name} -d {summary}");
        let inside = format!("-c ward -n '__fish_seen_subcommand_from {name}'");
        let by_name = own_names(&[command]).next().map(|name| format!("-c {name}"));
        for place in [inside].into_iter().chain(by_name) {
            for Opt(option, meaning) in command.options {
                for word in option.split([' ', ',']).filter(|word| word.starts_with('-')) {
                    let kind = if word.starts_with("--") { "-l" } else { "-o" };
                    let bare = word.trim_start_matches('-');
                    if bare.is_empty() {
                        continue;
                    }
                    let _ = writeln!(text, "complete {place} {kind} {bare} -d {}", quoted(meaning));
                }
            }
            if takes_services(command) {
                // Fish complains of a program that is not there, whatever becomes of its errors.
                let services = format!("command -q s6-rc-db; and {SERVICES}");
                let _ = writeln!(text, "complete {place} -f -a '({services})'");
            }
        }
    }
    text
}

pub fn zsh(table: &[&Command]) -> String {
    let own: Vec<&str> = own_names(table).collect();
    let mut text =
        format!("#compdef ward {}\n# Completion of ward and its applets for zsh.\n", own.join(" "));
    let _ = write!(
        text,
        "_ward_services() {{\n    local -a names\n    names=(${{(f)\"$({SERVICES})\"}})\n    \
         compadd -a names\n}}\n_ward() {{\n    local -a applets\n    applets=(\n"
    );
    for command in table {
        let _ =
            writeln!(text, "        {}", single(&format!("{}:{}", command.name, command.summary)));
    }
    text.push_str(
        "    )\n    if [[ ${words[1]:t} == ward ]]; then\n        \
         if (( CURRENT == 2 )); then\n            _describe applet applets\n            return\n        fi\n        \
         shift words\n        (( CURRENT-- ))\n    fi\n    case ${words[1]:t} in\n",
    );
    for command in table {
        let _ = write!(text, "    {}) _arguments -s", command.name);
        for Opt(option, meaning) in command.options {
            // `-l, --live LIVE`: names, and what the value is.
            let names: Vec<&str> = option
                .split([' ', ','])
                .filter(|word| !word.trim_start_matches('-').is_empty() && word.starts_with('-'))
                .collect();
            let value =
                option.split([' ', ',']).rfind(|word| !word.is_empty() && !word.starts_with('-'));
            let meaning: String = meaning
                .chars()
                .flat_map(|c| "[]:\\".contains(c).then_some('\\').into_iter().chain([c]))
                .collect();
            let value = value
                .map(|value| format!(":{}: ", value.replace([':', '[', ']', '|'], "")))
                .unwrap_or_default();
            let others = names.join(" ");
            for name in &names {
                let _ = write!(
                    text,
                    " \\\n        {}",
                    single(&format!("({others}){name}[{meaning}]{value}"))
                );
            }
        }
        let operands =
            if takes_services(command) { "*:service:_ward_services" } else { "*:file:_files" };
        let _ = writeln!(text, " \\\n        {} ;;", single(operands));
    }
    text.push_str("    *) _files ;;\n    esac\n}\n_ward \"$@\"\n");
    text
}

/// Text that zsh reads as one word.
fn single(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Those that nothing else on a machine is called by.
fn own_names<'a>(table: &'a [&Command]) -> impl Iterator<Item = &'static str> + use<'a> {
    table.iter().map(|command| command.name).filter(|name| name.starts_with("s6-"))
}

/// The options themselves, without their values and meanings.
fn words(command: &Command) -> Vec<&'static str> {
    let all = command.options.iter().flat_map(|Opt(option, _)| option.split([' ', ',']));
    all.filter(|word| word.starts_with('-')).collect()
}

/// Its usage says `NAME...` or `SERVICE...` where it wants services.
fn takes_services(command: &Command) -> bool {
    command.usage.contains(" NAME")
        || command.usage.contains("[NAME")
        || command.usage.contains("SERVICE")
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use std::process::Command as Process;

    use super::*;

    const SAMPLE: Command = Command {
        name: "start",
        summary: "Bring a router's services up",
        usage: "ward start [--wait SECONDS] NAME...",
        options: &[Opt("--wait SECONDS", "Give up then"), Opt("-v, --verbose", "Say more")],
        about: "",
        run: |_, _| Ok(cli::Exit::DONE),
    };

    #[test]
    fn bash_completes_applets_and_their_options() {
        let script = bash(&[&SAMPLE]);
        let ask = |words: &str, index: u32| {
            let ask = format!(
                "{script}\nCOMP_WORDS=({words}); COMP_CWORD={index}; \
                 _ward \"${{COMP_WORDS[0]}}\" \"${{COMP_WORDS[{index}]}}\"; echo \"${{COMPREPLY[@]}}\""
            );
            let output = Process::new("bash").args(["-c", &ask]).output().expect("bash runs");
            assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).expect("it printed words").trim().to_owned()
        };
        assert_eq!(ask("ward sta", 1), "start");
        assert_eq!(ask("ward start --", 2), "--wait --verbose");
        assert_eq!(ask("start --w", 1), "--wait");
    }

    /// What a shell says to a script, where it is there: without it, nothing is known.
    fn parses(shell: &str, option: &str, script: &str) {
        let file = std::env::temp_dir()
            .join(format!("doorward-completion-{}-{shell}", std::process::id()));
        std::fs::write(&file, script).expect("a file can be written");
        let output = Process::new(shell).arg(option).arg(&file).output();
        let _ = std::fs::remove_file(&file);
        match output {
            Ok(output) => assert!(
                output.status.success(),
                "{shell}: {}",
                String::from_utf8_lossy(&output.stderr)
            ),
            Err(error) => {
                assert_eq!((error.kind(), shell != "bash"), (std::io::ErrorKind::NotFound, true))
            }
        }
    }

    #[test]
    fn every_shell_can_read_what_is_made_of_the_real_tables() {
        let table = device::applets::TABLE;
        parses("bash", "-n", &bash(table));
        parses("zsh", "-n", &zsh(table));
        parses("fish", "-n", &fish(table));
        for (name, script) in crate::doorward::completions() {
            let shell = match name {
                "_doorward" => "zsh",
                _ => name.rsplit('.').next().expect("it has an ending"),
            };
            parses(shell, "-n", &script);
        }
    }

    #[test]
    fn bash_completes_doorward_for_real() {
        let (_, script) = crate::doorward::completions().remove(0);
        let ask = |words: &str, index: u32| {
            let ask = format!(
                "{script}\nCOMP_WORDS=({words}); COMP_CWORD={index}; COMPREPLY=(); \
                 _doorward doorward \"${{COMP_WORDS[{index}]}}\" \"${{COMP_WORDS[{index} - 1]}}\"; echo \"${{COMPREPLY[@]}}\""
            );
            let output = Process::new("bash").args(["-c", &ask]).output().expect("bash runs");
            assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).expect("it printed words").trim().to_owned()
        };
        assert_eq!(ask("doorward imp", 1), "import");
        assert_eq!(ask("doorward import sys", 2), "systemd");
        assert_eq!(ask("doorward import systemd --st", 3), "--strict");
        // What only Nix calls is nobody's to type.
        assert!(!ask("doorward m", 1).contains("make"), "{}", ask("doorward m", 1));
    }

    #[test]
    fn zsh_is_told_names_values_and_meanings() {
        let script = zsh(&[&SAMPLE]);
        assert!(script.contains("'start:Bring a router'\\''s services up'"), "{script}");
        assert!(script.contains("'(--wait)--wait[Give up then]:SECONDS: '"), "{script}");
        assert!(script.contains("'(-v --verbose)-v[Say more]'"), "{script}");
        assert!(script.contains("'*:service:_ward_services' ;;"), "{script}");
    }

    #[test]
    fn fish_is_told_the_summary_with_its_quotes() {
        let script = fish(&[&SAMPLE]);
        assert!(script.contains("-a start -d 'Bring a router\\'s services up'"), "{script}");
        assert!(script.contains("-l wait -d 'Give up then'"), "{script}");
    }
}
