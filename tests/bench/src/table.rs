//! The table: what was measured, beside what is to be reached.

use crate::series::Series;

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Milliseconds,
    Bytes,
    Times,
}

/// What a figure of ours must not exceed.
#[derive(Clone, Copy, Debug)]
pub enum Reach {
    /// In the unit of the row.
    AtMost(f64),
    /// So many times the floor of the same run.
    Floors(f64),
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
        }
    }

    pub fn published(mut self, s6: &'static str, dinit: &'static str) -> Self {
        self.published = [s6, dinit];
        self
    }

    /// Whether the figure is as good as it shall be; `None`: nothing is asked.
    pub fn reached(&self) -> Option<bool> {
        match self.reach {
            Reach::AtMost(most) => Some(self.ward.median() <= most),
            Reach::Floors(most) => Some(self.ward.ratio(&self.floor) <= most),
            Reach::Nothing => None,
        }
    }

    fn cells(&self, judged: bool) -> [String; 9] {
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
            Reach::Nothing => String::new(),
        };
        let verdict = match self.reached().filter(|_| judged) {
            Some(true) => "yes",
            Some(false) => "**no**",
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
    lines.extend(rows.iter().map(|row| row.cells(judged)));
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
    if judged {
        let judged = rows.iter().filter_map(Row::reached);
        let reached = judged.clone().filter(|reached| *reached).count();
        println!("{reached} of {} figures are reached.", judged.count());
    } else {
        println!("Too few services and runs to judge by.");
    }
}

fn shown(unit: Unit, series: &Series) -> String {
    if series.is_empty() { String::new() } else { show(unit, series.median()) }
}

fn show(unit: Unit, value: f64) -> String {
    let number = plain(unit, value);
    match unit {
        Unit::Milliseconds => format!("{number} ms"),
        Unit::Bytes if value < 1e6 => format!("{number} kB"),
        Unit::Bytes => format!("{number} MB"),
        Unit::Times => number,
    }
}

fn plain(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Milliseconds => rounded(value),
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
        assert_eq!(row.reached(), Some(true));
        row.reach = Reach::AtMost(4.9);
        assert_eq!(row.reached(), Some(false));
        let cells = row.cells(true);
        assert_eq!(cells[1], "5.00 ms (4.00–17.5)");
        assert_eq!(cells[3], "**no**");
        assert_eq!(cells[4], "2.00 ms (ward is 1.88 ×)");
        assert_eq!(row.cells(false)[3], "–");
    }

    #[test]
    fn bytes_are_shown_in_the_unit_that_fits() {
        assert_eq!(show(Unit::Bytes, 4_096.0), "4.10 kB");
        assert_eq!(show(Unit::Bytes, 2_500_000.0), "2.50 MB");
        assert_eq!(show(Unit::Times, 0.0), "0");
    }
}
