//! Where things lie in a drawing: in layers, so that every line leads down, with few crossings, and
//! straight where that can be.
//!
//! Source: Sugiyama, Tagawa, Toda, "Methods for Visual Understanding of Hierarchical System
//! Structures", 1981; the places in a layer are those with the least sum of squares.

/// More than this nobody looks at, counted with the bends of lines.
const PLACES_MAX: usize = 20_000;

/// How often all layers are put in order, and their places found.
const ROUNDS: usize = 24;

/// Between two that lie beside each other.
const GAP: f64 = 18.0;

/// What was found. A place has the number of a node, or of a bend behind them all.
pub struct Layout {
    /// The layer of each place, counted from the top.
    pub layers: Vec<usize>,
    /// The middle of each place, to the right of the edge.
    pub middles: Vec<f64>,
    /// For each line, the places that it goes through, from the top down.
    pub ways: Vec<Vec<usize>>,
}

/// Nodes with their widths, and lines from one to another; `None`: too many.
pub fn layout(widths: &[f64], lines: &[(usize, usize)]) -> Option<Layout> {
    let count = widths.len();
    let down = pointing_down(count, lines);
    let mut layers = layers(count, &down);
    let mut widths = widths.to_vec();
    let mut ways = Vec::with_capacity(down.len());
    for (upper, lower) in &down {
        let mut way = vec![*upper];
        for layer in layers[*upper] + 1..layers[*lower] {
            way.push(layers.len());
            layers.push(layer);
            widths.push(2.0);
        }
        way.push(*lower);
        ways.push(way);
        if layers.len() > PLACES_MAX {
            return None;
        }
    }
    let mut net = Net::new(&layers, &ways);
    net.put_in_order();
    let middles = net.places(&widths);
    Some(Layout { layers, middles, ways })
}

/// The same lines, those turned round that would close a ring.
fn pointing_down(count: usize, lines: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut from = vec![Vec::new(); count];
    for (number, (upper, _)) in lines.iter().enumerate() {
        from[*upper].push(number);
    }
    let mut down = lines.to_vec();
    // Not seen, on the way, done.
    let mut seen = vec![0u8; count];
    for start in 0..count {
        let mut left = vec![(start, 0)];
        while let Some((node, next)) = left.pop() {
            if next == 0 {
                if seen[node] != 0 {
                    continue;
                }
                seen[node] = 1;
            }
            let Some(number) = from[node].get(next) else {
                seen[node] = 2;
                continue;
            };
            left.push((node, next + 1));
            let lower = lines[*number].1;
            match seen[lower] {
                0 => left.push((lower, 0)),
                1 => down[*number] = (lower, node),
                _ => {}
            }
        }
    }
    down
}

/// As far up as the lines allow, and then down to what they lead to, where more of them lead down.
fn layers(count: usize, down: &[(usize, usize)]) -> Vec<usize> {
    let mut layers = vec![0; count];
    let mut waits = vec![0; count];
    let (mut below, mut above) = (vec![Vec::new(); count], vec![Vec::new(); count]);
    for (upper, lower) in down {
        waits[*lower] += 1;
        below[*upper].push(*lower);
        above[*lower].push(*upper);
    }
    let mut order: Vec<usize> = (0..count).filter(|node| waits[*node] == 0).collect();
    let mut next = 0;
    while let Some(&node) = order.get(next) {
        next += 1;
        for &lower in &below[node] {
            layers[lower] = layers[lower].max(layers[node] + 1);
            waits[lower] -= 1;
            if waits[lower] == 0 {
                order.push(lower);
            }
        }
    }
    for &node in order.iter().rev() {
        let lowest = below[node].iter().map(|lower| layers[*lower] - 1).min();
        if let Some(lowest) = lowest.filter(|_| below[node].len() > above[node].len()) {
            layers[node] = lowest;
        }
    }
    layers
}

/// Layers of places, and what each has above and below it.
struct Net {
    rows: Vec<Vec<usize>>,
    above: Vec<Vec<usize>>,
    below: Vec<Vec<usize>>,
}

