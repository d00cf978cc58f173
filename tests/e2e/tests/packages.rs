//! `doorward packages`, with programs in apt's place that serve an archive of this test's own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use e2e::documented::holds;
use e2e::json::Json;
use e2e::{Folder, doorward, nix, shown, stdout, transcript};
use serde_json::Value;

/// Sources of their own, an archive, and a folder for what is fetched.
struct Archive(Folder);

impl Archive {
    /// An archive with two packages, and the lock file that is right for it.
    fn new() -> Self {
        let archive = Self(Folder::new("archive"));
        archive.0.write("sources/default.nix", "");
        archive
            .0
            .write("sources/nix/packages/wanted", "# what there is\ntool  amd64\nother mipsel\n");
        archive.has(
            "tool",
            "1:1.0-1",
            "Depends: libthing1 (>= 1) | libother, adduser, libnone\n",
            "a tool",
        );
        archive.has("libthing1", "2~rc1", "", "a library");
        for (name, script) in [
            ("apt-cache", "while [ \"$1\" != show ]; do shift; done; shift; for n; do cat \"$ARCHIVE/$n\".* 2>/dev/null; done; true"),
            (
                "apt-get",
                "lists= ; for w; do case $w in Dir::State::lists=*) lists=${w#*=};; esac; done
                 echo \"$*\" >>\"$ARCHIVE/calls\"
                 for w; do case $w in
                 update) : >\"$lists/here_Packages\";;
                 *=*) file=$ARCHIVE/files/$w; [ ! -f \"$file\" ] || cp \"$file\" \"$(cat \"$file.name\")\";;
                 esac; done",
            ),
        ] {
            let path = archive.0.write(format!("bin/{name}"), format!("#!/bin/sh\n{script}\n"));
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
        }
        assert!(archive.packages(&["lock", "amd64"]).status.success());
        archive
    }

    /// Puts a version of a package into the archive, in place of older ones.
    fn has(&self, name: &str, version: &str, more: &str, bytes: &str) {
        self.has_as("stanza", name, version, more, bytes);
    }

    /// The same under a name of the description; they are shown in the order of these names.
    fn has_as(&self, stanza: &str, name: &str, version: &str, more: &str, bytes: &str) {
        let file = self.0.write(format!("archive/files/{name}={version}"), bytes);
        let deb = format!("{name}_{}_amd64.deb", version.replace(':', "%3a"));
        self.0.write(format!("archive/files/{name}={version}.name"), deb);
        let sum = stdout(Command::new("sha256sum").arg(file));
        let sum = sum.split(' ').next().expect("a checksum");
        self.0.write(
            format!("archive/{name}.{stanza}"),
            format!(
                "Package: {name}\nVersion: {version}\nArchitecture: amd64\nSize: {}\nSHA256: {sum}\n{more}\n\n",
                bytes.len()
            ),
        );
    }

    fn packages(&self, words: &[&str]) -> Output {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(doorward());
        command.arg("packages").args(words).current_dir(self.0.join("sources"));
        command.env("PATH", format!("{}:{path}", self.0.join("bin").display()));
        command.env("ARCHIVE", self.0.join("archive"));
        command.env("DOORWARD_PACKAGES", self.0.join("fetched"));
        command.output().expect("doorward runs")
    }

    /// What `--json` prints: an object for each architecture, as it is documented.
    fn told(&self, words: &[&str]) -> Json {
        let output = self.packages(&[words, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "the objects say it");
        let all = Json::parse(String::from_utf8_lossy(&output.stdout).trim());
        assert_eq!(all.items().len(), 1, "{all:?}");
        let one = all.items()[0].clone();
        assert_eq!(one.text("architecture"), Some("amd64"));
        for moved in one.get("moved").map(Json::items).unwrap_or_default() {
            holds("Each of `moved`", moved);
        }
        one
    }

    fn said(&self, words: &[&str], code: i32) -> String {
        let output = self.packages(words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        said
    }

    /// A lock file: of the sources, or of what was fetched.
    fn lock(&self, path: &str) -> Value {
        let text = fs::read_to_string(self.0.join(path)).expect("it is there");
        serde_json::from_str(&text).expect("it is JSON")
    }

    fn fetched(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.0.join("fetched/amd64").join(file)).ok()
    }
}

#[test]
fn the_lock_file_has_what_is_wanted_and_its_libraries() {
    let archive = Archive::new();
    let lock = archive.lock("sources/nix/packages/lock.json");
    let amd64 = lock["amd64"].as_object().expect("a set");
    assert_eq!(amd64.keys().collect::<Vec<_>>(), ["libthing1", "tool"]);
    assert_eq!(amd64["tool"]["needs"], serde_json::json!(["libthing1"]));
    assert_eq!(amd64["tool"]["file"], "tool_1%3a1.0-1_amd64.deb");
    assert_eq!(lock.as_object().map(|lock| lock.len()), Some(1), "only what was asked for");
}

