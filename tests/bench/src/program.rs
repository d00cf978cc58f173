//! The smallest programs there can be, so that what is measured is starting
//! them: a few system calls as the text of an ELF file, with no C library.
//!
//! Source: the ELF specification, and Linux's `syscall_64.tbl`.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Where the file is mapped.
const BASE: u32 = 0x40_0000;
/// The ELF header and one program header.
const HEADERS: u32 = 64 + 56;

const WRITE: u32 = 1;
const OPEN: u32 = 2;
const CLOSE: u32 = 3;
const PAUSE: u32 = 34;
const EXIT: u32 = 60;

const WRITE_ONLY: u32 = 1;

/// What a program does.
pub enum Program<'a> {
    /// Nothing, for ever.
    Pause,
    /// Says on descriptor 3 that it is ready, then nothing.
    ReadyThenPause,
    /// Writes a byte to this fifo, then nothing.
    TellThenPause(&'a Path),
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
        const MOVE_TO_EAX: u8 = 0xb8;
        const MOVE_TO_EDI: u8 = 0xbf;
        const MOVE_TO_ESI: u8 = 0xbe;
        const MOVE_TO_EDX: u8 = 0xba;
        self.load(MOVE_TO_EAX, number);
        if let Some(first) = first {
            self.load(MOVE_TO_EDI, first);
        }
        self.load(MOVE_TO_ESI, second);
        self.load(MOVE_TO_EDX, third);
        self.bytes.extend([0x0f, 0x05]); // syscall
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
    }
}
