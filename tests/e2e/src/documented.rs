//! What docs/formats/json.md says of what programs print, and whether that is so.

use std::collections::BTreeSet;
use std::path::Path;

use crate::json::Json;

/// The page itself.
pub fn page() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats/json.md");
    std::fs::read_to_string(page).expect("the page is there")
}

/// What tells of an event: of lines with an object each, the fields of every one are those of the table
/// below "HEADING: `EVENT`", and these events are among them.
///
/// # Panics
/// Where that is not so.
#[track_caller]
pub fn events(heading: &str, said: &str, expected: &[&str]) {
    let mut seen = BTreeSet::new();
    for line in said.lines() {
        let object = Json::parse(line);
        let event = object.text("event").unwrap_or_else(|| panic!("{heading}: {line} is no event"));
        holds(&format!("{heading}: `{event}`"), &object);
        seen.insert(event.to_owned());
    }
    for event in expected {
        assert!(seen.contains(*event), "{heading}: there was no {event}:\n{said}");
    }
}

/// One row of a table: the field, its type, and whether it is always there.
struct Field {
    name: String,
    kind: String,
    always: bool,
}

/// The table below the heading.
fn table(heading: &str) -> Vec<Field> {
    let page = page();
    let start = page.find(&format!("# {heading}\n"));
    let start = start.unwrap_or_else(|| panic!("docs/formats/json.md has no heading {heading}"));
    let rows = page[start..].lines().skip(1).take_while(|line| !line.starts_with('#'));
    let rows = rows.filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let fields: Vec<Field> = rows
        .map(|(name, rest)| {
            let mut cells = rest.split(" | ");
            let (kind, when) = (cells.next().unwrap(), cells.next().unwrap());
            assert!(["always", "sometimes"].contains(&when), "{name}: {when}");
            Field { name: name.into(), kind: kind.into(), always: when == "always" }
        })
        .collect();
    assert!(!fields.is_empty(), "{heading} has no table");
    fields
}

fn is_of(kind: &str, value: &Json) -> bool {
    kind.split(" or ").any(|kind| match (kind, value) {
        ("text", Json::Text(_)) | ("number", Json::Number(_)) | ("truth", Json::Bool(_)) => true,
        ("null", Json::Null) | ("object", Json::Object(_)) => true,
        (kind, Json::Array(items)) => {
            let inside = kind.strip_prefix('[').and_then(|kind| kind.strip_suffix(']'));
            inside.is_some_and(|inside| items.iter().all(|item| is_of(inside, item)))
        }
        _ => false,
    })
}

/// The fields of an object are those of the table, and it lacks none that is always there.
///
/// # Panics
/// Where that is not so.
#[track_caller]
pub fn holds(heading: &str, object: &Json) {
    let fields = table(heading);
    let Json::Object(found) = object else { panic!("{heading}: {object:?} is no object") };
    for (name, value) in found {
        let field = fields.iter().find(|field| field.name == *name);
        let field = field.unwrap_or_else(|| panic!("{heading}: {name} is not documented"));
        assert!(is_of(&field.kind, value), "{heading}: {name} is {value:?}, not {}", field.kind);
    }
    for field in fields.iter().filter(|field| field.always) {
        assert!(
            found.contains_key(&field.name),
            "{heading}: {} is missing: {object:?}",
            field.name
        );
    }
}
