//! `doorward vm` with a machine that is no router: its "kernel" is a few instructions that say
//! the command line on the console, and do what its first letter stands for.

use std::fs;
use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::documented::{events, holds};
use e2e::json::Json;
use e2e::process::{alive, send};
use e2e::vm::{LIMIT, Vm};
use e2e::{Folder, shown, stdout, transcript, wait_for};
use model::flash::image::{self, Processor};
use serde_json::json;

const MIB: usize = 1 << 20;
/// Where the partitions `kernel` and `firmware` begin.
const KERNEL: usize = MIB;

/// What QEMU starts as Linux, by the note in it (Xen `include/public/elfnote.h`, number 18).
/// `off` powers off, `restart` restarts; everything else waits.
const KERNEL_SOURCE: &str = r#"
	.section .note.start, "a", @note
	.long 4, 4, 18
	.asciz "Xen"
	.long start
	.text
	.globl start
start:	mov 24(%ebx), %esi	# the command line
	mov %esi, %edi
	mov $0x3f8, %dx		# the serial port
1:	lodsb
	test %al, %al
	jz 2f
	out %al, %dx
	jmp 1b
2:	mov $'\n', %al
	out %al, %dx
	cmpb $'o', (%edi)
	je off
	cmpb $'r', (%edi)
	je restart
3:	hlt
	jmp 3b
off:	mov $0x604, %dx		# PM1a_CNT of QEMU's q35
	mov $0x2000, %ax
	out %ax, %dx
	jmp 3b
restart: mov $0xcf9, %dx
	mov $6, %al
	out %al, %dx
	jmp 3b
"#;

/// The kernel as an ELF file.
fn kernel(folder: &Folder) -> Vec<u8> {
    let source = folder.write("kernel.s", KERNEL_SOURCE);
    let (object, program) = (folder.join("kernel.o"), folder.join("kernel"));
    stdout(Command::new("as").arg("--32").arg(source).arg("-o").arg(&object));
    stdout(
        Command::new("ld")
            .args(["-m", "elf_i386", "-Ttext=0x100000", "-e", "start", "--build-id=none"])
            .arg(object)
            .arg("-o")
            .arg(&program),
    );
    fs::read(program).expect("ld has made it")
}

/// The same as a bzImage of Linux's: nothing but the fields that say where what is packed.
fn bz_image(kernel: &[u8]) -> Vec<u8> {
    let gzip = Command::new("gzip").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut gzip = gzip.expect("gzip runs");
    gzip.stdin.take().expect("a pipe").write_all(kernel).expect("gzip reads");
    let packed = gzip.wait_with_output().expect("gzip ends").stdout;
    let mut image = vec![0; 1024];
    image[0x1f1] = 1;
    image[0x202..0x208].copy_from_slice(b"HdrS\x0f\x02");
    image[0x24c..0x250].copy_from_slice(&(packed.len() as u32 + 4).to_le_bytes());
    image.extend(packed);
    image.extend((kernel.len() as u32).to_le_bytes());
    image
}

/// What is in the partition of the kernel.
fn image(kernel: &[u8], command_line: &str) -> Vec<u8> {
    let parts = [kernel, b"nothing", command_line.as_bytes()];
    image::write(Processor::X86_64, "test", &parts).expect("parts as they should be")
}

/// A device that was built into a folder.
fn built(command_line: &str) -> (Folder, Vec<u8>) {
    let folder = Folder::new("device");
    let kernel = kernel(&folder);
    folder.write("firmware.bin", image(&kernel, command_line));
    let partition = |offset: usize, bytes: usize| json!({ "offset": offset, "size": bytes });
    let description = json!({
        "hostname": "test", "device": "test",
        "emulator": "qemu-system-x86_64", "arguments": ["-M", "q35", "-cpu", "max"],
        "memory": 64, "attach": "ivshmem", "rom": "host",
        "flash": { "size": 4 * MIB, "eraseSize": 65536, "partitions": {
            "kernel": partition(KERNEL, MIB), "firmware": partition(KERNEL, 3 * MIB),
        } },
        "firmware": "firmware.bin",
        "ssh": { "address": "192.168.8.1", "port": 22 },
        "forward": [],
    });
    folder.write("vm.json", description.to_string());
    (folder, kernel)
}

