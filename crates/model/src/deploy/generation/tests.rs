//! Lines and what they mean, beside each other.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::*;

fn preparation(line: &str) -> Result<Preparation, Wrong> {
    lines::<Preparation>(line).next().expect("a line").map_err(|error| error.wrong)
}

#[test]
fn what_is_said_in_a_line_is_read_again() {
    for line in [
        "module\tjffs2",
        "module\tphram.ko\tphram=flash,0xfe000000,67108864,65536 debug",
        "wait\t/dev/mtd0",
        "memory\tflash\t65536\t1af4:1110\t2",
        "partition\tflash\trootfs\t30408704\t29360128\tro",
        "partition\tflash\tu-boot env\t0\t65536\trw",
        "mount\tjffs2\tmtd:persist\t/persist\tnosuid,noatime",
        "mount\ttmpfs\trun\t/run\t",
        "log\t/run/uncaught-logs\t10\t99999",
    ] {
        let found = preparation(line).unwrap_or_else(|wrong| panic!("{line:?}: {wrong:?}"));
        assert_eq!(found.to_string(), line);
    }
    for line in [
        "directory\t/root\t0700\t0\t0",
        "link\t/var\trun/var",
        "copy\t/persist/key\t4600\t7\t4294967295\t/run/current-system/root/persist/key",
    ] {
        let found = lines::<Entry>(line).next().expect("a line").expect("it can be read");
        assert_eq!(found.to_string(), line);
        assert_eq!(Some(found.path()), line.split('\t').nth(1));
    }
}

#[test]
fn options_and_parameters_may_be_missing() {
    let mount = preparation("mount\tproc\tnone\t/proc").expect("it can be read");
    assert_eq!(mount.to_string(), "mount\tproc\tnone\t/proc\t");
    assert_eq!(preparation("module\tx\t"), preparation("module\tx"));
    for line in ["log\t/run/log\t10\t4096", "log-option\tp\t/dev/pmsg0", "log-option\tx\tgzip -c"] {
        assert_eq!(preparation(line).expect("it can be read").to_string(), line);
    }
}

#[test]
fn a_wrong_line_is_named_and_the_others_are_read() {
    let text = "module\tmtd\n\nmodule\ta\tb\tc\nwait\t/x\n";
    let read: Vec<_> = lines::<Preparation>(text).collect();
    let words = |line| Err(LineError { line, wrong: Wrong::Words });
    assert_eq!(read.len(), 4);
    assert!(read[0].is_ok() && read[3].is_ok());
    assert_eq!((&read[1], &read[2]), (&words(2), &words(3)));
    let said = read[1].as_ref().expect_err("it is empty").to_string();
    assert_eq!(said, "line 2: there is no such line, or not with so many words");
}

#[test]
fn what_cannot_be_meant_is_wrong() {
    use Wrong::*;
    let long = "x".repeat(64);
    for (line, wrong) in [
        ("Module\ta", Words),
        ("module", Words),
        ("module\t", Name),
        ("module\t../../x", Name), // modules lie in one folder
        ("module\ta\0", Name),
        ("wait\tdev", Path),
        ("memory\tflash\t64Ki\t1af4:1110\t2", Number("erase size")),
        ("memory\tflash\t65536\t1af4\t2", Words),
        ("memory\tflash\t65536\t1af4:11100\t2", Number("vendor or device")),
        ("memory\tflash\t65536\t1af4:1110\t-1", Number("number of the region")),
        ("memory\ta,b\t65536\t1af4:1110\t2", Name), // the kernel would read two words
        ("partition\tflash\tx\t0\t0x10\trw", Number("size")),
        ("partition\tflash\tx\t0\t18446744073709551616\trw", Number("size")),
        ("partition\tflash\tx\t0\t1\twr", Words),
        ("mount\ttmpfs\tnone\trun\t", Path),
        ("mount\ttmpfs\t\t/run\t", Name),
        ("log\t/run/log\t10\t4095", Number("size of a file")),
        ("log\t/run/log\t10", Words),
        ("log\t/run/log\t10\t4096\t/dev/pmsg0", Words),
        ("log-option\td\t/", Words),
        ("log-option\tpp\t/dev/pmsg0", Words),
        ("log-option\tp", Words),
        ("log-option\t\tx", Words),
        (&format!("partition\tflash\t{long}\t0\t1\tro"), Name),
    ] {
        assert_eq!(preparation(line), Err(wrong), "{line:?}");
    }
    for (line, wrong) in [
        ("", Words),
        ("file\t/x", Words),
        ("directory\tx\t0755\t0\t0", Path),
        ("directory\t/x\t0788\t0\t0", Number("mode")),
        ("directory\t/x\t17777\t0\t0", Number("mode")),
        ("directory\t/x\t0755\troot\t0", Number("user")),
        ("directory\t/x\t0755\t0\t4294967296", Number("group")),
        ("link\t/x\t", Name),
        ("copy\t/x\t0755\t0\t0\ty", Path),
        ("copy\t/x\t0755\t0\t0\t/y\t", Words),
    ] {
        let found = lines::<Entry>(line).next().map(|entry| entry.map_err(|error| error.wrong));
        // An empty text has no line at all.
        assert_eq!(found, (!line.is_empty()).then_some(Err(wrong)), "{line:?}");
    }
}
