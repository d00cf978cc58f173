//! Whether a generation fits the kernel that runs: the kernel lies in a partition of its own, which
//! an update of the rest does not touch.

use std::fs;
use std::path::Path;

use cli::Failure;
use model::deploy::generation::COMMAND_LINE;
use model::deploy::history::BOOT;
use os::facts;

/// Modules say for which kernel they are, behind this (`MODULE_INFO(vermagic)` in Linux).
const MAGIC: &[u8] = b"vermagic=";

/// Refuses a generation whose modules the kernel that runs would not load.
pub fn check(generation: &Path) -> Result<(), Failure> {
    let running = facts::kernel().unwrap_or_default();
    match wanted(&generation.join("modules")) {
        Some(wanted) if !running.is_empty() && wanted != running => {
            let why = format!(
                "this generation is for the kernel {wanted}, and the flash has {running}: modules \
                 would not load"
            );
            Err(Failure::not_achieved(why).hint(
                "the kernel lies in a partition of its own, which is written as a whole: `doorward reflash` \
                 does that, or `levitate` and `flashcp` here; --any-kernel tries it all the same",
            ))
        }
        _ => Ok(()),
    }
}

/// What a generation wants on the kernel's command line, and the one that was started with does not
/// have. It lies beside the kernel in the flash, for whoever loads that; a kernel that was not started
/// from there, such as that of a container, is nobody's mistake.
pub fn lacks(generation: &Path) -> Option<String> {
    let wanted = fs::read_to_string(generation.join(COMMAND_LINE)).ok()?;
    missing(&wanted, &fs::read_to_string("/proc/cmdline").ok()?)
}

fn missing(wanted: &str, has: &str) -> Option<String> {
    let is_there = |word: &str| has.split_whitespace().any(|it| it == word);
    if !is_there(&format!("init={BOOT}/init")) {
        return None;
    }
    let missing: Vec<&str> = wanted.split_whitespace().filter(|word| !is_there(word)).collect();
    (!missing.is_empty()).then(|| missing.join(" "))
}

/// The kernel that the modules in a folder are for; `None`: there are none.
pub fn wanted(folder: &Path) -> Option<String> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let mut modules = entries.map(|entry| entry.path());
    modules.find_map(|path| {
        let is_module = path.extension().is_some_and(|it| it == "ko");
        is_module.then(|| release(&fs::read(path).ok()?)).flatten()
    })
}

fn release(module: &[u8]) -> Option<String> {
    let at = module.windows(MAGIC.len()).position(|part| part == MAGIC)?;
    let rest = &module[at + MAGIC.len()..];
    let end = rest.iter().position(|b| *b == b' ' || *b == 0)?;
    let word = std::str::from_utf8(&rest[..end]).ok()?;
    (!word.is_empty() && end < 200).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_missed_one_by_one_and_those_of_others_are_not_asked_after() {
        let has = "console=ttyS0 root=mtd:rootfs init=/boot/system/init memmap=512K$240M\n";
        assert_eq!(missing("root=mtd:rootfs console=ttyS0\n", has), None);
        assert_eq!(
            missing("console=ttyS1 init=/boot/system/init panic=5", has).as_deref(),
            Some("console=ttyS1 panic=5")
        );
        assert_eq!((missing("", has), missing("a", "b")), (None, None));
    }

    #[test]
    fn a_module_says_for_which_kernel_it_is() {
        let module = b"\x7fELF..\0license=GPL\0vermagic=6.1.0-56-amd64 SMP preempt mod_unload \0x";
        assert_eq!(release(module).as_deref(), Some("6.1.0-56-amd64"));
        assert_eq!(release(b"vermagic="), None);
        assert_eq!(release(b"vermagic= SMP\0"), None);
        assert_eq!(release(b"\x7fELF"), None);
    }
}
