//! What the help of each command teaches by example.

use clap::Command;

/// Command lines by command; what each does stands behind it.
const EXAMPLES: &[(&str, &str)] = &[
    (
        "build",
        "Examples:\n  \
         doorward build -c configuration.nix                  what its device takes, as the link `result`\n  \
         doorward build -c configuration.nix -A outputs.vm    a machine for `doorward vm`",
    ),
    (
        "chart",
        "Examples:\n  \
         doorward chart root@router -o start.svg        what its start has waited for\n  \
         doorward chart root@router -n 0 -o change.svg  the last change",
    ),
    (
        "collect",
        "Examples:\n  \
         doorward collect root@router              take away what no generation needs\n  \
         doorward collect --dry-run root@router    only say what that would be, and how much",
    ),
    (
        "copy",
        "Examples:\n  \
         doorward copy root@router result              what `result` leads to, with all it needs\n  \
         doorward copy --dry-run root@router result    only say what would be sent, and as what",
    ),
    (
        "doctor",
        "Examples:\n  \
         doorward doctor                            what this machine lacks\n  \
         doorward doctor root@router                and what is wrong with the device\n  \
         doorward doctor root@router -c router.nix  and whether it runs what that says",
    ),
    (
        "image",
        "Examples:\n  \
         doorward image verify firmware.bin    whether it is whole, and for which device it is",
    ),
    (
        "import",
        "Examples:\n  \
         doorward import systemd /lib/systemd/system/ssh.service -o services\n  \
         doorward import procd files/etc/init.d/dropbear -o services",
    ),
    (
        "install",
        "Examples:\n  \
         doorward install root@router result    its programs are on the PATH there, and stay",
    ),
    (
        "packages",
        "Examples:\n  \
         doorward packages fetch      get what builds are made of\n  \
         doorward packages lock       write the lock file anew, with the newest versions",
    ),
    (
        "rebuild",
        "Examples:\n  \
         doorward rebuild root@router -c router.nix                    one device, now\n  \
         doorward rebuild root@router -c router.nix --dry-run          only say what would happen\n  \
         doorward rebuild -c router.nix --inventory routers --soak 60  many, a few of them first",
    ),
    (
        "reflash",
        "Examples:\n  \
         doorward reflash root@router -c router.nix    all of its flash, from a system in memory",
    ),
    (
        "run",
        "Examples:\n  \
         doorward run services                 boot them as a pretend router, and log in\n  \
         doorward run services ward status     boot them, ask, and end",
    ),
    (
        "services",
        "Examples:\n  \
         doorward services check services            all mistakes at once\n  \
         doorward services compile db services       the database that a device starts from\n  \
         doorward services graph services -o graph.svg      who needs and who controls whom\n  \
         doorward services graph -c router.nix -o r.svg     the same of a configuration\n  \
         doorward services graph root@router                of a device, with how each service is",
    ),
    (
        "status",
        "Examples:\n  \
         doorward status root@router root@attic     until ctrl-C\n  \
         doorward status --once --inventory routers  once, all devices of a file",
    ),
    (
        "vm",
        "Examples:\n  \
         doorward vm result                 boot it in QEMU, with networks around it\n  \
         doorward vm result -- ward status  boot it, ask, and end",
    ),
];

/// The commands, with their examples below their help.
pub fn with_examples(commands: impl IntoIterator<Item = Command>) -> Vec<Command> {
    let taught = |command: Command| {
        let found = EXAMPLES.iter().find(|(name, _)| *name == command.get_name());
        match found {
            Some((_, text)) => command.after_help(*text),
            None => command,
        }
    };
    commands.into_iter().map(taught).collect()
}
