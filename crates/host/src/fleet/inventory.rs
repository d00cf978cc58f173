//! The devices of an inventory file, and the waves in which they are updated.

use cli::Failure;

/// One device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As ssh has it: `[user@]host`.
    pub name: String,
    /// From 0 on.
    pub wave: usize,
    /// Further arguments of `doorward rebuild` for this one.
    pub words: Vec<String>,
}

/// Reads an inventory: a line for each device, with what `doorward rebuild` is told for it beside what it
/// is told for all. `[NAME]` begins a wave; where none is begun, the first `canary` devices are the first
/// wave and the rest is the second one. Words hold no blanks; `#` begins a comment.
pub fn read(text: &str, place: &str, canary: usize) -> Result<Vec<Target>, Failure> {
    let mut targets: Vec<Target> = Vec::new();
    let mut wave = None;
    for (number, line) in text.lines().enumerate() {
        let wrong = |what: String| Failure::usage(format!("{place}:{}: {what}", number + 1));
        let line = line.split_once('#').map_or(line, |(line, _)| line).trim();
        if line.is_empty() {
            continue;
        }
        if line.starts_with('[') {
            if !line.ends_with(']') {
                return Err(wrong(format!("`{line}` begins a wave and has no ] at its end")));
            }
            if wave.is_none() && !targets.is_empty() {
                return Err(wrong("devices stand before the first wave".into()));
            }
            wave = Some(wave.map_or(0, |wave| wave + 1));
            continue;
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let name = words.next().unwrap_or_default();
        check(&name).map_err(wrong)?;
        if targets.iter().any(|target| target.name == name) {
            return Err(wrong(format!("{name} is named twice")));
        }
        let of = wave.unwrap_or(usize::from(targets.len() >= canary));
        targets.push(Target { name, wave: of, words: words.collect() });
    }
    match targets.is_empty() {
        true => Err(Failure::usage(format!("{place} names no device"))),
        false => Ok(targets),
    }
}

/// Devices that were named as arguments.
pub fn named(names: &[String], canary: usize) -> Result<Vec<Target>, Failure> {
    read(&names.join("\n"), "arguments", canary)
}

/// What ssh would take for an option is no device.
fn check(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._@:[]%".contains(c);
    match name.starts_with('-') || !name.chars().all(plain) {
        true => Err(format!("`{name}` is no device: [user@]host is expected")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waves(text: &str, canary: usize) -> Vec<(String, usize, usize)> {
        let targets = read(text, "routers", canary).unwrap();
        targets.into_iter().map(|one| (one.name, one.wave, one.words.len())).collect()
    }

    #[test]
    fn devices_come_in_waves_with_their_own_arguments() {
        let text = "# ours\n[first]\nroot@attic\n\n[rest]\nroot@cellar -c cellar.nix # old\nbarn\n";
        let expected =
            [("root@attic".into(), 0, 0), ("root@cellar".into(), 1, 2), ("barn".into(), 1, 0)];
        assert_eq!(waves(text, 1), expected);
        let expected = [("a".into(), 0, 0), ("b".into(), 0, 0), ("c".into(), 1, 0)];
        assert_eq!(waves("a\nb\nc", 2), expected);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, expected) in [
            ("", "routers names no device"),
            ("a\na\n", "routers:2: a is named twice"),
            ("a\n[x]\nb", "routers:2: devices stand before the first wave"),
            ("[x\na", "routers:1: `[x` begins a wave and has no ] at its end"),
            (
                "-oProxyCommand=x",
                "routers:1: `-oProxyCommand=x` is no device: [user@]host is expected",
            ),
        ] {
            assert_eq!(read(text, "routers", 1).unwrap_err().message, expected, "{text:?}");
        }
    }
}
