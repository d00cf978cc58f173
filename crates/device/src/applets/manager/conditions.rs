//! What controllers go by, as long as they are connected: for `ward status`
//! and `ward why`.

use model::limits::{CONDITION_BYTES_MAX, CONDITIONS_MAX};
use model::service::database::Index;
use model::service::manager_request::Condition;
use model::time::Moment;

const NO_SERVICE: Index = Index::MAX;

#[derive(Default)]
pub struct Conditions {
    lists: Vec<List>,
}

/// What one controller says of one service.
struct List {
    client: usize,
    controller: Index,
    service: Index,
    kept: Vec<Kept>,
}

struct Kept {
    label: String,
    value: String,
    holds: bool,
    since: Moment,
}

impl Conditions {
    /// A controller begins to say what it goes by for a service. What it said
    /// before is forgotten; where there is no such service, what it says, too.
    pub fn begin(&mut self, client: usize, controller: Index, service: Option<Index>) {
        let service = service.unwrap_or(NO_SERVICE);
        self.lists.retain(|list| list.client != client || list.service != service);
        // What follows is about the last one.
        self.lists.push(List { client, controller, service, kept: Vec::new() });
    }

    /// One more of those that it began to say.
    pub fn add(&mut self, client: usize, condition: &Condition<'_>) {
        let Some(list) = self.lists.iter_mut().rev().find(|list| list.client == client) else {
            return;
        };
        if list.kept.len() < CONDITIONS_MAX {
            let &Condition { label, value, holds, since } = condition;
            list.kept.push(Kept { label: cut(label), value: cut(value), holds, since });
        }
    }

    /// A controller has gone.
    pub fn forget(&mut self, client: usize) {
        self.lists.retain(|list| list.client != client);
    }

    /// What is known of a service, each with the controller that says so.
    pub fn of(&self, service: Index) -> impl Iterator<Item = (Index, Condition<'_>)> {
        let lists = self.lists.iter().filter(move |list| list.service == service);
        lists.flat_map(|list| {
            list.kept.iter().map(|kept| {
                let Kept { label, value, holds, since } = kept;
                (list.controller, Condition { label, value, holds: *holds, since: *since })
            })
        })
    }
}

/// A line of a terminal, at most.
pub fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(CONDITION_BYTES_MAX.min(text.len()));
    let mut kept: String =
        text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if end < text.len() {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(label: &str) -> Condition<'_> {
        Condition { label, value: "up", holds: true, since: Moment::ZERO }
    }

    #[test]
    fn what_is_said_anew_takes_the_place_of_what_was_said() {
        let mut conditions = Conditions::default();
        for (client, label) in [(1, "old"), (2, "other"), (1, "new")] {
            conditions.begin(client, 10 + client as Index, Some(7));
            conditions.add(client, &condition(label));
        }
        let labels: Vec<_> =
            conditions.of(7).map(|(by, condition)| (by, condition.label)).collect();
        assert_eq!(labels, [(12, "other"), (11, "new")]);
        conditions.forget(1);
        assert_eq!(conditions.of(7).count(), 1);
        conditions.begin(2, 12, None);
        conditions.add(2, &condition("of nothing"));
        assert_eq!(conditions.of(7).count(), 1);
    }

    #[test]
    fn nobody_can_say_without_end() {
        let mut conditions = Conditions::default();
        conditions.begin(1, 3, Some(7));
        let long = "é".repeat(10_000);
        (0..1_000).for_each(|_| conditions.add(1, &condition(&long)));
        assert_eq!(conditions.of(7).count(), CONDITIONS_MAX);
        assert!(conditions.of(7).all(|(_, c)| c.label.len() <= CONDITION_BYTES_MAX + 3));
    }
}
