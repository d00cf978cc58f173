//! What happens in a town, on dice: somebody asks, meddles, kills, or time passes.

use engine::service::manage::Verb;
use model::service::database::Index;

use crate::dice::Dice;
use crate::streets::Record;
use crate::town::Town;

/// One to three services, some perhaps twice.
pub fn some_services(dice: &mut Dice, count: usize) -> Vec<Index> {
    let wanted = 1 + dice.below(3);
    (0..wanted).map(|_| dice.below(count) as Index).collect()
}

fn some_verb(dice: &mut Dice) -> Verb {
    match dice.below(10) {
        0..=4 => Verb::Up,
        5..=7 => Verb::Down { essential: dice.percent(50) },
        8 => Verb::Restart,
        _ => Verb::Reload,
    }
}

/// Who takes part in a story beside its clients.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cast {
    /// The manager is killed.
    pub killer: bool,
    /// Init falls, and is replaced by newer programs.
    pub falls: bool,
    /// People use `s6-svc` behind the manager's back.
    pub meddler: bool,
}

impl Cast {
    pub fn some(dice: &mut Dice) -> Self {
        Self { killer: dice.percent(70), falls: dice.percent(60), meddler: dice.percent(30) }
    }
}

/// One step of a story.
pub fn something_happens(town: &mut Town, cast: Cast) {
    let count = town.len();
    match town.dice().below(100) {
        0..=9 => ask(town),
        10..=11 => {
            let wishes = town.office.wishes.len();
            let client = town.dice().below(wishes);
            town.office.leave(client);
        }
        12..=13 if cast.killer => town.kill_manager_in_the_middle(),
        14 if cast.killer => town.kill_manager(),
        15 if cast.killer => town.hang_up_at_init(),
        16 if cast.killer => town.hang_up_at_manager(),
        17..=18 if cast.falls => town.let_init_fall(),
        19 if cast.falls => town.root.reexec(),
        20..=22 if cast.meddler => meddle(town),
        23 => {
            let service = town.dice().below(count);
            town.drop_slot(service);
        }
        24..=45 => town.init_turn(false),
        46..=67 => town.manager_turn(false),
        _ => drop(town.pass_time()),
    }
}

fn ask(town: &mut Town) {
    let count = town.len();
    let dice = town.dice();
    let verb = some_verb(dice);
    let names = some_services(dice, count);
    let limit = dice.percent(30).then(|| dice.millis(1, 2_000));
    let prune = dice.percent(10) && matches!(verb, Verb::Up | Verb::Down { .. });
    town.ask_all(verb, names, limit, prune);
}

/// Letters of the control language to any slot but the manager's.
fn meddle(town: &mut Town) {
    let slots: Vec<_> = (town.root.streets.table.iter())
        .filter(|(_, record)| record.longrun.is_some() && !is_own(record))
        .map(|(slot, _)| *slot)
        .collect();
    let dice = town.dice();
    let Some(&slot) = dice.pick(&slots) else { return };
    let letters: Vec<u8> = (0..1 + dice.below(3))
        .map(|_| *dice.pick(b"uUdDoOQrpcPCkKhti12qabyx").expect("there are some"))
        .collect();
    town.letters(slot, &letters);
}

fn is_own(record: &Record) -> bool {
    use crate::streets::Home;
    matches!(record.home, Home::Manager | Home::Logger)
}
