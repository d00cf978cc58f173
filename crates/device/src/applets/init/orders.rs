//! Orders that reach init as signals and as letters in its fifo.

use std::ffi::CString;
use std::os::fd::AsFd;
use std::path::Path;

use engine::machine::Event;
use engine::service::ending::Class;
use model::service::request::End;
use os::sys::signals::number as libc_signal;
use os::sys::{children, signals};

use super::Kind;
use super::program::Program;

impl Program {
    pub fn hear_signals(&mut self) {
        while let Ok(Some(signal)) = signals::next(self.signals.as_fd()) {
            if signal == libc_signal::CHLD {
                self.unreaped = true;
            } else {
                self.obey_signal(signal);
            }
        }
    }

    fn obey_signal(&mut self, signal: i32) {
        if self.config.kind == Kind::Supervise {
            return self.supervise_signal(signal);
        }
        if self.config.kind == Kind::Svscan && self.divert(signal) {
            return;
        }
        match signal {
            libc_signal::TERM => self.shut_down(End::Reboot),
            // Ctrl, Alt and Delete: somebody stands before the machine.
            libc_signal::INT => self.shut_down(End::Hard),
            libc_signal::QUIT => self.quit(),
            libc_signal::USR1 if self.config.kind == Kind::Init => self.shut_down(End::Halt),
            libc_signal::USR2 | libc_signal::PWR if self.config.kind == Kind::Init => {
                self.shut_down(End::PowerOff);
            }
            libc_signal::HUP => {
                self.rescan();
                self.tree.prune(&mut self.init, false);
            }
            libc_signal::ALRM => self.rescan(),
            _ => {}
        }
    }

    /// Runs `.s6-svscan/SIGNAME` where there is one.
    fn divert(&mut self, signal: i32) -> bool {
        let Some(name) = model::service::signal::name(signals::portable(signal)) else {
            return false;
        };
        let path = Path::new(".s6-svscan").join(format!("SIG{name}"));
        if signal == libc_signal::ALRM || !os::service::scandir::executable(&path) {
            return false;
        }
        let path = CString::new(path.as_os_str().as_encoded_bytes());
        path.is_ok_and(|path| self.tree.run_beside(&path).is_ok())
    }

    fn quit(&mut self) {
        for slot in
            self.tree.all().filter(|h| h.class == Class::Reader).map(|h| h.slot).collect::<Vec<_>>()
        {
            self.tree.dismiss(&mut self.init, slot);
        }
        self.shut_down(End::Exit);
    }

    /// `s6-supervise` has orders of its own for signals.
    fn supervise_signal(&mut self, signal: i32) {
        let Some((slot, _)) = self.init.slots().next() else { return };
        let letters: &[u8] = match signal {
            libc_signal::TERM => b"xd",
            libc_signal::HUP => b"x",
            libc_signal::QUIT => {
                self.abort = true;
                return;
            }
            libc_signal::INT => {
                let pid = self.init.unit(slot).map_or(0, |unit| unit.state().pid);
                children::kill(pid, 2, true);
                self.abort = true;
                return;
            }
            _ => return,
        };
        for &letter in letters {
            self.init.event(os::clock::now(), slot, Event::Control(letter), &mut self.tree);
        }
    }

    /// Letters of `s6-svscanctl`.
    pub fn obey_scan_control(&mut self) {
        let mut letters = [0; 64];
        let Some(control) = &self.control else { return };
        let Ok(count) = os::files::read(control, &mut letters) else { return };
        let mut last = 0;
        for &letter in &letters[..count] {
            // The same again has nothing new to find.
            if std::mem::replace(&mut last, letter) == letter {
                continue;
            }
            match letter {
                b'z' => self.unreaped = true,
                b'a' => self.rescan(),
                b'h' => {
                    self.rescan();
                    self.tree.prune(&mut self.init, false);
                }
                b'n' => self.tree.prune(&mut self.init, false),
                b'N' => self.tree.prune(&mut self.init, true),
                b't' | b'i' => self.shut_down(End::Exit),
                b'q' => self.quit(),
                // A machine cannot do without it.
                b'b' if self.is_machine() => self.shut_down(End::Reboot),
                b'b' => self.abort = true,
                _ => {}
            }
        }
    }
}
