//! The table: what was measured, beside what is to be reached.

use crate::series::Series;

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Milliseconds,
    Microseconds,
    Bytes,
    Times,
    /// A part of something, or so many times as much.
    Ratio,
}

/// What a figure of ours must not exceed.
#[derive(Clone, Copy, Debug)]
pub enum Reach {
    /// In the unit of the row.
    AtMost(f64),
    /// So many times the floor of the same run.
    Floors(f64),
    /// So many times as fast as s6 and as the floor, both of the same run.
    Faster { s6: f64, floor: f64 },
    /// It is only shown.
    Nothing,
}

#[derive(Clone)]
pub struct Row {
    pub figure: String,
    pub unit: Unit,
    pub reach: Reach,
    pub ward: Series,
    /// A bare loop that does the least that could do.
    pub floor: Series,
    /// Debian's, measured in the same run.
    pub s6: Series,
    pub runit: Series,
    /// Published figures of s6 2.15 with s6-rc 0.6, and of dinit 0.22: taken
    /// on another machine, not here.
    pub published: [&'static str; 2],
    /// Its floor says how fast this machine is.
    pub is_scale: bool,
}

impl Row {
    pub fn new(figure: impl Into<String>, unit: Unit, reach: Reach) -> Self {
        Self {
            figure: figure.into(),
            unit,
            reach,
            ward: Series::default(),
            floor: Series::default(),
            s6: Series::default(),
            runit: Series::default(),
            published: ["", ""],
            is_scale: false,
        }
    }

    pub fn published(mut self, s6: &'static str, dinit: &'static str) -> Self {
        self.published = [s6, dinit];
        self
    }

    /// Whether the figure is as good as it shall be; `None`: nothing is asked.
    /// Times are judged after `slowness`, see [`slowness`], too.
    fn verdict(&self, slowness: f64) -> Option<Verdict> {
        let (found, most) = match self.reach {
            Reach::AtMost(most) => (self.ward.median(), most),
            Reach::Floors(most) => (self.ward.ratio(&self.floor), most),
            Reach::Faster { s6, floor } => {
                let slower = |series: &Series, times| match series.is_empty() {
                    true => 0.0,
                    false => self.ward.ratio(series) * times,
                };
                (slower(&self.s6, s6).max(slower(&self.floor, floor)), 1.0)
            }
            Reach::Nothing => return None,
        };
        let scales = matches!(self.unit, Unit::Milliseconds | Unit::Microseconds)
            && matches!(self.reach, Reach::AtMost(_));
        Some(match found {
            found if found <= most => Verdict::Reached,
            found if scales && found <= most * slowness => Verdict::Scaled,
            _ => Verdict::Missed,
        })
    }

    fn cells(&self, judged: bool, slowness: f64) -> [String; 9] {
        let unit = self.unit;
        let (low, high) = self.ward.quarters();
        let mut ward = show(unit, self.ward.median());
        if show(unit, low) != show(unit, high) {
            ward += &format!(" ({}–{})", plain(unit, low), plain(unit, high));
        }
        let mut floor = shown(unit, &self.floor);
        if !self.floor.is_empty() {
            floor += &format!(" (ward is {:.2} ×)", self.ward.ratio(&self.floor));
        }
        let peer = |series: &Series| {
            let ratio = series.ratio(&self.ward);
            match shown(unit, series) {
                text if ratio.is_finite() => format!("{text} ({} ×)", rounded(ratio)),
                text => text,
            }
        };
        let reach = match self.reach {
            Reach::AtMost(most) => format!("≤ {}", show(unit, most)),
            Reach::Floors(most) => format!("≤ {most} × floor"),
            Reach::Faster { s6, floor: 0.0 } => format!("{s6} × as fast as s6"),
            Reach::Faster { s6, floor } => format!("{s6} × as fast as s6, {floor} × as the floor"),
            Reach::Nothing => String::new(),
        };
        let verdict = match self.verdict(slowness).filter(|_| judged) {
            Some(Verdict::Reached) => "yes",
            Some(Verdict::Scaled) => "scaled",
            Some(Verdict::Missed) => "**no**",
            None => "–",
        };
        let [published_s6, published_dinit] = self.published.map(str::to_owned);
        [
            self.figure.clone(),
            ward,
            reach,
            verdict.to_owned(),
            floor,
            peer(&self.s6),
            peer(&self.runit),
            published_s6,
            published_dinit,
        ]
    }
}

/// How a figure compares with what is to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Reached,
    /// Reached, if the machine is as slow as its floor says.
    Scaled,
    Missed,
}

/// What a bare loop took to start 1,000 processes on the machine that the
/// figures to reach were set on.
const FLOOR_MS: f64 = 67.0;

/// How much slower this machine is than that one, as the floor of the same
/// run says; 1 where it is faster, or was not measured.
fn slowness(rows: &[Row]) -> f64 {
    let started = rows.iter().find(|row| row.is_scale);
    started.map_or(1.0, |row| (row.floor.median() / FLOOR_MS).max(1.0))
}

