//! The machine that writes, order by order.

use alloc::vec;

use super::*;

const NOR: Chip = Chip { erases: true, clears: true, marks_bad: false };
const NAND: Chip = Chip { erases: true, clears: false, marks_bad: true };
const MEMORY: Chip = Chip { erases: false, clears: true, marks_bad: false };

const SAME: Event = compared(Difference::Same);
const WORN: Event = Event::Failed { errno: 5, worn: true };

const fn compared(difference: Difference) -> Event {
    Event::Compared { difference, corrected: 0 }
}

fn part(first: Block, blocks: u32, pieces: u32, covers: u32) -> Part {
    Part { first, blocks, piece: first, pieces, covers }
}

/// Plays events, each the answer to the order beside it.
#[track_caller]
fn plays(writer: &mut Writer, steps: &[(Order, Event)]) {
    for (number, (order, event)) in steps.iter().enumerate() {
        assert_eq!(writer.order(), Some(*order), "step {number}");
        writer.heard(Moment::from_nanos(number as u64 * 1_000_000_000), *event);
    }
}

fn compare(block: Block) -> Order {
    Order::Compare { block, piece: Some(block) }
}

#[test]
fn what_is_the_same_is_left_alone() {
    let mut writer = Writer::new(NOR, vec![part(0, 9, 2, 2)], false);
    plays(&mut writer, &[(compare(0), SAME), (compare(1), SAME)]);
    assert_eq!((writer.order(), writer.outcome()), (None, Some(Outcome::Done)));
    assert_eq!(writer.tally(), Tally { same: 2, ..Tally::default() });
}

#[test]
fn what_differs_is_erased_written_and_read_again() {
    let mut writer = Writer::new(NOR, vec![part(0, 9, 1, 1)], false);
    let write = Order::Write { block: 0, piece: 0, erased: true };
    plays(
        &mut writer,
        &[
            (compare(0), compared(Difference::Other)),
            (Order::Erase(0), Event::Done),
            (write, Event::Done),
            (compare(0), compared(Difference::Clears)),
            (Order::Erase(0), Event::Done),
            (write, Event::Done),
            (compare(0), SAME),
        ],
    );
    assert_eq!(writer.outcome(), Some(Outcome::Done));
    let tally = Tally { erased: 2, written: 1, repeated: 1, ..Tally::default() };
    assert_eq!(writer.tally(), tally);
}

#[test]
fn nothing_is_erased_that_need_not_be() {
    let over = Order::Write { block: 0, piece: 0, erased: false };
    for (chip, difference) in
        [(NOR, Difference::Clears), (MEMORY, Difference::Clears), (MEMORY, Difference::Other)]
    {
        let mut writer = Writer::new(chip, vec![part(0, 9, 1, 1)], false);
        plays(
            &mut writer,
            &[(compare(0), compared(difference)), (over, Event::Done), (compare(0), SAME)],
        );
        assert_eq!(writer.outcome(), Some(Outcome::Done));
        assert_eq!(writer.tally().erased, 0);
    }
}

