//! The health check: it finds out in time, and only what is so.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use engine::controller::health::{Health, Order};
use model::controller::check::{Manner, OnSick};
use sim::dice::{Dice, seeds};
use sim::laws::{Law, broken};
use sim::surgery::{Network, Story, Target};

const PROBE: Target = Target { is_command: false, is_dead: false, is_stuck: false };

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn some_manner(dice: &mut Dice, count: usize) -> Manner {
    let timeout = dice.millis(50, 3_000);
    let interval = dice.millis(100, 10_000);
    let wait = dice.millis(0, 20_000);
    Manner {
        interval,
        retry: dice.millis(100, 5_000).min(interval),
        timeout,
        tries: 1 + dice.below(6) as u32,
        jitter: dice.millis(0, 1_000),
        threshold: 1 + dice.below(5) as u32,
        rise: 1 + dice.below(5) as u32,
        grace: dice.millis(0, 10_000),
        quorum: 1 + dice.below(count) as u32,
        wait,
        wait_max: wait + dice.millis(0, 60_000),
        calm: dice.millis(0, 60_000),
    }
}

fn some_story(seed: u64) -> Story {
    let mut dice = Dice::new(seed ^ 0x5ee_d0f);
    let count = 1 + dice.below(4);
    let manner = some_manner(&mut dice, count);
    let target = |_| Target { is_command: dice.percent(30), ..PROBE };
    let targets = (0..count).map(target).collect();
    let on_sick = if dice.percent(50) { OnSick::Restart } else { OnSick::Down };
    Story::new(seed, manner, on_sick, dice.percent(50), targets)
}

/// How long it may take from anything to health, once all is well.
fn healing_max(manner: &Manner) -> Duration {
    let round = manner.interval.max(manner.timeout) + manner.jitter + Duration::from_secs(1);
    manner.wait_max * 2
        + manner.grace
        + round * (manner.rise + manner.threshold + 2)
        + Duration::from_secs(10)
}

/// Somebody or something does something.
fn anything(story: &mut Story, dice: &mut Dice) {
    let world = &mut story.world;
    match dice.below(12) {
        0 => world.network.loss = dice.below(60) as u32,
        1 => world.network.delay = (1, [30, 300, 3_000][dice.below(3)]),
        2 => world.network.silent = dice.percent(50),
        3 => world.network = Network::GOOD,
        4 => {
            let at = dice.below(world.targets.len());
            world.targets[at].is_dead = dice.percent(50);
        }
        5 => {
            let at = dice.below(world.targets.len());
            world.targets[at].is_stuck = dice.percent(20);
        }
        6 => world.sick = true,
        7 => world.crash_service(),
        8 => world.kill_manager(),
        9 => world.failing = dice.percent(30),
        10 if world.service.up => world.stop_service(dice.percent(50)),
        _ if !world.service.up => {
            world.service.wanted = true;
            world.start_service();
        }
        _ => world.start_service(),
    }
}

#[test]
fn nothing_is_restarted_without_cause_and_all_heals_when_the_dice_rest() {
    for seed in seeds(3_000) {
        let mut story = some_story(seed);
        let mut dice = Dice::new(seed ^ 0xd1ce);
        for _ in 0..60 {
            story.run_for(dice.millis(0, 15_000));
            anything(&mut story, &mut dice);
        }
        story.world.calm();
        let manner = story.world.manner;
        story.run_for(Duration::from_secs(10));
        if !story.world.service.up {
            // Somebody wants it, be it the health check.
            if !story.world.service.wanted {
                story.world.service.wanted = true;
                story.world.start_service();
            } else {
                story.run_for(manner.wait_max * 2 + Duration::from_secs(10));
                match story.world.service.up {
                    true => {}
                    false if story.keeps_up => {
                        broken(Law::Heals, format!("nobody starts it: {:?}", story.machine));
                    }
                    false => story.world.start_service(),
                }
            }
        }
        story.run_for(healing_max(&manner));
        if story.health() != Health::Healthy || !story.world.service.up {
            let what = format!("{:?} {:?}", story.machine, story.world.service);
            broken(Law::Heals, what);
        }
        let asked = story.world.asked.len();
        story.run_for(manner.interval * 20);
        if story.world.asked.len() != asked {
            broken(Law::Heals, format!("{:?}", story.world.asked.last()));
        }
    }
}

#[test]
fn a_service_that_falls_silent_is_found_sick_within_the_stated_time() {
    for seed in seeds(3_000) {
        let mut story = some_story(seed);
        let mut dice = Dice::new(seed ^ 0x517e);
        let manner = story.world.manner;
        story.world.network.delay = (1, 1 + manner.timeout.as_millis() as u64 / 10);
        story.run_for(Duration::from_millis(100));
        story.world.service.wanted = true;
        story.world.start_service();
        story.run_for(healing_max(&manner) + dice.millis(0, 10_000));
        if story.health() != Health::Healthy {
            broken(Law::Heals, format!("{:?}", story.machine));
        }
        if dice.percent(30) {
            story.world.kill_manager();
        }
        match dice.percent(50) {
            true => story.world.sick = true,
            false => story.world.network.silent = true,
        }
        let commands = story.world.targets.iter().any(|target| target.is_command);
        // What was killed has a moment to be gone, in each round.
        let dying =
            if commands { Duration::from_millis(20) * manner.threshold } else { Duration::ZERO };
        let limit = manner.detection_max() + dying;
        if !story.run_until(limit, |story| story.health() != Health::Healthy) {
            broken(Law::InTime, format!("after {limit:?}: {:?}", story.machine));
        }
    }
}