/// Writes into the partition of the kernel, as the device itself would.
fn write_kernel(flash: &Path, bytes: &[u8]) {
    let file = fs::File::options().write(true).open(flash).expect("the flash is there");
    file.write_all_at(bytes, KERNEL as u64).expect("it can be written");
}

#[test]
fn what_was_written_into_the_flash_boots_next() {
    let (device, kernel) = built("wait 1");
    let mut vm = Vm::new("next", device.path());
    vm.option(&["--json"]);
    vm.start();
    vm.wait_console("wait 1\n");
    write_kernel(&vm.flash(), &image(&kernel, "restart 2"));
    vm.order("system_reset", json!({}));
    for _ in 0..3 {
        vm.wait_console("restart 2\n");
    }
    write_kernel(&vm.flash(), &image(&bz_image(&kernel), "off 3"));
    vm.wait_console("off 3\n");
    assert!(vm.wait_end().success(), "{}", vm.said());
    vm.wait_said("it has powered itself off");
    events("`doorward vm --json`", &vm.printed(), &["starts", "restarts", "ended"]);
    assert!(vm.printed().contains("\"how\":\"off\""), "{}", vm.printed());
}

#[test]
fn the_flash_outlives_a_power_cut_and_is_made_anew_only_when_asked() {
    let (device, kernel) = built("wait for ever");
    let mut vm = Vm::new("cut", device.path());
    vm.start();
    vm.wait_console("wait for ever\n");
    write_kernel(&vm.flash(), &image(&kernel, "written"));
    vm.cut_power();
    vm.start();
    vm.wait_console("written\n");
    vm.stop();
    vm.wait_said("the plug is pulled");
    vm.option(&["--fresh"]);
    vm.start();
    vm.wait_console("wait for ever\n");
}

#[test]
fn a_kernel_that_cannot_boot_is_told_from_others() {
    let (device, kernel) = built("wait");
    let whole = image(&kernel, "wait");
    let mut changed = whole.clone();
    *changed.last_mut().expect("it is not empty") ^= 1;
    for (bytes, expected) in [
        (changed, "the partition kernel: its image is damaged"),
        (vec![0xff; MIB], "the partition kernel: it is erased"),
        (vec![0; MIB], "the partition kernel: there is no image in it"),
        (image(b"a script", "wait"), "its kernel is neither an ELF file"),
        (
            image::write(Processor::X86_64, "", &[b"kernel"]).expect("one part"),
            "its image has 1 parts",
        ),
    ] {
        let mut vm = Vm::new("broken", device.path());
        let mut flash = vec![0xff; 4 * MIB];
        flash[KERNEL..KERNEL + bytes.len()].copy_from_slice(&bytes);
        fs::write(vm.flash(), flash).expect("it can be written");
        vm.option(&["--json"]);
        vm.run();
        assert_eq!(vm.wait_end().code(), Some(1), "{}", vm.said());
        vm.wait_said(expected);
        events("`doorward vm --json`", &vm.printed(), &["failed"]);
        assert!(vm.printed().contains(expected), "{}", vm.printed());
        vm.wait_said("--fresh writes the firmware into the flash anew");
    }
}

#[test]
fn a_flash_that_is_another_one_or_in_use_is_refused() {
    let (device, _) = built("wait");
    let mut vm = Vm::new("refused", device.path());
    fs::write(vm.flash(), [0; 1000]).expect("it can be written");
    vm.run();
    assert_eq!(vm.wait_end().code(), Some(100));
    vm.wait_said("it has 1000 bytes, and that of the device 4194304");
    fs::remove_file(vm.flash()).expect("it is there");
    vm.start();
    let second = Command::new(e2e::doorward())
        .arg("vm")
        .arg(device.join("vm.json"))
        .arg("--flash")
        .arg(vm.flash())
        .output()
        .expect("doorward runs");
    assert_eq!(second.status.code(), Some(111));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("another virtual router runs on it"), "{said}");
}

