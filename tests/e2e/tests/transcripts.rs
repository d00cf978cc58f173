//! What people type and what they read (e2e/src/transcript.rs): the texts in tests/cases/transcripts are run,
//! and what comes out is what stands there. `TRANSCRIPTS=write cargo test -p e2e --test transcripts` writes them
//! anew; read the difference before it is committed.
//!
//! Files named `ward-…` are run in a pretend router, `doorward-…` in an empty folder, and others by the tests that
//! have what those need.

use std::fs;
use std::process::Command;

use e2e::client::Client;
use e2e::device::Device;
use e2e::transcript::{self, compare, files, filled, script};
use e2e::{Folder, doorward, ward};
use model::digest::Digest;
use model::flash::manifest::{Manifest, Part};

/// `web` needs `net` and `rules`; the start of `rules` takes a while; `dies` and `fails` do what they are
/// called.
fn router() -> Device {
    let device = Device::new("transcripts");
    device.longrun("net", "echo up and away\nexec sleep 100000").oneshot("rules", "sleep 0.3");
    device.sleeper("web").needs("web", &["net", "rules"]);
    device.oneshot("fails", "sh -c \"echo '<3>it is too late'; exit 3\"");
    device.sleeper("user").needs("user", &["fails"]);
    device.longrun("dies", "echo good bye\nexit 7").set("dies", "restart-wait", "60000");
    device.sleeper("spare").bundle("default", &["web"]).bundle("all", &["net", "rules", "web"]);
    device
}

#[test]
fn on_a_router() {
    let sources = router();
    for path in files("ward-") {
        let text = fs::read_to_string(&path).unwrap();
        let mut command = Command::new(doorward());
        command.args(["run", "--ward"]).arg(ward()).arg(sources.join("src"));
        let said = Client::run(command.args(["sh", "-c", &script(&text)]));
        assert_eq!(said.code, 0, "{}: {}\n{}", path.display(), said.out, said.err);
        compare(&path, &text, &filled(&text, &said.out));
    }
}

#[test]
fn on_the_build_machine() {
    for path in files("doorward-") {
        let folder = Folder::new("transcripts");
        folder.write("image", image());
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        transcript::here(&name, folder.path(), &[], |_| {});
    }
}

/// One that is whole.
fn image() -> Vec<u8> {
    let mut image: Vec<u8> = (0..0x10000_u32).map(|at| (at / 7) as u8).collect();
    let part = Part {
        name: "rootfs".into(),
        offset: 0,
        size: 0x20000,
        bytes: 0x10000,
        digest: Digest::of(&image),
        rest_erased: false,
    };
    let manifest = Manifest {
        device: "Example".into(),
        generation: "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-system".into(),
        partition: "firmware".into(),
        size: 0x20000,
        erase_bytes: 0x10000,
        bytes: 0x10000,
        parts: vec![part],
        signature: None,
    };
    image.extend(manifest.trailer().expect("a manifest"));
    image
}
