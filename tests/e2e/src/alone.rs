//! Tests in a network of their own.

use std::process::Command;

use crate::machine::is_root;
use crate::{applets, ward};

const INSIDE: &str = "DOORWARD_TEST_ALONE";

/// Whether this test runs in a network of its own that has nothing but `lo`; if not, it is run there.
pub fn alone(test: &str) -> bool {
    alone_after(test, "true")
}

/// The same, after these lines of a shell script, which may mount things and change the name of the host.
pub fn alone_after(test: &str, before: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let mut unshare = Command::new("unshare");
    if !is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let script = format!("ip link set lo up\n{before}\nexec \"$@\"");
    unshare.args(["--net", "--mount", "--uts", "--fork", "--kill-child"]);
    unshare.args(["/bin/sh", "-ec", &script, "sh"]);
    unshare.arg(std::env::current_exe().expect("a test has a name"));
    unshare.args(["--exact", test, "--nocapture"]);
    unshare.env("WARD", ward()).env(INSIDE, "1");
    applets();
    let output = unshare.output().expect("unshare runs");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    false
}
