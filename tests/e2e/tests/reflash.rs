//! `doorward reflash` where something goes wrong. What stands for ssh, and for the device behind it, is a
//! script: it answers from files, and can be told to fail at each step. (The way on which all goes well is
//! walked with a router in `virtual/levitate.rs`.)

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use e2e::documented::{events, holds};
use e2e::json::Json;
use e2e::{Folder, doorward, shown, stdout, transcript};
use model::digest::Digest;
use model::flash::manifest::{Manifest, Part};

const BLOCK: usize = 4096;
const NEW: &str = "/nix/store/new-system";

/// A device: `system`, `boot` and `where` (nothing, or `maintenance: ...`) are what it says of itself. Files
/// say what fails: `levitate`, `stuck` (it does not restart), `elsewhere` (it restarts to its old system),
/// `breaks` (so many connections break while the image is sent), `writes` (flashcp ends so), `mute`; `says` is
/// what flashcp prints.
const DEVICE: &str = r#"
cd "$(dirname "$0")"
for word; do line=$word; done
echo "$*" >> words
echo "$line" >> asked
restart() { test -e stuck || { echo x >> boot; "$@"; }; exit 255; }
case $line in
"echo device"*)
    test ! -e mute || { echo 'ssh: no route to host' >&2; exit 255; }
    echo device Pretend; echo system $(cat system); echo boot $(tr -d '\n' < boot); echo status $(cat where)
    echo 'MemTotal: 262144 kB'; sed 's/^/key /' keys; echo; echo 'mtd4: 00010000 00001000 "firmware"' ;;
"levitate --stay") ;;
levitate*) test ! -e levitate || { echo 'ward: not enough memory' >&2; exit 111; } ;;
reboot)
    case $(cat where) in
    maintenance*) restart sh -c '> where; test -e elsewhere || cat written > system' ;;
    *) test -e elsewhere && restart true; restart sh -c 'echo maintenance: here > where' ;;
    esac ;;
"while pidof"*) ;;
flashcp*)
    test ! -s breaks || { sed -i 1d breaks; exit 255; }
    test ! -e writes || exit $(cat writes)
    test ! -e says || cat says
    cat > image; echo /nix/store/new-system > written ;;
*) exit 127 ;;
esac
"#;

struct Pretend(Folder);

impl Pretend {
    fn new() -> Self {
        let folder = Folder::new("reflash");
        for (name, text) in [
            ("ssh", DEVICE),
            ("system", "/nix/store/old-system"),
            ("boot", "x\n"),
            ("where", ""),
            ("keys", ""),
        ] {
            folder.write(name, text);
        }
        folder.write("image-built", image());
        Self(folder)
    }

    fn is(&self, name: &str, text: &str) {
        self.0.write(name, text);
    }

    fn no_more(&self, name: &str) {
        fs::remove_file(self.0.join(name)).expect("it was there");
    }

    fn reads(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }

