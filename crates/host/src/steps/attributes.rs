//! The attributes of the build that this process is the builder of.
//!
//! Values are read strictly: whatever the expressions say and nobody here understands is an
//! error that names it, so that the two cannot drift apart.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// A value, and how one gets to it.
#[derive(Clone)]
pub struct Attribute<'a> {
    value: &'a Value,
    path: String,
}

/// What is wrong with the attributes, as a sentence.
pub type Wrong = String;

/// Reads the file that Nix has put beside the build.
pub fn read() -> Result<Value, Wrong> {
    // Nix before 2.9 names the file as it is called outside of the sandbox.
    let named = env::var_os("NIX_ATTRS_JSON_FILE").map(PathBuf::from);
    let beside = env::var_os("NIX_BUILD_TOP").map(|top| Path::new(&top).join(".attrs.json"));
    let mut candidates = [named, beside].into_iter().flatten();
    let file = candidates.find(|file| file.exists()).ok_or(
        "there is no file of attributes: only Nix calls this, inside of a build (see nix/modules/outputs.nix)",
    )?;
    let text = fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", file.display()))
}

impl<'a> Attribute<'a> {
    pub fn root(value: &'a Value) -> Self {
        Self { value, path: String::new() }
    }

    /// The member called `name`, which must be there.
    pub fn get(&self, name: &str) -> Result<Self, Wrong> {
        match self.value.get(name) {
            Some(value) => Ok(Self { value, path: self.below(name) }),
            None => Err(format!("{} is missing", self.below(name))),
        }
    }

    /// The member called `name`, unless it is null or not there.
    pub fn maybe(&self, name: &str) -> Option<Self> {
        let value = self.value.get(name).filter(|value| !value.is_null())?;
        Some(Self { value, path: self.below(name) })
    }

    fn below(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn should_be(&self, what: &str) -> Wrong {
        format!("{} should be {what}, and is {}", self.path, self.value)
    }

    pub fn text(&self) -> Result<&'a str, Wrong> {
        self.value.as_str().ok_or_else(|| self.should_be("text"))
    }

    pub fn number(&self) -> Result<u64, Wrong> {
        self.value.as_u64().ok_or_else(|| self.should_be("a number from 0 on"))
    }

    pub fn truth(&self) -> Result<bool, Wrong> {
        self.value.as_bool().ok_or_else(|| self.should_be("true or false"))
    }

    pub fn path(&self) -> Result<&'a Path, Wrong> {
        let path = Path::new(self.text()?);
        if path.is_absolute() { Ok(path) } else { Err(self.should_be("an absolute path")) }
    }

    pub fn list(&self) -> Result<Vec<Self>, Wrong> {
        let values = self.value.as_array().ok_or_else(|| self.should_be("a list"))?;
        let at = |(place, value)| Self { value, path: format!("{}[{place}]", self.path) };
        Ok(values.iter().enumerate().map(at).collect())
    }

    pub fn texts(&self) -> Result<Vec<&'a str>, Wrong> {
        self.list()?.iter().map(Self::text).collect()
    }

    /// The members, in the order of their names.
    pub fn members(&self) -> Result<Vec<(&'a str, Self)>, Wrong> {
        let members: &Map<String, Value> =
            self.value.as_object().ok_or_else(|| self.should_be("a set"))?;
        let one = |(name, value): (&'a String, &'a Value)| {
            (name.as_str(), Self { value, path: self.below(name) })
        };
        Ok(members.iter().map(one).collect())
    }

    pub fn json(&self) -> &'a Value {
        self.value
    }

    /// That nobody knows what this is for.
    pub fn unknown(&self) -> Wrong {
        format!("{} is not known here", self.path)
    }
}

/// Where the result goes.
pub fn output(attributes: &Attribute<'_>) -> Result<PathBuf, Wrong> {
    attributes.get("outputs")?.get("out")?.path().map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named_by_the_way_to_it() {
        let json = serde_json::json!({ "a": { "b": [ "x", 3 ] }, "nothing": null });
        let root = Attribute::root(&json);
        let list = root.get("a").and_then(|a| a.get("b")).expect("it is there");
        assert_eq!(list.texts(), Err("a.b[1] should be text, and is 3".into()));
        assert_eq!(root.get("c").map(|_| ()), Err("c is missing".into()));
        assert!(root.maybe("nothing").is_none());
        assert_eq!(
            list.list().expect("a list")[0].path(),
            Err("a.b[0] should be an absolute path, and is \"x\"".into())
        );
    }
}
