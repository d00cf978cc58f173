//! The kernel's command line: what it says about the root file system and about init.

/// Where the generation lies that starts, if the command line names no other one.
pub const INIT_DEFAULT: &str = "/boot/system/init";

/// Source: Linux `Documentation/admin-guide/kernel-parameters.txt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandLine<'a> {
    /// What holds the root file system.
    pub root: Option<&'a str>,
    pub root_type: Option<&'a str>,
    /// Options of the mount.
    pub root_options: &'a str,
    pub read_only: bool,
    /// The program to start from there.
    pub init: &'a str,
}

/// Reads the command line. Of what is said twice the last counts; what follows `--` is for init.
pub fn parse(text: &str) -> CommandLine<'_> {
    let mut found = CommandLine {
        root: None,
        root_type: None,
        root_options: "",
        read_only: true, // as the kernel itself does it
        init: INIT_DEFAULT,
    };
    for word in words(text).take_while(|word| *word != "--") {
        match word.split_once('=') {
            None if word == "ro" => found.read_only = true,
            None if word == "rw" => found.read_only = false,
            Some(("root", value)) => found.root = Some(value),
            Some(("rootfstype", value)) => found.root_type = Some(value),
            Some(("rootflags", value)) => found.root_options = value,
            Some(("init", value)) => found.init = value,
            _ => {}
        }
    }
    found
}

/// Words with blanks between them, of which quotes can hold some together.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    core::iter::from_fn(move || {
        rest = rest.trim_start();
        let mut quoted = false;
        let end = rest.find(|c: char| {
            quoted ^= c == '"';
            c.is_whitespace() && !quoted
        });
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        (!word.is_empty()).then_some(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_counts_and_the_rest_is_the_kernels() {
        let all = parse(
            "console=ttyS0 panic=5 ro root=/dev/sda1 root=mtd:rootfs rootfstype=jffs2 \
             rootflags=noatime,compr=none rw init=/boot/other/init dyndbg=\"file a root=b\" \
             quiet -- root=mtd:x rw\n",
        );
        let expected = CommandLine {
            root: Some("mtd:rootfs"),
            root_type: Some("jffs2"),
            root_options: "noatime,compr=none",
            read_only: false,
            init: "/boot/other/init",
        };
        assert_eq!(all, expected);
        let nothing = parse(" \n");
        assert_eq!((nothing.root, nothing.root_type, nothing.read_only), (None, None, true));
        assert_eq!(nothing.init, "/boot/system/init");
        assert_eq!(parse("a=\"b root=c").root, None); // never closed
    }
}