/// Prints all rows, columns under each other. `judged`: the figures are such
/// that reaching means something.
pub fn print(rows: &[Row], judged: bool) {
    let head = [
        "figure",
        "ward (quarters)",
        "to reach",
        "reached",
        "floor",
        "s6 2.11 here",
        "runit here",
        "s6 2.15 + s6-rc 0.6*",
        "dinit 0.22*",
    ];
    let mut lines: Vec<[String; 9]> = vec![head.map(str::to_owned)];
    let slowness = slowness(rows);
    lines.extend(rows.iter().map(|row| row.cells(judged, slowness)));
    let width = |column: usize| lines.iter().map(|l| l[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 9] = std::array::from_fn(width);
    for (number, line) in lines.iter().enumerate() {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!(" {cell:width$} |"));
        println!("|{}", cells.collect::<String>());
        if number == 0 {
            println!("|{}", widths.map(|width| format!("{}|", "-".repeat(width + 2))).concat());
        }
    }
    println!();
    println!("* Published figures, taken on another machine: for orientation only.");
    if !judged {
        println!("Too few services and runs to judge by.");
        return;
    }
    let verdicts: Vec<_> = rows.iter().filter_map(|row| row.verdict(slowness)).collect();
    let count = |verdict| verdicts.iter().filter(|v| **v == verdict).count();
    let (reached, scaled) = (count(Verdict::Reached), count(Verdict::Scaled));
    println!("{reached} of {} figures are reached.", verdicts.len());
    if scaled > 0 {
        println!(
            "{scaled} more are on this machine, whose floor of 1,000 starts is {slowness:.2} times \
             the {FLOOR_MS} ms of the one they were set on (\"scaled\")."
        );
    }
}

fn shown(unit: Unit, series: &Series) -> String {
    if series.is_empty() { String::new() } else { show(unit, series.median()) }
}

fn show(unit: Unit, value: f64) -> String {
    let number = plain(unit, value);
    match unit {
        Unit::Milliseconds => format!("{number} ms"),
        Unit::Microseconds => format!("{number} µs"),
        Unit::Bytes if value < 1e6 => format!("{number} kB"),
        Unit::Bytes => format!("{number} MB"),
        Unit::Times | Unit::Ratio => number,
    }
}

fn plain(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Milliseconds | Unit::Microseconds | Unit::Ratio => rounded(value),
        Unit::Bytes if value < 1e6 => rounded(value / 1e3),
        Unit::Bytes => format!("{:.2}", value / 1e6),
        Unit::Times => format!("{value:.0}"),
    }
}

/// Three digits that mean something.
fn rounded(value: f64) -> String {
    match value.abs() {
        0.0..1.0 => format!("{value:.3}"),
        1.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_reached_by_its_median_or_by_its_ratio() {
        let mut row = Row::new("start", Unit::Milliseconds, Reach::Floors(2.0));
        for (ward, floor) in [(3.0, 2.0), (30.0, 16.0), (5.0, 1.0)] {
            row.ward.push(ward);
            row.floor.push(floor);
        }
        assert_eq!(row.verdict(1.0), Some(Verdict::Reached));
        row.reach = Reach::Floors(1.8);
        assert_eq!(row.verdict(9.0), Some(Verdict::Missed), "a ratio is one on every machine");
        row.reach = Reach::AtMost(4.9);
        assert_eq!(row.verdict(1.0), Some(Verdict::Missed));
        let cells = row.cells(true, 1.0);
        assert_eq!(cells[1], "5.00 ms (4.00–17.5)");
        assert_eq!(cells[3], "**no**");
        assert_eq!(cells[4], "2.00 ms (ward is 1.88 ×)");
        assert_eq!(row.cells(true, 1.1)[3], "scaled");
        assert_eq!(row.cells(false, 1.0)[3], "–");
        row.unit = Unit::Bytes;
        assert_eq!(row.verdict(9.0), Some(Verdict::Missed), "bytes do not become fewer");
    }

    #[test]
    fn the_floor_of_a_thousand_starts_says_how_slow_the_machine_is() {
        let mut row = Row::new("start", Unit::Milliseconds, Reach::Floors(2.0));
        row.floor.push(2.0 * FLOOR_MS);
        assert_eq!(slowness(std::slice::from_ref(&row)), 1.0);
        row.is_scale = true;
        assert_eq!(slowness(&[row]), 2.0);
    }

    #[test]
    fn bytes_are_shown_in_the_unit_that_fits() {
        assert_eq!(show(Unit::Bytes, 4_096.0), "4.10 kB");
        assert_eq!(show(Unit::Bytes, 2_500_000.0), "2.50 MB");
        assert_eq!(show(Unit::Times, 0.0), "0");
        assert_eq!(show(Unit::Ratio, 1.019), "1.02");
    }
}
