//! The smallest programs there can be, so that what is measured is starting
//! them: a few system calls as the text of an ELF file, with no C library.
//!
//! Source: the ELF specification, and Linux's `syscall_64.tbl`.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// Where the file is mapped.
const BASE: u32 = 0x40_0000;
/// The ELF header and one program header.
const HEADERS: u32 = 64 + 56;

const WRITE: u32 = 1;
const OPEN: u32 = 2;
const CLOSE: u32 = 3;
const PAUSE: u32 = 34;
const EXIT: u32 = 60;
const CLOCK_GETTIME: u32 = 228;

const WRITE_ONLY: u32 = 1;
const MONOTONIC: u32 = 1;

/// What a program does.
pub enum Program<'a> {
    /// Nothing, for ever.
    Pause,
    /// Says on descriptor 3 that it is ready, then nothing.
    ReadyThenPause,
    /// Writes a byte to this fifo, then nothing.
    TellThenPause(&'a Path),
    /// Writes the time since the machine's start to this fifo, as the kernel has it (seconds and
    /// nanoseconds, 8 bytes each), then nothing.
    TellTimeThenPause(&'a Path),
    /// Ends at once, with success.
    Exit,
}

impl Program<'_> {
    /// Writes it to a file that can be executed.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        fs::write(path, self.bytes())?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut code = Code::default();
        let data = match self {
            Self::Pause => b"\n".to_vec(),
            Self::ReadyThenPause => {
                code.call(WRITE, Some(3), Code::DATA, 1);
                code.call(CLOSE, Some(3), 0, 0);
                b"\n".to_vec()
            }
            Self::TellThenPause(fifo) => {
                code.call(OPEN, Some(Code::DATA), WRITE_ONLY, 0);
                code.take_result();
                code.call(WRITE, None, Code::DATA, 1);
                code.call(CLOSE, None, 0, 0);
                [fifo.as_os_str().as_encoded_bytes(), b"\0"].concat()
            }
            Self::TellTimeThenPause(fifo) => {
                // Where the words of the program lie: it has read none, and needs none.
                code.take_stack();
                code.call_with_second(CLOCK_GETTIME, Some(MONOTONIC), 0);
                code.call(OPEN, Some(Code::DATA), WRITE_ONLY, 0);
                code.take_result();
                code.take_stack();
                code.call_with_second(WRITE, None, 16);
                code.call(CLOSE, None, 0, 0);
                [fifo.as_os_str().as_encoded_bytes(), b"\0"].concat()
            }
            Self::Exit => {
                code.call(EXIT, Some(0), 0, 0);
                Vec::new()
            }
        };
        code.pause();
        code.link(&data)
    }
}

/// Machine code for x86_64.
#[derive(Default)]
struct Code {
    bytes: Vec<u8>,
    /// Where the address of the data must be put.
    data_uses: Vec<usize>,
}

impl Code {
    /// Stands for the address of the data.
    const DATA: u32 = u32::MAX;

    /// One system call. `None`: its first argument is what `rdi` holds already.
    fn call(&mut self, number: u32, first: Option<u32>, second: u32, third: u32) {
        const MOVE_TO_ESI: u8 = 0xbe;
        self.load(MOVE_TO_ESI, second);
        self.call_with_second(number, first, third);
    }

    /// The same, where `rsi` holds its second argument already.
    fn call_with_second(&mut self, number: u32, first: Option<u32>, third: u32) {
        const MOVE_TO_EAX: u8 = 0xb8;
        const MOVE_TO_EDI: u8 = 0xbf;
        const MOVE_TO_EDX: u8 = 0xba;
        self.load(MOVE_TO_EAX, number);
        if let Some(first) = first {
            self.load(MOVE_TO_EDI, first);
        }
        self.load(MOVE_TO_EDX, third);
        self.bytes.extend([0x0f, 0x05]); // syscall
    }

    /// The address of the stack becomes the second argument of the next call.
    fn take_stack(&mut self) {
        self.bytes.extend([0x48, 0x89, 0xe6]); // mov rsi, rsp
    }

    fn load(&mut self, instruction: u8, value: u32) {
        self.bytes.push(instruction);
        if value == Self::DATA {
            self.data_uses.push(self.bytes.len());
        }
        self.bytes.extend(value.to_le_bytes());
    }

    /// The result of the last call becomes the first argument of the next.
    fn take_result(&mut self) {
        self.bytes.extend([0x89, 0xc7]); // mov edi, eax
    }

    /// Waits for a signal, again and again.
    fn pause(&mut self) {
        let start = self.bytes.len();
        self.call(PAUSE, Some(0), 0, 0);
        let back = start as isize - (self.bytes.len() as isize + 2);
        self.bytes.extend([0xeb, back as u8]); // jmp
    }

    /// Puts headers before the code and `data` behind it.
    fn link(mut self, data: &[u8]) -> Vec<u8> {
        let data_address = BASE + HEADERS + self.bytes.len() as u32;
        for at in self.data_uses {
            self.bytes[at..at + 4].copy_from_slice(&data_address.to_le_bytes());
        }
        let size = u64::from(HEADERS) + (self.bytes.len() + data.len()) as u64;
        let mut file = Vec::new();
        file.extend(b"\x7fELF\x02\x01\x01"); // 64 bits, little-endian, version 1
        file.resize(16, 0);
        file.extend(2u16.to_le_bytes()); // an executable
        file.extend(62u16.to_le_bytes()); // for x86_64
        file.extend(1u32.to_le_bytes());
        file.extend(u64::from(BASE + HEADERS).to_le_bytes()); // begin here
        file.extend(64u64.to_le_bytes()); // program headers
        file.extend(0u64.to_le_bytes()); // no sections
        file.extend(0u32.to_le_bytes());
        for half in [64u16, 56, 1, 0, 0, 0] {
            file.extend(half.to_le_bytes());
        }
        file.extend(1u32.to_le_bytes()); // to be loaded,
        file.extend(5u32.to_le_bytes()); // read and executed
        for word in [0, u64::from(BASE), u64::from(BASE), size, size, 4096] {
            file.extend(word.to_le_bytes());
        }
        file.extend(&self.bytes);
        file.extend(data);
        file
    }
}

/// The time since the machine's start.
pub fn now() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// What [`Program::TellTimeThenPause`] has written.
pub fn told_time(told: [u8; 16]) -> Duration {
    let [seconds, nanos] =
        [0, 8].map(|at| u64::from_ne_bytes(std::array::from_fn(|byte| told[at + byte])));
    Duration::new(seconds, nanos as u32)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn the_smallest_programs_do_what_they_are_called_for() {
        let folder = e2e::Folder::new("bench-program");
        let path = folder.join("program");
        Program::Exit.write(&path).unwrap();
        assert!(Command::new(&path).status().unwrap().success());

        let fifo = folder.join("fifo");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let telling = folder.join("telling");
        Program::TellThenPause(&fifo).write(&telling).unwrap();
        let mut child = Command::new(&telling).spawn().unwrap();
        let mut told = [0];
        fs::File::open(&fifo).unwrap().read_exact(&mut told).unwrap();
        assert_eq!(told, *b"/");
        assert_eq!(child.try_wait().unwrap(), None, "it pauses");
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));

        let timing = folder.join("timing");
        Program::TellTimeThenPause(&fifo).write(&timing).unwrap();
        let before = now();
        let mut child = Command::new(&timing).spawn().unwrap();
        let mut told = [0; 16];
        fs::File::open(&fifo).unwrap().read_exact(&mut told).unwrap();
        let told = told_time(told);
        assert!(before < told && told < now(), "{before:?} {told:?}");
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
}
