//! The step `services`: definitions of services into a database.

use model::service::compile::compile;
use model::service::mistake::Mistake;
use model::service::source::{Content, Tree};
use os::service::source_dir;

use super::attributes::{Attribute, Wrong, output};

/// Compiles the attribute `services` and writes the database.
pub fn make(attributes: &Attribute<'_>) -> Result<(), Wrong> {
    let tree = tree(&attributes.get("services")?)?;
    let out = output(attributes)?;
    let compiled = compile(&tree).map_err(|mistakes| explain(&mistakes))?;
    if !compiled.warnings.is_empty() {
        eprintln!("{}", explain(&compiled.warnings));
    }
    os::files::clear_umask();
    source_dir::write(&out, &tree, &compiled).map_err(|e| format!("{}: {e}", out.display()))
}

/// Each mistake by the service that it is in: there are no files to name.
fn explain(mistakes: &[Mistake]) -> String {
    let one = |mistake: &Mistake| {
        let place = mistake.file.strip_prefix(ROOT).unwrap_or(&mistake.file);
        let (service, file) = place.trim_matches('/').split_once('/').unwrap_or((place, ""));
        let service = service.trim_matches('/');
        let file = if file.is_empty() { String::new() } else { format!(", {file}") };
        let hint = mistake.fault.hint().map(|hint| format!("\n  {hint}")).unwrap_or_default();
        format!("the service `{service}`{file}: {}{hint}", mistake.fault)
    };
    mistakes.iter().map(one).collect::<Vec<_>>().join("\n")
}

const ROOT: &str = "services";

/// The definitions as the source directories that they stand for.
fn tree(services: &Attribute<'_>) -> Result<Tree, Wrong> {
    let mut tree = Tree::default();
    tree.add_root(ROOT.into());
    for (name, definition) in services.members()? {
        if name.contains('/') {
            return Err(definition.unknown());
        }
        tree.add_directory(name.as_bytes());
        for (key, value) in definition.members()? {
            add(&mut tree, key, &value)?;
        }
    }
    tree.sort();
    Ok(tree)
}

fn add(tree: &mut Tree, key: &str, value: &Attribute<'_>) -> Result<(), Wrong> {
    match key {
        "type" | "run" | "finish" | "down-signal" | "reload-signal" | "producer-for"
        | "pipeline-name" | "controller" | "outputs-owner" => {
            file(tree, key, 0o644, value.text()?);
        }
        "notification-fd" | "lock-fd" | "timeout-up" | "timeout-down" | "timeout-kill"
        | "timeout-finish" | "max-death-tally" | "restart-wait" => {
            file(tree, key, 0o644, &value.number()?.to_string());
        }
        "up" | "down" | "reload" => file(tree, key, 0o644, &command(&value.texts()?)),
        "flag-essential" | "flag-recommended" | "flag-newpidns" | "flag-timeout-killpg" => {
            if value.truth()? {
                tree.add_entry(key.as_bytes(), 0, Content::Present);
            }
        }
        "consumer-for" => file(tree, key, 0o644, &value.texts()?.join("\n")),
        "dependencies" | "contents" => {
            let folder = format!("{key}.d");
            tree.add_entry(folder.as_bytes(), 0, Content::Folder);
            for name in value.texts()? {
                tree.add_entry(format!("{folder}/{name}").as_bytes(), 0, Content::Present);
            }
        }
        "controls" | "on-restart" => {
            let folder = format!("{key}.d");
            tree.add_entry(folder.as_bytes(), 0, Content::Folder);
            for (name, text) in value.members()? {
                if name.contains('/') {
                    return Err(text.unknown());
                }
                file(tree, &format!("{folder}/{name}"), 0o644, text.text()?);
            }
        }
        "data" | "env" => {
            tree.add_entry(key.as_bytes(), 0o755, Content::Folder);
            for (name, text) in value.members()? {
                if name.contains('/') || name.starts_with('.') {
                    return Err(text.unknown());
                }
                let text = text.text()?;
                let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
                file(tree, &format!("{key}/{name}"), mode, text);
            }
        }
        _ => return Err(value.unknown()),
    }
    Ok(())
}

