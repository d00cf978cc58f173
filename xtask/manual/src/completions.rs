//! Completions for bash and fish, from the tables of commands.

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
                let _ = writeln!(text, "complete {place} -f -a '({SERVICES})'");
            }
        }
    }
    text
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

    #[test]
    fn fish_is_told_the_summary_with_its_quotes() {
        let script = fish(&[&SAMPLE]);
        assert!(script.contains("-a start -d 'Bring a router\\'s services up'"), "{script}");
        assert!(script.contains("-l wait -d 'Give up then'"), "{script}");
    }
}
