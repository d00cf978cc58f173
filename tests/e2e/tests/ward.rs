//! `ward` itself: its list of applets, its help, and the links it makes.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use e2e::{Folder, applet, copy_program, stdout, ward};

fn names() -> Vec<String> {
    stdout(Command::new(ward()).arg("--list")).lines().map(str::to_owned).collect()
}

#[test]
fn every_applet_says_what_it_does() {
    for name in names() {
        let help = stdout(applet(&name).arg("--help"));
        assert!(help.contains("usage: ") && help.contains(&name), "{name}:\n{help}");
    }
}

#[test]
fn a_name_that_is_none_has_a_nearest_one() {
    let output = Command::new(ward()).arg("s6-svcc").output().unwrap();
    assert_eq!(output.status.code(), Some(100));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean s6-svc?"));
}

#[test]
fn links_are_made_for_names_of_their_own_and_nothing_of_others_is_lost() {
    let folder = Folder::new("install");
    folder.write("s6-svc", "somebody's own");
    symlink("/opt/s6-rc-tools/list", folder.join("s6-rc-db")).unwrap();
    symlink("/opt/older/ward", folder.join("s6-rc")).unwrap();
    let output = Command::new(ward()).arg("--install").arg(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("s6-rc-db, s6-svc") || said.contains("s6-svc, s6-rc-db"), "{said}");
    assert_eq!(std::fs::read_to_string(folder.join("s6-svc")).unwrap(), "somebody's own");
    let target = |name: &str| std::fs::read_link(folder.join(name)).unwrap();
    assert_eq!(target("s6-rc-db"), PathBuf::from("/opt/s6-rc-tools/list"));
    assert_eq!(target("s6-rc"), ward(), "a link to an older ward is renewed");
    let made: Vec<String> = (std::fs::read_dir(folder.path()).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(made.contains(&"reboot".into()) && made.contains(&"ward".into()));
    for word in ["status", "start", "logger", "init"] {
        assert!(!made.contains(&word.into()), "{word} would hide somebody else's program");
    }
    let links = stdout(Command::new(ward()).args(["--list", "--links"]));
    for name in links.lines().map(str::to_owned).chain(["s6-svstat".into()]) {
        assert!(made.contains(&name), "{name}");
    }
    assert_eq!(stdout(Command::new(folder.join("s6-rc-dryrun")).arg("a")), "s6-rc-dryrun: a\n");
}

#[test]
fn beside_a_ward_of_its_own_the_links_can_be_moved_with_it() {
    let folder = Folder::new("install-beside");
    copy_program(ward(), folder.join("ward"));
    stdout(Command::new(folder.join("ward")).arg("--install").arg(folder.path()));
    assert_eq!(std::fs::read_link(folder.join("s6-rc")).unwrap(), PathBuf::from("ward"));
    assert!(!folder.join("ward").is_symlink());
}