#[test]
fn nothing_is_left_of_one_that_was_killed() {
    let (device, _) = built("wait");
    let mut vm = Vm::new("killed", device.path());
    vm.option(&["--network", "real"]);
    vm.start();
    let qemu = vm.qemu();
    let inside = stdout(&mut vm.beside("provider", &["sh", "-c", "readlink /proc/self/ns/pid"]));
    assert!(with_namespace(inside.trim()) > 0);
    send("KILL", vm.process());
    vm.wait_end();
    wait_for("the end of QEMU", LIMIT, || gone(qemu).then_some(()));
    wait_for("the end of the neighbours", LIMIT, || {
        (with_namespace(inside.trim()) == 0).then_some(())
    });
}

/// Whether a process has ended; its new parent may not have asked for it yet.
fn gone(pid: u32) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !alive(pid) || state.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z"))
}

/// How many processes live in a process namespace.
fn with_namespace(name: &str) -> usize {
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    let links: Vec<PathBuf> =
        processes.filter_map(|entry| fs::read_link(entry.path().join("ns/pid")).ok()).collect();
    links.iter().filter(|link| link.as_os_str() == name).count()
}

#[test]
fn providers_give_names_and_visitors_find_the_way_home() {
    let (device, _) = built("wait");
    let mut vm = Vm::new("networks", device.path());
    vm.option(&["--network", "real", "--json", "--forward", "0:80"]);
    // Who answers as ssh does lets nobody in: what would be read there comes from another program.
    device.write("bin/ssh", "#!/bin/sh\nprintf 'kernel\\t0.5\\nup\\t4.25\\n'\n");
    e2e::machine::executable(&device.join("bin/ssh"));
    let path = std::env::var("PATH").expect("there is a PATH");
    vm.environment("PATH", format!("{}:{path}", device.join("bin").display()));
    vm.start();
    for (network, address) in [("provider", "198.51.100.1"), ("provider2", "203.0.113.1")] {
        let lookup = ["busybox", "nslookup", "-type=a", "www.example.net", address];
        let answer = stdout(&mut vm.beside(network, &lookup));
        assert!(answer.contains(&format!("Address: {address}")), "{answer}");
    }
    // The client plays the router: it has its address, and something there answers as ssh does.
    let play = "ip address add 192.168.8.1/24 dev cable && \
                exec busybox nc -ll -p 22 -e echo SSH-2.0-play";
    let mut play = vm.beside("client", &["sh", "-c", play]).spawn().expect("nsenter runs");
    vm.wait_said("ssh answers after");
    vm.wait_open();
    vm.wait_said("since its kernel began: kernel 0.50 s, up 4.25 s");
    let _ = play.kill();
    let _ = play.wait();
    vm.stop();
    let told = vm.printed();
    events("`doorward vm --json`", &told, &["starts", "open", "phases", "ended"]);
    let of = |name: &str| {
        let objects = told.lines().map(Json::parse);
        objects.into_iter().find(|it| it.text("event") == Some(name)).expect("it is told")
    };
    let forwards = of("open").get("forwards").expect("there are some").items().to_vec();
    assert_eq!(forwards.len(), 1, "{told}");
    forwards.iter().for_each(|one| holds("Each of `forwards`", one));
    let phases = of("phases").get("phases").expect("there are some").items().to_vec();
    phases.iter().for_each(|one| holds("`ward phases --json`", one));
    assert_eq!(phases[1].number("at_ms"), Some(4250.0));
    assert_eq!(of("ended").text("how"), Some("unplugged"));
    assert!(of("starts").number("networks").is_some(), "{told}");
}

#[test]
fn networks_of_qemu_need_no_namespaces() {
    let (device, _) = built("wait");
    let mut vm = Vm::new("user", device.path());
    vm.option(&["--network", "user"]);
    vm.start();
    vm.wait_console("wait\n");
    let cards = vm.order("query-rx-filter", json!({}));
    assert_eq!(cards.as_array().map(Vec::len), Some(3), "{cards}");
    // The forwarder is QEMU's, and nobody is behind it.
    std::thread::sleep(Duration::from_millis(300));
    assert!(!vm.said().contains("ssh answers"), "{}", vm.said());
}