impl Net {
    fn new(layers: &[usize], ways: &[Vec<usize>]) -> Self {
        let mut rows = vec![Vec::new(); layers.iter().max().map_or(0, |last| last + 1)];
        let (mut above, mut below) =
            (vec![Vec::new(); layers.len()], vec![Vec::new(); layers.len()]);
        for step in ways.iter().flat_map(|way| way.windows(2)) {
            below[step[0]].push(step[1]);
            above[step[1]].push(step[0]);
        }
        // What belongs together begins side by side.
        let mut seen = vec![false; layers.len()];
        for start in 0..layers.len() {
            let mut left = vec![start];
            while let Some(place) = left.pop() {
                if !std::mem::replace(&mut seen[place], true) {
                    rows[layers[place]].push(place);
                    left.extend(below[place].iter().rev().chain(&above[place]));
                }
            }
        }
        Self { rows, above, below }
    }

    /// Puts each layer in the order of the middles of what it has above, then below, and keeps the
    /// best of all that.
    fn put_in_order(&mut self) {
        let mut best = (self.crossings(), self.rows.clone());
        for round in 0..ROUNDS {
            let downwards = round % 2 == 0;
            let mut at = self.positions();
            let count = self.rows.len();
            for step in 0..count {
                let row = if downwards { step } else { count - 1 - step };
                let near = if downwards { &self.above } else { &self.below };
                let middle = |place: usize| {
                    let near = &near[place];
                    match near.len() {
                        0 => at[place] as f64,
                        some => {
                            near.iter().map(|other| at[*other] as f64).sum::<f64>() / some as f64
                        }
                    }
                };
                let mut sorted: Vec<(f64, usize)> =
                    self.rows[row].iter().map(|place| (middle(*place), *place)).collect();
                sorted.sort_by(|one, other| one.0.total_cmp(&other.0));
                self.rows[row] = sorted.into_iter().map(|(_, place)| place).collect();
                for (position, place) in self.rows[row].iter().enumerate() {
                    at[*place] = position;
                }
            }
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.rows.clone());
            }
        }
        self.rows = best.1;
    }

    fn positions(&self) -> Vec<usize> {
        let mut at = vec![0; self.above.len()];
        for row in &self.rows {
            for (position, place) in row.iter().enumerate() {
                at[*place] = position;
            }
        }
        at
    }

    fn crossings(&self) -> usize {
        let at = self.positions();
        let mut crossings = 0;
        for row in &self.rows {
            // Ends below, from left to right of their beginnings: those out of order cross. Counted
            // by how many ends lie to the right so far.
            let mut ends = vec![0usize; self.rows.iter().map(Vec::len).max().unwrap_or(0) + 1];
            let mut all = 0;
            for place in row {
                let mut lower: Vec<usize> = self.below[*place].iter().map(|low| at[*low]).collect();
                lower.sort_unstable();
                for end in &lower {
                    let mut left = 0;
                    let mut index = end + 1;
                    while index > 0 {
                        left += ends[index];
                        index &= index - 1;
                    }
                    crossings += all - left;
                }
                for end in lower {
                    all += 1;
                    let mut index = end + 1;
                    while index < ends.len() {
                        ends[index] += 1;
                        index += index & index.wrapping_neg();
                    }
                }
            }
        }
        crossings
    }

    /// Each as near to the middle of its neighbours as its row allows.
    fn places(&self, widths: &[f64]) -> Vec<f64> {
        let mut middles = vec![0.0; widths.len()];
        for row in &self.rows {
            let mut right = 0.0;
            for place in row {
                middles[*place] = right + widths[*place] / 2.0;
                right += widths[*place] + GAP;
            }
        }
        for round in 0..2 * ROUNDS {
            let mut rows: Vec<&Vec<usize>> = self.rows.iter().collect();
            if round % 2 == 1 {
                rows.reverse();
            }
            for row in rows {
                let wished: Vec<f64> = row
                    .iter()
                    .map(|place| {
                        let near = self.above[*place].iter().chain(&self.below[*place]);
                        let (sum, count) = near.fold((0.0, 0.0), |(sum, count), other| {
                            (sum + middles[*other], count + 1.0)
                        });
                        if count == 0.0 { middles[*place] } else { sum / count }
                    })
                    .collect();
                let widths: Vec<f64> = row.iter().map(|place| widths[*place]).collect();
                for (place, middle) in row.iter().zip(apart(&wished, &widths)) {
                    middles[*place] = middle;
                }
            }
        }
        let left = middles.iter().zip(widths).map(|(middle, width)| middle - width / 2.0);
        let left = left.fold(f64::INFINITY, f64::min);
        middles.iter().map(|middle| middle - left).collect()
    }
}

