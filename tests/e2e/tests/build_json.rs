//! What `doorward build` says, to people and to programs.

use std::fs;

use e2e::documented::holds;
use e2e::json::Json;
use e2e::nix::{SMALL, as_builds_want, closure, command, on_disk, sources, store};
use e2e::{Folder, doorward, stdout, transcript};

#[test]
fn of_a_file_an_image_and_a_folder_programs_are_told_what_it_is_and_how_large() {
    let folder = Folder::new("told");
    let mut build = command(doorward());
    build
        .arg("build")
        .arg("--store")
        .arg(store())
        .arg("-c")
        .arg(sources().join("examples/configuration.nix"))
        .arg("--json");
    build.arg("-o").arg(folder.join("made"));
    for output in ["outputs.manifest", "outputs.rootfs", "outputs.systemConfiguration"] {
        build.args(["-A", output]);
    }
    let results = Json::parse(stdout(&mut build).trim());
    results.items().iter().for_each(|one| holds("`doorward build --json`", one));
    let [manifest, image, system] = results.items() else { panic!("{results:?}") };
    for one in [manifest, image] {
        let path = one.text("path").expect("it has one");
        let bytes = fs::metadata(on_disk(path)).expect("it is there").len();
        assert_eq!(one.number("bytes"), Some(bytes as f64), "{one:?}");
        assert_eq!(one.text("place"), Some(&*on_disk(path).to_string_lossy()));
        let link = one.text("link").expect("a link was made");
        assert_eq!(fs::canonicalize(link).ok(), fs::canonicalize(on_disk(path)).ok());
    }
    assert_eq!(manifest.get("partition"), None, "it is no image");
    assert_eq!(
        (image.text("partition"), image.text("attribute")),
        (Some("rootfs"), Some("outputs.rootfs"))
    );
    assert!(image.number("partition_bytes") > image.number("bytes"), "{image:?}");
    let needs = closure(system.text("path").expect("it has one"));
    assert_eq!(system.number("paths"), Some(needs.len() as f64));
    assert!(system.number("closure_bytes") > image.number("bytes"), "an image is packed");
}

#[test]
fn what_is_said_of_a_build_is_what_stands_in_the_transcript() {
    let folder = Folder::new("said");
    folder.write("c.nix", SMALL);
    let (store, top) = (store().display().to_string(), sources().display().to_string());
    let hidden = [(&*store, "STORE"), (&*top, "SOURCES")];
    transcript::here("build.txt", folder.path(), &hidden, |build| {
        as_builds_want(build);
        build.env("DOORWARD_STORE", &store);
    });
}