#[test]
fn a_port_that_is_taken_is_an_error_where_it_was_asked_for_and_another_one_where_it_was_not() {
    let (device, _) = built("wait");
    let taken = UdpSocket::bind("127.0.0.1:0").expect("there is a free port");
    let port = taken.local_addr().expect("it has an address").port();
    let description = device.join("vm.json");
    let text = fs::read_to_string(&description).expect("it was written");
    let forward = format!("\"forward\":[\"udp:{port}:53\"]");
    device.write("vm.json", text.replace("\"forward\":[]", &forward));

    for (forward, code, expected) in [
        (
            format!("udp:{port}:53"),
            111,
            format!("cannot forward 127.0.0.1:{port}: Address already"),
        ),
        ("53".to_owned(), 100, "it should be HOST:GUEST, as in 8080:80".to_owned()),
    ] {
        let mut command = Command::new(e2e::doorward());
        command.arg("vm").arg(&description).args(["--forward", &forward]);
        let output = command.output().expect("doorward runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(&expected), "{said}");
    }
    let mut vm = Vm::new("taken", device.path());
    vm.start();
    vm.wait_said(&format!("port {port} (udp) cannot be had, a free one is taken: Address already"));
}

#[test]
fn ports_of_this_machine_are_held_as_the_page_has_them() {
    let (device, _) = built("wait");
    let steps = shown::blocks("docs/guide/virtual.md", "vm.rs").remove(0);
    for (number, line) in shown::lines(&steps).iter().enumerate() {
        // The same with ports that nobody has here.
        let tcp = TcpListener::bind("0.0.0.0:0").expect("there is a free port");
        let udp = UdpSocket::bind("0.0.0.0:0").expect("there is a free port");
        let [tcp_port, udp_port] =
            [tcp.local_addr(), udp.local_addr()].map(|at| at.expect("an address").port());
        drop((tcp, udp));
        let line =
            line.replace("8080", &tcp_port.to_string()).replace("5353", &udp_port.to_string());
        let words = line.strip_prefix("doorward vm result ").expect("it runs a result");
        let mut vm = Vm::new(&format!("forward-{number}"), device.path());
        vm.option(&words.split(' ').collect::<Vec<_>>());
        vm.start();
        let held = match (words.contains("udp:"), words.contains(&tcp_port.to_string())) {
            (true, _) => UdpSocket::bind(("127.0.0.1", udp_port)).is_err(),
            (_, true) => TcpListener::bind(("127.0.0.1", tcp_port)).is_err(),
            // Any: there is only its name, and that comes when ssh answers.
            _ => words == "--forward 0:80",
        };
        assert!(held, "{line}: {}", vm.said());
        if words.contains("0.0.0.0") {
            assert!(TcpListener::bind(("127.0.0.2", tcp_port)).is_err(), "for everybody");
        }
    }
}

#[test]
fn what_is_said_is_what_stands_in_the_transcript() {
    let (device, _) = built("off");
    let folder = Folder::new("vm-said");
    symlink(device.path(), folder.join("result")).expect("a link");
    transcript::here("vm.txt", folder.path(), &[], |command| {
        command.env("XDG_CACHE_HOME", folder.path());
    });
}

#[test]
fn the_key_of_trials_is_made_once() {
    let home = Folder::new("home");
    let key = || {
        let mut command = Command::new(e2e::doorward());
        stdout(command.args(["vm", "key"]).env("XDG_CACHE_HOME", home.path()))
    };
    let first = key();
    assert!(first.starts_with("ssh-ed25519 "), "{first}");
    assert_eq!(first, key());
    let private = home.join("doorward/vm/key");
    assert!(private.exists());
    let mut command = Command::new(e2e::doorward());
    command.args(["vm", "key", "--json"]).env("XDG_CACHE_HOME", home.path());
    let told = Json::parse(stdout(&mut command).trim());
    holds("`doorward vm key --json`", &told);
    assert_eq!(told.text("public"), Some(first.trim_end()));
    assert_eq!(told.text("private_file"), private.to_str());
    for words in
        [&["--json", "vm.json", "--", "true"][..], &["--json", "--console", "-", "vm.json"]]
    {
        let output = Command::new(e2e::doorward()).arg("vm").args(words).output().expect("it runs");
        assert!(!output.status.success(), "{words:?}");
    }
}
