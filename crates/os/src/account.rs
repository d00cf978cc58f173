//! Looks users and groups up, without the C library's name services.

use std::fs;
use std::io;

pub use model::account::{User, number, number_list};

/// What is known of accounts: the two files, read when first asked.
///
/// A static program cannot load name service modules, so a user who is only
/// in LDAP or the like is not found; such a device can name numbers.
#[derive(Default)]
pub struct Accounts {
    passwd: Option<Vec<u8>>,
    group: Option<Vec<u8>>,
}

impl Accounts {
    pub fn user(&mut self, name: &[u8]) -> io::Result<Option<User>> {
        Ok(model::account::find_user(text(&mut self.passwd, "/etc/passwd")?, name))
    }

    pub fn group(&mut self, name: &[u8]) -> io::Result<Option<u32>> {
        Ok(model::account::find_group(text(&mut self.group, "/etc/group")?, name))
    }

    /// The groups that list this user.
    pub fn groups_of(&mut self, name: &[u8]) -> io::Result<Vec<u32>> {
        Ok(model::account::groups_of(text(&mut self.group, "/etc/group")?, name))
    }
}

/// The bytes of a file, read once. A file that is not there lists nobody.
fn text<'a>(kept: &'a mut Option<Vec<u8>>, path: &str) -> io::Result<&'a [u8]> {
    if kept.is_none() {
        *kept = Some(match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(|e| io::Error::new(e.kind(), format!("{path}: {e}")))?,
        });
    }
    Ok(kept.as_deref().unwrap_or_default())
}
