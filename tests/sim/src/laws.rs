//! What must hold, whatever the dice say: every law in one sentence.

use std::fmt::{Debug, Display};

use crate::dice::current_seed;

/// A name, and the sentence that stands behind it.
macro_rules! laws {
    ($($law:ident, $name:literal: $sentence:literal;)*) => {
        /// One thing that must hold.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Law {
            $(#[doc = $sentence] $law,)*
        }

        /// All of them.
        pub const LAWS: &[Law] = &[$(Law::$law),*];

        impl Law {
            pub fn name(self) -> &'static str {
                match self { $(Self::$law => $name,)* }
            }

            pub fn sentence(self) -> &'static str {
                match self { $(Self::$law => $sentence,)* }
            }
        }
    };
}

laws! {
    NeedsFirst, "needs first":
        "A service starts only when all that it needs has served, and was not told to stop since.";
    NeedsLast, "needs last":
        "A service is told to stop only when nothing that needs it is up or runs unasked to end.";
    OneProcess, "one process":
        "A slot never has two processes: run, finish and scripts come one after the other.";
    NoVoidSignal, "no void signal":
        "A signal goes only to a process that this slot started and that is not reaped yet.";
    NoOrphan, "no orphan":
        "Init knows every process that it started, also after it fell between two of its steps.";
    Gap, "gap":
        "`run` starts no sooner than its wait after its last start, or a second after one that \
         failed, unless it was told to.";
    ServedOnce, "up is served":
        "A service counts as up only once it has served.";
    EndsOnce, "ends once":
        "A request ends once, as it was told before, and hears the last word of a service once.";
    Ends, "ends":
        "A request whose client waits does end.";
    Settles, "settles":
        "When the dice rest, every service comes to be what it shall be, and nothing goes on.";
    Obeys, "obeys":
        "What was wanted last is what is: like the requests one after the other, in some order.";
    Truth, "truth":
        "What the state bytes say is what init says, once all is settled.";
    Apart, "apart":
        "A service that is stuck delays only what needs it.";
    Controlled, "controlled":
        "Controlled services, and what needs them, are up when controllers have it so, and else not.";
    Fresh, "fresh":
        "What is to be restarted with one of its needs runs since after that.";
    OnceEach, "once each":
        "A script is run once for each order, however often the manager and init begin anew.";
    Update, "update":
        "An update leaves alone what may stay, and what it stops comes back with its needs.";
    Leaves, "leaves":
        "A slot that was told to go is forgotten once it is down.";
    NoSpin, "no spin":
        "At one moment only so much happens as there are services to do something.";
    Quiet, "quiet":
        "Init is woken only for something to do, and where nothing is going on, nobody is.";
    EndOrder, "end order":
        "At the end each class of programs is told to go once the one before is gone, or was killed.";
    NoStartAtEnd, "no start at the end":
        "Nothing starts any more once its class was told to go.";
    EndsInTime, "ends in time":
        "However stuck everything is, the end comes within the patience of all stages.";
    Follows, "follows devices":
        "Soon after all is calm, each service is up exactly where a device matches its rule.";
    Current, "is current":
        "What is up for devices started while one was there, and none was missing since.";
    Patience, "patience":
        "What keeps failing, or comes and goes, is started ever more seldom.";
    OneServes, "one serves":
        "Of services in turn one is up, or two while a better one shows that it lasts.";
    NextServes, "the next serves":
        "Where a member has been fit for long enough, one is up.";
    ComesBack, "comes back":
        "Once the preferred member has been fit for long enough, it is the one that is up.";
    Steady, "steady":
        "While all that serves is fit, nothing is changed but for the better.";
    NothingLeft, "nothing left":
        "When the end is finished nothing runs but what was killed.";
    OneCheck, "one check":
        "A check is begun only when nothing is left of the one before.";
    OnlyWhileUp, "only while up":
        "A service is asked only while it serves, as far as the manager has told.";
    NoCause, "no cause":
        "A service is restarted only after so many bad rounds in a row since it came up.";
    BackOff, "back-off":
        "Two restarts have the wait between them, and a service that stays sick longer ones.";
    InTime, "sick in time":
        "When everything falls silent, the service is found sick within the stated time.";
    Heals, "heals":
        "When the dice rest, the service comes to be up and healthy, and nothing more is asked for.";
}

/// Ends the story: `law` does not hold, as `what` shows.
pub fn broken(law: Law, what: impl Display) -> ! {
    panic!("seed {}: law `{}` is broken: {what}\n  {}", current_seed(), law.name(), law.sentence());
}

/// Ends the story unless the two are the same.
pub fn same<T: PartialEq + Debug>(law: Law, found: T, expected: T, what: impl Display) {
    if found != expected {
        broken(law, format!("{what}: {found:?}, not {expected:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_law_has_a_name_of_its_own_and_a_sentence() {
        for (at, law) in LAWS.iter().enumerate() {
            assert!(law.sentence().ends_with('.'), "{law:?}");
            assert!(LAWS[..at].iter().all(|other| other.name() != law.name()), "{law:?}");
        }
    }
}
