//! What several runs measured: the median, and how far they lie apart.

use std::time::Duration;

#[derive(Clone, Debug, Default)]
pub struct Series(Vec<f64>);

impl Series {
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub fn push_ms(&mut self, time: Duration) {
        self.push(time.as_secs_f64() * 1e3);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn median(&self) -> f64 {
        self.at(0.5)
    }

    /// The value below which a quarter of all lie, and the one above which
    /// another quarter lies.
    pub fn quarters(&self) -> (f64, f64) {
        (self.at(0.25), self.at(0.75))
    }

    /// How often as large as `other` it is: the median of the ratios of the
    /// values that were measured together.
    pub fn ratio(&self, other: &Self) -> f64 {
        let pairs = self.0.iter().zip(&other.0);
        Self(pairs.map(|(mine, theirs)| mine / theirs).collect()).median()
    }

    /// Between the two nearest values where none lies there.
    fn at(&self, part: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
        let place = part * last as f64;
        let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
        below + (above - below) * place.fract()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_in_the_middle_and_a_ratio_compares_pairs() {
        let series = Series(vec![9.0, 1.0, 3.0, 2.0]);
        assert_eq!(series.median(), 2.5);
        assert_eq!(series.quarters(), (1.75, 4.5));
        // A slow moment of the machine that met both changes nothing.
        let floor = Series(vec![4.5, 0.5, 1.5, 1.0]);
        assert_eq!(series.ratio(&floor), 2.0);
    }
}