fn file(tree: &mut Tree, path: &str, mode: u32, text: &str) {
    let text = tree.add_text(text.as_bytes());
    tree.add_entry(path.as_bytes(), mode, Content::File(text));
}

/// Words as execline's grammar has them, whatever is in them.
fn command(words: &[&str]) -> String {
    let quoted = |word: &&str| format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""));
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use model::service::database::Kind;

    use super::*;

    #[test]
    fn definitions_become_the_services_that_they_describe() {
        let script = "echo \"a\\b\" $x {\n}";
        let json = serde_json::json!({
            "lan": { "type": "oneshot", "up": ["/bin/sh", "-ec", script, "lan"], "dependencies": [] },
            "dns": {
                "type": "longrun", "run": "#!/bin/sh\n", "dependencies": ["lan"], "timeout-up": 20_000,
                "notification-fd": 3, "flag-essential": true, "flag-newpidns": false,
                "data": { "check": "#!/bin/sh\n", "conf": "x" },
            },
            "default": { "type": "bundle", "contents": ["dns", "lan"] },
        });
        let tree = tree(&Attribute::root(&json)).expect("it is sound");
        let compiled = compile(&tree).expect("it compiles");
        let [dns, lan] = &compiled.contents.services[..] else { panic!("two services") };
        assert_eq!((dns.name.as_str(), lan.name.as_str()), ("dns", "lan"));
        assert_eq!((&dns.needs[..], dns.timeout_up.as_secs(), dns.essential), (&[1][..], 20, true));
        let Kind::Oneshot(oneshot) = &lan.kind else { panic!("a oneshot") };
        let words: Vec<&[u8]> = oneshot.up.iter().map(|word| &**word).collect();
        assert_eq!(words, ["/bin/sh", "-ec", script, "lan"].map(str::as_bytes));
        assert_eq!(compiled.contents.bundles[0].contents, [0, 1]);
    }

    #[test]
    fn controllers_and_reactions_are_told_to_the_compiler() {
        let json = serde_json::json!({
            "disk": { "type": "oneshot", "up": ["true"], "outputs-owner": "media" },
            "plugs": {
                "type": "longrun", "run": "#!/bin/sh\n", "controller": "kind other\n",
                "controls": { "disk": "match subsystem=block\n" },
            },
            "share": {
                "type": "longrun", "run": "#!/bin/sh\n", "dependencies": ["disk"],
                "on-restart": { "disk": "restart" },
            },
        });
        let tree = tree(&Attribute::root(&json)).expect("it is sound");
        let contents = compile(&tree).expect("it compiles").contents;
        let [controller] = &contents.controllers[..] else { panic!("one controller") };
        assert_eq!(controller.controls[0].text, "match subsystem=block\n");
        assert_eq!(contents.services[2].outputs_owner.as_deref(), Some("media"));
        assert_eq!(contents.reactions.len(), 1);
    }

    #[test]
    fn what_is_not_known_is_an_error_that_names_it() {
        let json = serde_json::json!({ "lan": { "type": "oneshot", "timout-up": 3 } });
        let wrong = tree(&Attribute::root(&json)).map(drop);
        assert_eq!(wrong, Err("lan.timout-up is not known here".into()));
    }

    #[test]
    fn mistakes_name_the_service() {
        let json = serde_json::json!({ "lan": {
            "type": "oneshot", "up": [], "dependencies": ["wan"]
        } });
        let tree = tree(&Attribute::root(&json)).expect("it can be read");
        let mistakes = compile(&tree).expect_err("there is no wan");
        let text = explain(&mistakes);
        assert!(text.starts_with("the service `lan`, dependencies.d"), "{text}");
        assert!(text.contains("there is no service wan"), "{text}");
    }
}