    /// The exit code, and what was said.
    fn reflash(&self, words: &[&str]) -> (Option<i32>, String) {
        let output = self.command(words).output().expect("doorward runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said + &String::from_utf8_lossy(&output.stdout))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(doorward());
        command.args(["reflash", "root@pretend", "--wait", "2", "--image"]);
        command.arg(self.0.join("image-built")).args(words);
        command.env("DOORWARD_SSH", format!("sh {}", self.0.join("ssh").display()));
        command.env("NIX_SSHOPTS", "-o Person=yes");
        command
    }

    #[track_caller]
    fn ends(&self, code: i32, words: &[&str], parts: &[&str]) {
        let (found, said) = self.reflash(words);
        assert_eq!(found, Some(code), "{said}");
        for part in parts {
            assert!(said.contains(part), "{part:?} is not in:\n{said}");
        }
    }

    fn image_came(&self) -> Vec<u8> {
        fs::read(self.0.join("image")).unwrap_or_default()
    }
}

fn image() -> Vec<u8> {
    let mut image: Vec<u8> = (0..3 * BLOCK).map(|at| (at / 7) as u8).collect();
    let part = Part {
        name: "rootfs".into(),
        offset: 0,
        size: 4 * BLOCK as u64,
        bytes: image.len() as u64,
        digest: Digest::of(&image),
        rest_erased: false,
    };
    let manifest = Manifest {
        device: "Pretend".into(),
        generation: NEW.into(),
        partition: "firmware".into(),
        size: 16 * BLOCK as u64,
        erase_bytes: BLOCK as u32,
        bytes: image.len() as u64,
        parts: vec![part],
        signature: None,
    };
    image.extend(manifest.trailer().expect("a manifest as it should be"));
    image
}

#[test]
fn each_step_that_fails_says_how_the_device_is_and_the_next_try_goes_on_there() {
    let device = Pretend::new();
    device.is("mute", "");
    device.ends(
        111,
        &[],
        &["cannot reach root@pretend: ssh: no route to host", "nothing was changed on it"],
    );
    device.no_more("mute");

    device.ends(0, &["-n"], &["all of it fits; nothing was changed"]);
    device.is("levitate", "");
    device.ends(
        1,
        &[],
        &["cannot go into maintenance: ward: not enough memory", "nothing was changed on it"],
    );
    device.no_more("levitate");
    assert!(!device.reads("asked").contains("flashcp"), "{}", device.reads("asked"));

    device.is("stuck", "");
    let away = "on its way into maintenance";
    device.ends(1, &[], &[away, "its flash is as it was", "Starting this again goes on"]);
    device.no_more("stuck");
    device.is("elsewhere", "");
    let elsewhere = "has restarted into /nix/store/old-system";
    device.ends(1, &[], &["did not come to maintenance", elsewhere, "its flash is as it was"]);
    device.no_more("elsewhere");

    // It comes to maintenance, and the flash fails.
    device.is("writes", "1");
    let state = [
        "was not written as it should be",
        "is in maintenance, and stays there: keep its power on",
    ];
    device.ends(1, &[], &state);
    // Connections that break are tried again; one that always does is given up.
    device.no_more("writes");
    device.is("breaks", "x\nx\nx\n");
    device.ends(1, &[], &state);
    assert_eq!(device.reads("asked").matches("flashcp -v").count(), 4);

    // From there on: no second `levitate`; then it does not come back, or as what it was.
    device.is("breaks", "x\n");
    device.is("elsewhere", "");
    let before = device.reads("asked").matches("levitate\n").count();
    device.ends(
        1,
        &[],
        &[
            "it is in maintenance already",
            "trying again",
            "runs /nix/store/old-system, which is not what was written",
        ],
    );
    assert_eq!(device.reads("asked").matches("levitate\n").count(), before);
    assert_eq!(device.image_came(), image());
    device.no_more("elsewhere");
    device.is("where", "maintenance: here");
    device.is("stuck", "");
    device.ends(
        1,
        &[],
        &["was written, and did not", "after its restart", "the image is on its flash"],
    );
    device.no_more("stuck");
    device.ends(0, &[], &["in maintenance already", "runs /nix/store/new-system after"]);
    device.ends(0, &[], &["there is nothing to do"]);
}

#[test]
fn programs_are_told_each_step() {
    let device = Pretend::new();
    device.is("levitate", "");
    let told = |code: i32, words: &[&str], expected: &[&str]| {
        let output = device.command(&[&["--json"], words].concat()).output().expect("it runs");
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        events("`doorward reflash --json`", &told, expected);
        let last = Json::parse(told.lines().last().expect("it has said something"));
        assert_eq!(last.text("event"), expected.last().copied(), "{told}");
        last
    };
    let last = told(1, &[], &["found", "failed"]);
    assert!(last.text("why").expect("why").contains("nothing was changed on it"), "{last:?}");
    device.no_more("levitate");
    told(0, &["-n"], &["found", "fits"]);
    // What `flashcp` says there is for people.
    device.is("says", "100 %\n");
    let last = told(0, &[], &["found", "maintenance", "written", "runs"]);
    assert_eq!(last.text("path"), Some(NEW));
    told(0, &[], &["found", "runs"]);
}

#[test]
fn ssh_is_called_as_people_have_it_called() {
    let device = Pretend::new();
    device.ends(0, &["-p", "2222", "-i", "mine", "-o", "Mine=1", "-n"], &["nothing was changed"]);
    let words = device.reads("words");
    let first = words.lines().next().unwrap_or_default();
    // What is said here comes before what is said for all, and that before what is usual.
    let expected = "-o Mine=1 -p 2222 -i mine -o Person=yes -o ConnectTimeout=10 ";
    assert!(
        first.starts_with(expected) && first.contains(" root@pretend -- echo device"),
        "{first}"
    );
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_asked_of_the_device() {
    let device = Pretend::new();
    let mut damaged = image();
    damaged[5] ^= 1;
    for (bytes, why) in [
        (&damaged[..], "its part rootfs is damaged"),
        (&image()[..9000], "it has no manifest"),
        (b"", "it has no manifest"),
    ] {
        device.0.write("image-built", bytes);
        device.ends(1, &[], &[why, "nothing was changed on the device"]);
    }
    assert_eq!(device.reads("asked"), "");
    let mut other = Manifest::of_file(&image()).expect("whole").expect("it is there");
    other.device = "Another".into();
    let mut bytes = image()[..3 * BLOCK].to_vec();
    bytes.extend(other.trailer().expect("as it should be"));
    device.0.write("image-built", bytes);
    device.ends(
        1,
        &[],
        &["it is Pretend, and the image is for Another", "nothing was changed on it"],
    );
    assert!(!device.reads("asked").contains("levitate\n"));
}

/// A pair of keys as Nix makes them, all of one name: the files of the secret one and of the public one.
fn keys(folder: &Folder, name: &str) -> (PathBuf, PathBuf) {
    let (secret, public) = (folder.join(format!("{name}.sec")), folder.join(format!("{name}.pub")));
    let mut make = Command::new("nix-store");
    stdout(make.args(["--generate-binary-cache-key", "home-1"]).arg(&secret).arg(&public));
    (secret, public)
}

#[test]
fn a_device_with_keys_gets_only_what_they_have_signed() {
    let device = Pretend::new();
    let (mine, public) = keys(&device.0, "mine");
    let (other, _) = keys(&device.0, "other");
    fs::write(device.0.join("keys"), fs::read(&public).expect("a key")).expect("a file");
    let state = "nothing was changed on it";
    device.ends(1, &[], &["this one is not signed", state]);
    let word = |path: &PathBuf| path.display().to_string();
    device.ends(
        1,
        &["--sign", &word(&other)],
        &["signed with", "a key that nobody vouches for", state],
    );
    assert!(!device.reads("asked").contains("levitate\n"), "{}", device.reads("asked"));
    device.ends(0, &["--sign", &word(&mine), "-n"], &["all of it fits"]);
    device.is("keys", "nonsense");
    device.ends(1, &["--sign", &word(&mine)], &["its own keys cannot be read", state]);
    device.ends(0, &["--unsigned"], &["runs /nix/store/new-system"]);
    assert!(device.reads("asked").contains("flashcp -v --unsigned - mtd:firmware"));
    assert_eq!(device.image_came(), image());

    // As the page has it: keys are made, the image is signed, looked at, and sent with its signature.
    device.is("system", "/nix/store/old-system");
    std::os::unix::fs::symlink("image-built", device.0.join("result")).expect("a link");
    let lines = shown::lines(&shown::blocks("docs/guide/reinstall.md", "reflash.rs")[0]);
    assert_eq!(lines.len(), 4);
    for (line, said) in lines.iter().zip(["", "", "signed with the key home-1", NEW]) {
        let mut shell = shown::shell(device.0.path());
        shell.env("DOORWARD_SSH", format!("sh {}", device.0.join("ssh").display()));
        let heard = shown::typed(&mut shell, line);
        assert!(heard.contains(said), "{line}: {heard}");
        if let Ok(key) = fs::read(device.0.join("key.pub")) {
            // The device knows it from now on.
            fs::write(device.0.join("keys"), key).expect("a file");
        }
    }
    let asked = device.reads("asked");
    assert!(asked.contains("flashcp -v - mtd:firmware"), "{asked}");
    assert_ne!(device.image_came(), image(), "its signature came along");

    // The signature goes along.
    fs::write(device.0.join("keys"), fs::read(&public).expect("a key")).expect("a file");
    device.is("system", "/nix/store/old-system");
    device.ends(0, &["--sign", &word(&mine)], &["runs /nix/store/new-system"]);
    assert!(device.reads("asked").contains("flashcp -v - mtd:firmware"));
    let came = device.0.write("came", device.image_came());
    let image = |words: &[&str]| {
        let output = Command::new(doorward()).arg("image").args(words).output().expect("it runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let verify = |image_path: &PathBuf, key: &PathBuf| {
        image(&["verify", "-k", &word(key), &word(image_path)])
    };
    let (code, said) = verify(&came, &public);
    assert!(code == Some(0) && said.contains("signature  signed with the key home-1\n"), "{said}");

    // Signed by somebody else, changed after it was signed, and not at all.
    let built = device.0.join("image-built");
    let theirs = device.0.join("theirs");
    assert_eq!(
        image(&["sign", "-k", &word(&other), "-o", &word(&theirs), &word(&built)]).0,
        Some(0)
    );
    let (code, said) = verify(&theirs, &public);
    assert!(code == Some(1) && said.contains("nobody vouches for"), "{said}");
    let mut changed = Manifest::of_file(&device.image_came()).expect("whole").expect("it is there");
    changed.generation = "/nix/store/evil".into();
    let mut bytes = device.image_came()[..3 * BLOCK].to_vec();
    bytes.extend(changed.trailer().expect("as it should be"));
    let changed = device.0.write("changed", bytes);
    for (path, key, why) in
        [(&changed, &public, "not as it is now"), (&built, &public, "not signed")]
    {
        let (code, said) = verify(path, key);
        assert!(code == Some(1) && said.contains(why), "{said}");
    }
    // Without keys only what contradicts itself is refused.
    assert_eq!(image(&["verify", &word(&changed)]).0, Some(1));
    assert_eq!(image(&["verify", &word(&theirs)]).0, Some(0));
    // In its own place; a link is not followed into a store, and nobody signs what is damaged.
    let (code, said) = image(&["sign", "--json", "--key", &word(&mine), &word(&built)]);
    assert_eq!(code, Some(0), "{said}");
    let signed = Json::parse(said.trim());
    holds("`doorward image verify --json`", &signed);
    assert_eq!(signed, Json::parse(image(&["verify", "--json", &word(&built)]).1.trim()));
    assert!(signed.text("signature").expect("it has one").starts_with("signed"), "{signed:?}");
    assert_eq!(verify(&built, &public).0, Some(0));
    let link = device.0.join("result");
    let (code, said) = image(&["sign", "--key", &word(&mine), &word(&link)]);
    assert!(code == Some(100) && said.contains("-o says where"), "{said}");
    let mut damaged = fs::read(&built).expect("an image");
    damaged[9] ^= 1;
    let damaged = device.0.write("damaged", damaged);
    let (code, said) = image(&["sign", "--key", &word(&mine), &word(&damaged)]);
    assert!(
        code == Some(1) && said.contains("cannot sign") && said.contains("is damaged"),
        "{said}"
    );
}

#[test]
fn what_is_said_is_what_stands_in_the_transcript() {
    let device = Pretend::new();
    transcript::here("device-reflash.txt", device.0.path(), &[], |command| {
        command.env("DOORWARD_SSH", format!("sh {}", device.0.join("ssh").display()));
    });
}