#[test]
fn a_service_that_stays_sick_is_never_given_up_and_gets_longer_waits() {
    for seed in seeds(50) {
        let mut story = Story::new(seed, Manner::default(), OnSick::Restart, true, vec![PROBE]);
        story.world.incurable = true;
        story.run_for(DAY);
        let times: Vec<_> = (story.world.asked.iter())
            .filter(|(order, _)| *order == Order::Restart)
            .map(|(_, at)| *at)
            .collect();
        let Manner { wait, wait_max, .. } = Manner::default();
        for (number, pair) in times.windows(2).enumerate() {
            let least = (wait * 2u32.pow(number.min(20) as u32)).min(wait_max);
            let most = wait_max + Duration::from_secs(15);
            let gap = pair[1] - pair[0];
            if gap < least || gap > most {
                broken(Law::BackOff, format!("restart {number} after {gap:?}, not {least:?}"));
            }
        }
        assert!(times.len() > 200, "seed {seed}: given up after {}", times.len());
    }
}

#[test]
fn nobody_is_woken_but_for_checks() {
    let mut story = Story::new(1, Manner::default(), OnSick::Restart, true, vec![PROBE; 3]);
    story.run_for(DAY);
    // In each round three answers come, and one deadline.
    let rounds = DAY.as_millis() as u64 / Manner::default().interval.as_millis() as u64;
    assert!(story.world.steps <= rounds * 4 + 20, "{} steps", story.world.steps);
    assert!(story.world.steps > rounds * 3, "{} steps", story.world.steps);
}

/// Days that each figure of the table is played for, and silences.
const DAYS: u64 = 5;
const SILENCES: u64 = 400;

/// How often a healthy service is restarted in a day, and how long silence goes unnoticed: at the
/// middle and at most.
fn figures(loss: u32, count: usize) -> (u64, Duration, Duration) {
    let manner = Manner::default();
    let mut alarms = 0;
    for day in 0..DAYS {
        let mut story = Story::new(day, manner, OnSick::Restart, true, vec![PROBE; count]);
        story.world.network.loss = loss;
        story.run_for(DAY);
        let alarm = |(order, _): &&(Order, _)| *order == Order::Restart;
        alarms += story.world.asked.iter().filter(alarm).count() as u64;
    }
    let mut times = Vec::new();
    for seed in 0..SILENCES {
        let mut story = Story::new(seed, manner, OnSick::Restart, true, vec![PROBE; count]);
        story.run_for(Duration::from_secs(60));
        story.world.network.loss = loss;
        let mut dice = Dice::new(seed);
        story.run_for(dice.millis(5_000, 20_000));
        if story.health() != Health::Healthy {
            continue; // A false alarm was before it.
        }
        let start = story.world.now;
        story.world.network.silent = true;
        assert!(story.run_until(DAY, |story| story.health() != Health::Healthy));
        times.push(story.world.now - start);
    }
    times.sort_unstable();
    (alarms, times[times.len() / 2], times[times.len() - 1])
}

const BEGIN: &str = "<!-- made by tests/sim/tests/health.rs -->\n";
const END: &str = "<!-- end -->\n";

#[test]
fn the_page_says_what_the_defaults_come_to() {
    let mut table = String::from(
        "| packets lost, each way | false alarms in 24 h: 1 target | 2 targets | 3 targets | silence is noticed after (half of the times, at most) |\n\
         |---|---|---|---|---|\n",
    );
    let mut most = Duration::ZERO;
    for loss in [0, 1, 5, 10, 20, 30] {
        let all: Vec<_> = (1..=3).map(|count| figures(loss, count)).collect();
        let alarms = |at: usize| match all[at].0 {
            0 => "0".to_owned(),
            count => format!("{:.1}", count as f64 / DAYS as f64),
        };
        let (_, half, longest) = all[2];
        most = most.max(longest);
        writeln!(
            table,
            "| {loss} % | {} | {} | {} | {:.1} s, {:.1} s |",
            alarms(0),
            alarms(1),
            alarms(2),
            half.as_secs_f64(),
            longest.as_secs_f64()
        )
        .unwrap();
        if loss <= 20 {
            assert_eq!(
                (all[1].0, all[2].0),
                (0, 0),
                "no false alarm with several targets at {loss} %"
            );
        }
    }
    assert!(most <= Manner::default().detection_max() && most <= Duration::from_secs(8));
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    if !docs.is_dir() {
        return; // `cargo xtask mutants` has no pages in its copy.
    }
    let path = docs.join("health.md");
    let page = std::fs::read_to_string(&path).expect("the page is there");
    let (before, rest) = page.split_once(BEGIN).expect("the page has its table");
    let (told, after) = rest.split_once(END).expect("the table ends");
    if told != table {
        let page = format!("{before}{BEGIN}{table}{END}{after}");
        std::fs::write(&path, page).expect("the page can be written");
        panic!("docs/health.md was stale; it has the new table now:\n{table}");
    }
}
