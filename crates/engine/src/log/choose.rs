//! Which steps of a script are done with a line.

use model::log::script::{Action, Step};

/// Calls `act` with each action, and its index, that `steps` wants done with a
/// line. `matches` says whether the expression of the step with this index
/// matches it. A selection holds for all actions behind it, until the next.
pub fn choose(
    steps: &[Step<'_>],
    mut matches: impl FnMut(usize) -> bool,
    mut act: impl FnMut(usize, &Action<'_>),
) {
    let (mut selected, mut touched) = (true, false);
    for (index, step) in steps.iter().enumerate() {
        match step {
            Step::Select(_) => selected = selected || matches(index),
            Step::Deselect(_) => selected = selected && !matches(index),
            Step::Untouched => selected = !touched,
            Step::Act(action) if selected => {
                touched = true;
                act(index, action);
            }
            Step::Act(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use model::log::script::Script;

    #[test]
    fn selections_add_up_and_hold_until_the_next() {
        // The line is "abc"; the numbers are the places of actions in the script.
        for (words, expected) in [
            (&["1"][..], &[0][..]),
            (&["-", "1", "2"], &[]),
            (&["-", "1", "+", "1"], &[3]),
            (&["-", "1", "-x", "1"], &[]),
            (&["-", "1", "f", "1", "2"], &[3, 4]),
            (&["1", "f", "2"], &[0]),
            (&["-", "+b", "1", "f", "2"], &[2]),
            (&["-b", "1", "+c", "1", "-x", "1"], &[3, 5]),
        ] {
            let words: Vec<_> = words.iter().map(|word| word.as_bytes()).collect();
            let steps = Script::parse(&words).unwrap().steps;
            let mut done = Vec::new();
            let contains = |text: &[u8]| text.is_empty() || b"abc".windows(1).any(|w| w == text);
            let matches = |index: usize| match steps[index] {
                Step::Select(text) | Step::Deselect(text) => contains(text),
                _ => panic!("step {index} has no expression"),
            };
            choose(&steps, matches, |index, _| done.push(index));
            assert_eq!(done, expected, "{words:?}");
        }
    }
}
