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
        "import",
        "Examples:\n  \
         doorward import systemd /lib/systemd/system/ssh.service -o services\n  \
         doorward import procd files/etc/init.d/dropbear -o services",
    ),
    (
        "packages",
        "Examples:\n  \
         doorward packages fetch      get what builds are made of\n  \
         doorward packages lock       write the lock file anew, with the newest versions",
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
         doorward services graph services | dot -Tsvg > graph.svg",
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