#[test]
fn the_page_tells_how_packages_come() {
    let archive = Archive::new();
    archive.0.write("sources/nix/packages/wanted", "libssl3 amd64\n");
    archive.has_as("stanza-older", "libssl3", "3.0-1", "", "the one before");
    archive.has("libssl3", "3.0-2", "", "the newest");
    assert!(archive.packages(&["lock"]).status.success());
    let version = |lock: &str| archive.lock(lock)["amd64"]["libssl3"]["version"].clone();
    let lines = shown::lines(&shown::blocks("docs/guide/configuration.md", "packages.rs")[0]);
    let mut versions = Vec::new();
    for line in &lines {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(words[..2], ["doorward", "packages"], "{line}");
        archive.said(&words[2..], 0);
        versions.push(version("sources/nix/packages/lock.json"));
    }
    // Fetched, fetched, the newest, and the one before.
    assert_eq!(versions, ["3.0-2", "3.0-2", "3.0-2", "3.0-1"]);
    assert_eq!(archive.fetched("libssl3_3.0-2_amd64.deb").as_deref(), Some("the newest"));
}

#[test]
fn what_is_there_is_not_fetched_again() {
    let archive = Archive::new();
    assert_eq!(archive.said(&["fetch", "amd64"], 0), "doorward: 2 packages for amd64 downloaded\n");
    assert_eq!(archive.fetched("tool_1%3a1.0-1_amd64.deb").as_deref(), Some("a tool"));
    let locks = ["sources/nix/packages/lock.json", "fetched/lock.json"];
    assert_eq!(archive.lock(locks[0]), archive.lock(locks[1]));
    fs::remove_file(archive.0.join("archive/calls")).expect("apt was called");
    assert_eq!(archive.said(&["fetch", "amd64"], 0), "");
    assert!(!archive.0.join("archive/calls").exists(), "nobody was asked");
    // Half a file counts as none.
    archive.0.write("fetched/amd64/libthing1_2~rc1_amd64.deb", "a lib");
    assert_eq!(archive.said(&["fetch", "amd64"], 0), "doorward: 1 package for amd64 downloaded\n");
    assert_eq!(archive.fetched("libthing1_2~rc1_amd64.deb").as_deref(), Some("a library"));
}

#[test]
fn where_a_version_has_left_the_archive_the_newest_is_taken_and_told() {
    let archive = Archive::new();
    archive.has("libthing1", "3", "", "a newer library");
    let said = archive.said(&["fetch", "--locked", "amd64"], 1);
    assert!(said.contains("the archive no longer has libthing1 2~rc1"), "{said}");
    assert!(!archive.0.join("fetched/lock.json").exists());

    let said = archive.said(&["fetch", "amd64"], 0);
    assert!(
        said.contains("other versions than the lock file, which are used: libthing1 3\n"),
        "{said}"
    );
    assert_eq!(archive.lock("fetched/lock.json")["amd64"]["libthing1"]["version"], "3");
    assert_eq!(
        archive.lock("sources/nix/packages/lock.json")["amd64"]["libthing1"]["version"],
        "2~rc1"
    );
    // It is told once, and then is so.
    assert_eq!(archive.said(&["fetch", "amd64"], 0), "");
    assert!(archive.packages(&["lock", "amd64"]).status.success());
    assert_eq!(archive.said(&["fetch", "--locked", "amd64"], 0), "");
}

#[test]
fn other_bytes_than_the_index_says_are_refused() {
    let archive = Archive::new();
    archive.0.write("archive/files/tool=1:1.0-1", "A TOOL");
    let said = archive.said(&["fetch", "amd64"], 111);
    assert!(said.contains("tool_1%3a1.0-1_amd64.deb is not what the lock file says"), "{said}");
    assert_eq!(archive.fetched("tool_1%3a1.0-1_amd64.deb"), None);
    assert!(!archive.0.join("fetched/lock.json").exists(), "builds would take it for granted");
}

#[test]
fn a_package_that_does_not_exist_is_named() {
    let archive = Archive::new();
    archive.0.write("sources/nix/packages/wanted", "tool\nnothing\n");
    assert!(archive.said(&["lock", "amd64"], 111).contains("the archive has no package nothing"));
    archive.0.write("sources/nix/packages/wanted", "tool\ntool amd46\n");
    let said = archive.said(&["lock", "amd64"], 111);
    assert!(said.contains("wanted:2: there is no amd46 among amd64, arm64, mipsel"), "{said}");
}