/// The places nearest to those wished, in their order, that do not lie over each other.
fn apart(wished: &[f64], widths: &[f64]) -> Vec<f64> {
    // How far each lies at least from the first.
    let mut offsets = Vec::with_capacity(wished.len());
    let mut offset = 0.0;
    for (at, width) in widths.iter().enumerate() {
        if at > 0 {
            offset += (widths[at - 1] + width) / 2.0 + GAP;
        }
        offsets.push(offset);
    }
    // Groups that push each other: their sum, and how many they are.
    let mut groups: Vec<(f64, usize)> = Vec::new();
    for (wish, offset) in wished.iter().zip(&offsets) {
        let mut group = (wish - offset, 1);
        while let Some(last) = groups.last().copied() {
            if last.0 / last.1 as f64 <= group.0 / group.1 as f64 {
                break;
            }
            group = (group.0 + last.0, group.1 + last.1);
            groups.pop();
        }
        groups.push(group);
    }
    let firsts = groups.iter().flat_map(|(sum, count)| vec![sum / *count as f64; *count]);
    firsts.zip(&offsets).map(|(first, offset)| first + offset).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_lies_over_anything_and_all_lines_lead_down() {
        // A ring, two paths of different lengths, one alone, and one twice.
        let lines = [(0, 1), (1, 2), (0, 2), (2, 3), (3, 1), (0, 4), (5, 4), (5, 4)];
        let widths = [50.0, 80.0, 20.0, 60.0, 100.0, 40.0, 30.0];
        let found = layout(&widths, &lines).unwrap();
        assert_eq!(found.ways.len(), lines.len());
        for way in &found.ways {
            for step in way.windows(2) {
                assert_eq!(found.layers[step[0]] + 1, found.layers[step[1]], "{way:?}");
            }
        }
        for one in 0..widths.len() {
            for other in 0..one {
                let apart = (found.middles[one] - found.middles[other]).abs();
                let least = (widths[one] + widths[other]) / 2.0 + GAP - 1e-6;
                assert!(found.layers[one] != found.layers[other] || apart >= least);
            }
        }
        assert!(found.middles.iter().zip(widths).all(|(middle, width)| *middle >= width / 2.0));
    }

    #[test]
    fn lines_that_need_not_cross_do_not() {
        // Each leads to the one opposite: in the order of numbers, all cross.
        let lines: Vec<(usize, usize)> = (0..8).map(|at| (at, 15 - at)).collect();
        let found = layout(&[10.0; 16], &lines).unwrap();
        for (one, _) in &lines {
            assert!(
                (found.middles[*one] - found.middles[15 - one]).abs() < 1.0,
                "{one} is straight"
            );
        }
    }

    #[test]
    fn many_paths_take_no_longer_than_few_and_too_many_places_are_refused() {
        // Two for each layer, and both lead to both of the next: 2^199 paths.
        let lines: Vec<(usize, usize)> = (0..199)
            .flat_map(|at| {
                [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(a, b)| (2 * at + a, 2 * at + 2 + b))
            })
            .collect();
        assert!(layout(&[10.0; 400], &lines).is_some());
        let chain = |count| (0..count).flat_map(move |at| [(at, at + 1), (0, at + 1)]);
        assert!(layout(&[10.0; 1001], &chain(1000).collect::<Vec<_>>()).is_none());
        assert!(layout(&[], &[]).is_some());
    }
}
