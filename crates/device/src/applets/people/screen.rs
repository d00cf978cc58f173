//! What is printed for people fits a terminal.

/// Columns of a terminal that nobody has made wider.
pub const COLUMNS: usize = 80;

/// A line as several of a terminal's: what goes on is indented by four more than the first.
pub fn wrapped(line: &str) -> Vec<String> {
    let indent = line.len() - line.trim_start().len();
    let mut lines: Vec<String> = vec![" ".repeat(indent)];
    for word in line.split_whitespace() {
        let last = lines.last_mut().expect("there is always one");
        let begun = !last.trim_start().is_empty();
        if begun && last.chars().count() + 1 + word.chars().count() > COLUMNS {
            lines.push(format!("{}{word}", " ".repeat((indent + 4).min(40))));
        } else {
            last.push_str(if begun { " " } else { "" });
            last.push_str(word);
        }
    }
    lines.iter().map(|line| fitted(line, COLUMNS)).collect()
}

/// Text of so many columns at most.
pub fn fitted(text: &str, columns: usize) -> String {
    match text.char_indices().nth(columns) {
        None => text.to_owned(),
        Some(_) => text.chars().take(columns - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_go_on_below_and_nothing_of_them_is_lost() {
        let line = format!("  {}", "word ".repeat(40));
        let lines = wrapped(&line);
        assert!(lines.len() > 2 && lines[1].starts_with("      word"));
        assert_eq!(lines.join(" ").split_whitespace().count(), 40);
        assert_eq!(wrapped("short"), ["short"]);
        assert_eq!(wrapped(""), [""]);
        assert_eq!(fitted(&"é".repeat(81), 80).chars().count(), 80);
    }
}