#[test]
fn a_package_goes_back_to_the_version_before() {
    let archive = Archive::new();
    archive.has_as("stanza-older", "libthing1", "1.9", "", "an older library");
    archive.has_as("stanza-oldest", "libthing1", "1.8", "", "one that nobody wants");
    assert!(archive.packages(&["older", "libthing1"]).status.success());
    let lock = archive.lock("sources/nix/packages/lock.json");
    assert_eq!(lock["amd64"]["libthing1"]["version"], "1.9");
    assert_eq!(lock["amd64"]["tool"]["version"], "1:1.0-1", "the others stay");
    archive.said(&["fetch", "amd64", "--locked"], 0);
    let fetched = archive.fetched("libthing1_1.9_amd64.deb");
    assert_eq!(fetched.as_deref(), Some("an older library"));
    let said = archive.said(&["older", "tool"], 1);
    assert!(said.contains("no version of tool that is older than 1:1.0-1"), "{said}");
    let said = archive.said(&["older", "nothing"], 100);
    assert!(said.contains("the lock file has no package nothing"), "{said}");
}

#[test]
fn programs_are_told_what_was_downloaded_and_what_has_moved() {
    let archive = Archive::new();
    let (fetch, lock) = ("`doorward packages fetch --json`", "`doorward packages lock --json`");
    let one = archive.told(&["fetch", "amd64"]);
    holds(fetch, &one);
    assert_eq!(one.number("downloaded"), Some(2.0));
    assert_eq!(archive.told(&["fetch", "amd64"]).number("downloaded"), Some(0.0));

    archive.has("libthing1", "3", "", "a newer library");
    archive.has("tool", "1:1.0-1", "", "a tool");
    let one = archive.told(&["fetch", "amd64"]);
    assert!(one.get("moved").unwrap().items().is_empty(), "what is there is good");
    fs::remove_dir_all(archive.0.join("fetched")).unwrap();
    archive.has("tool", "1:1.0-1", "Depends: libthing1\n", "a tool");
    let one = archive.told(&["fetch", "amd64"]);
    holds(fetch, &one);
    let moved = &one.get("moved").unwrap().items()[0];
    let versions =
        |one: &Json| (one.text("from").map(str::to_owned), one.text("to").map(str::to_owned));
    assert_eq!(moved.text("name"), Some("libthing1"));
    assert_eq!(versions(moved), (Some("2~rc1".into()), Some("3".into())));
    assert_eq!(one.number("downloaded"), Some(2.0));

    // One that is newer, and one that is needed no more: people are told the same.
    archive.has("tool", "1:1.1-1", "", "a newer tool");
    let output = archive.packages(&["lock", "amd64"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected = "amd64: 1 package, 2 changed\n  libthing1 is not needed any more\n  tool 1:1.1-1 instead of 1:1.0-1\n";
    assert_eq!(said, expected);
    archive.has("libthing1", "4", "", "a new library");
    archive.has("tool", "1:1.1-1", "Depends: libthing1\n", "a newer tool");
    let one = archive.told(&["lock", "amd64"]);
    holds(lock, &one);
    assert_eq!(one.number("packages"), Some(2.0));
    let moved = one.get("moved").unwrap().items();
    assert_eq!(moved.len(), 1, "{moved:?}");
    assert_eq!(versions(&moved[0]), (None, Some("4".into())));

    archive.has_as("stanza-older", "libthing1", "1.9", "", "an older library");
    let one = archive.told(&["older", "libthing1", "amd64"]);
    holds("`doorward packages older --json`", &one);
    assert_eq!(versions(&one), (Some("4".into()), Some("1.9".into())));
}

#[test]
fn programs_are_told_which_modules_there_are() {
    let modules = stdout(nix::command(doorward()).args(["packages", "modules", "--json"]));
    let modules = Json::parse(modules.trim());
    assert_eq!(modules.items().len(), 2, "{modules:?}");
    modules.items().iter().for_each(|one| holds("`doorward packages modules --json`", one));
}

#[test]
fn what_is_said_of_packages_is_what_stands_in_the_transcript() {
    let archive = Archive::new();
    archive.has_as("stanza-older", "libthing1", "1.9", "", "an older library");
    transcript::here("packages.txt", &archive.0.join("sources"), &[], |command| {
        let path = std::env::var("PATH").unwrap_or_default();
        let place = doorward().parent().expect("a folder").display();
        command.env("PATH", format!("{}:{place}:{path}", archive.0.join("bin").display()));
        command.env("ARCHIVE", archive.0.join("archive"));
        command.env("DOORWARD_PACKAGES", archive.0.join("fetched"));
    });
}