#[test]
fn bad_blocks_are_stepped_over_and_what_is_behind_is_erased() {
    let mut writer = Writer::new(NAND, vec![part(2, 4, 1, 4)], false);
    plays(
        &mut writer,
        &[
            (Order::Look(2), Event::Looked { bad: true }),
            (Order::Look(3), Event::Looked { bad: false }),
            (Order::Look(4), Event::Looked { bad: true }),
            (Order::Look(5), Event::Looked { bad: false }),
            (Order::Compare { block: 3, piece: Some(2) }, SAME),
            (Order::Compare { block: 5, piece: None }, compared(Difference::Other)),
            (Order::Erase(5), Event::Done),
            (Order::Compare { block: 5, piece: None }, SAME),
        ],
    );
    assert_eq!(writer.outcome(), Some(Outcome::Done));
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_changed() {
    let mut writer = Writer::new(NAND, vec![part(0, 2, 1, 1), part(2, 1, 1, 1)], false);
    for block in 0..3 {
        let look = (Order::Look(block), Event::Looked { bad: block == 2 });
        plays(&mut writer, &[look]);
    }
    assert_eq!(writer.outcome(), Some(Outcome::NoRoom { part: 1, good: 0 }));
    assert_eq!(writer.order(), None);
}

#[test]
fn a_block_that_fails_is_marked_where_there_are_others() {
    for (blocks, outcome) in [
        (2, None),
        (1, Some(Outcome::Failed { block: 0, why: Why::NoRoomLeft })), // the last one
    ] {
        let mut writer = Writer::new(NAND, vec![part(0, blocks, 1, 1)], false);
        for block in 0..blocks {
            plays(&mut writer, &[(Order::Look(block), Event::Looked { bad: false })]);
        }
        plays(&mut writer, &[(compare(0), compared(Difference::Other))]);
        for _ in 0..BLOCK_TRIES_MAX {
            plays(&mut writer, &[(Order::Erase(0), WORN)]);
        }
        plays(&mut writer, &[(Order::Mark(0), Event::Done)]);
        assert_eq!(writer.outcome(), outcome);
        if outcome.is_none() {
            assert_eq!(writer.order(), Some(Order::Compare { block: 1, piece: Some(0) }));
        }
    }
}

#[test]
fn on_nor_a_block_that_fails_is_the_end() {
    let mut writer = Writer::new(NOR, vec![part(0, 2, 1, 1)], false);
    plays(&mut writer, &[(compare(0), compared(Difference::Other))]);
    for _ in 0..BLOCK_TRIES_MAX {
        plays(&mut writer, &[(Order::Erase(0), WORN)]);
    }
    let why = Why::Erase { errno: 5 };
    assert_eq!(writer.outcome(), Some(Outcome::Failed { block: 0, why }));
}

#[test]
fn what_is_not_the_blocks_fault_is_not_tried_again_and_marks_none() {
    let mut writer = Writer::new(NAND, vec![part(0, 1, 1, 1)], false);
    let refused = Event::Failed { errno: 30, worn: false };
    plays(
        &mut writer,
        &[
            (Order::Look(0), Event::Looked { bad: false }),
            (compare(0), compared(Difference::Other)),
            (Order::Erase(0), refused),
        ],
    );
    let why = Why::Erase { errno: 30 };
    assert_eq!(writer.outcome(), Some(Outcome::Failed { block: 0, why }));
}

#[test]
fn it_stops_once_the_block_is_whole() {
    let mut writer = Writer::new(NOR, vec![part(0, 9, 3, 3)], false);
    plays(&mut writer, &[(compare(0), SAME), (compare(1), compared(Difference::Other))]);
    writer.stop();
    let write = Order::Write { block: 1, piece: 1, erased: true };
    plays(&mut writer, &[(Order::Erase(1), Event::Done), (write, Event::Done), (compare(1), SAME)]);
    assert_eq!(writer.outcome(), Some(Outcome::Stopped));
    assert_eq!((writer.progress().blocks, writer.progress().of), (2, 3));
}

#[test]
fn a_dry_run_tells_what_would_be_done() {
    let mut writer = Writer::new(NOR, vec![part(0, 4, 2, 3)], true);
    plays(
        &mut writer,
        &[
            (compare(0), compared(Difference::Clears)),
            (compare(1), compared(Difference::Other)),
            (Order::Compare { block: 2, piece: None }, compared(Difference::Other)),
        ],
    );
    assert_eq!(writer.outcome(), Some(Outcome::Done));
    assert_eq!(writer.tally(), Tally { erased: 2, written: 2, ..Tally::default() });
}

#[test]
fn progress_tells_rate_and_time_left() {
    let mut writer = Writer::new(NOR, vec![part(0, 9, 8, 8)], false);
    assert_eq!(writer.progress().left, None);
    plays(&mut writer, &[(compare(0), SAME), (compare(1), SAME), (compare(2), SAME)]);
    // Two seconds from the first answer to the last.
    let left = Some(Duration::from_millis(3_333));
    assert_eq!(writer.progress(), Progress { blocks: 3, of: 8, rate: 1_500, left });
}

#[test]
fn bytes_differ_as_they_do() {
    let flash = [0b1111_0000; 11];
    for (place, byte, expected) in [
        (0, 0b1111_0000, Difference::Same),
        (0, 0b1010_0000, Difference::Clears),
        (7, 0b1111_0001, Difference::Other),
        (10, 0b0111_0000, Difference::Clears),
        (10, 0b0111_1000, Difference::Other),
    ] {
        let mut image = flash;
        image[place] = byte;
        assert_eq!(difference(&flash, &image), expected, "byte {place}");
    }
    assert_eq!(difference(&flash, &flash[1..]), Difference::Other);
}
