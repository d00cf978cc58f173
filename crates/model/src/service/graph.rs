//! A graph of numbered nodes, and what a compiler asks of it, without recursion.

use alloc::vec::Vec;

/// No node.
pub const NONE: u32 = u32::MAX;

/// Nodes in the order they were added, each with the nodes it points to.
#[derive(Clone, Debug)]
pub struct Graph {
    /// Where the edges of each node begin, and where the last ones end.
    starts: Vec<u32>,
    targets: Vec<u32>,
}

impl Graph {
    pub fn with_capacity(nodes: usize) -> Self {
        let mut starts = Vec::with_capacity(nodes + 1);
        starts.push(0);
        Self { starts, targets: Vec::with_capacity(nodes) }
    }

    /// Adds an edge to the node that the next [`Graph::end_node`] adds.
    pub fn add_edge(&mut self, target: u32) {
        self.targets.push(target);
    }

    pub fn end_node(&mut self) {
        self.starts.push(self.targets.len() as u32);
    }

    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The nodes that `node` points to.
    pub fn edges(&self, node: u32) -> &[u32] {
        let node = node as usize;
        &self.targets[self.starts[node] as usize..self.starts[node + 1] as usize]
    }

    /// All nodes, each behind those it points to; and cycles, no two of which
    /// share a node. There is one wherever there are any.
    pub fn sort(&self) -> (Vec<u32>, Vec<Vec<u32>>) {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            New,
            Open,
            Done,
        }
        let mut order = Vec::with_capacity(self.len());
        let mut cycles: Vec<Vec<u32>> = Vec::new();
        let mut marks = Vec::new();
        marks.resize(self.len(), Mark::New);
        let mut in_cycle = Vec::new();
        in_cycle.resize(self.len(), false);
        // The way from a root to here: nodes, and how many of their edges were taken.
        let mut path: Vec<(u32, u32)> = Vec::new();
        for root in 0..self.len() as u32 {
            if marks[root as usize] != Mark::New {
                continue;
            }
            marks[root as usize] = Mark::Open;
            path.push((root, 0));
            while let Some((node, taken)) = path.last_mut() {
                let node = *node;
                let Some(&target) = self.edges(node).get(*taken as usize) else {
                    marks[node as usize] = Mark::Done;
                    order.push(node);
                    path.pop();
                    continue;
                };
                *taken += 1;
                match marks[target as usize] {
                    Mark::New => {
                        marks[target as usize] = Mark::Open;
                        path.push((target, 0));
                    }
                    Mark::Open => {
                        // Looks backwards, so that an edge to a cycle that was
                        // seen before costs little.
                        let mut cycle = Vec::new();
                        for (node, _) in path.iter().rev() {
                            if in_cycle[*node as usize] {
                                break;
                            }
                            cycle.push(*node);
                            if *node == target {
                                cycle.reverse();
                                cycle.iter().for_each(|node| in_cycle[*node as usize] = true);
                                cycles.push(core::mem::take(&mut cycle));
                                break;
                            }
                        }
                    }
                    Mark::Done => {}
                }
            }
        }
        (order, cycles)
    }

    /// What each node points to, where a node without an index stands for all
    /// that it points to itself: indices, ascending, without repetition.
    ///
    /// `order` is that of [`Graph::sort`], and the graph has no cycle. `None`
    /// where there would be more than `numbers_max` of them.
    pub fn flatten(
        &self,
        order: &[u32],
        indices: &[u32],
        numbers_max: usize,
    ) -> Option<Vec<Vec<u32>>> {
        let mut sets: Vec<Vec<u32>> = Vec::new();
        sets.resize(self.len(), Vec::new());
        let mut numbers = 0;
        for &node in order {
            let edges = self.edges(node);
            let mut set = Vec::with_capacity(edges.len());
            for &target in edges {
                match indices[target as usize] {
                    NONE => set.extend_from_slice(&sets[target as usize]),
                    index => set.push(index),
                }
                if set.len() > 2 * self.len() + edges.len() {
                    set.sort_unstable();
                    set.dedup();
                }
            }
            set.sort_unstable();
            set.dedup();
            set.shrink_to_fit();
            numbers += set.len();
            if numbers > numbers_max {
                return None;
            }
            sets[node as usize] = set;
        }
        Some(sets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn graph(edges: &[&[u32]]) -> Graph {
        let mut graph = Graph::with_capacity(edges.len());
        for targets in edges {
            targets.iter().for_each(|target| graph.add_edge(*target));
            graph.end_node();
        }
        graph
    }

    #[test]
    fn nodes_come_behind_what_they_point_to() {
        let (order, cycles) = graph(&[&[2, 1], &[2], &[], &[0]]).sort();
        assert_eq!((order, cycles), (vec![2, 1, 0, 3], vec![]));
    }

    #[test]
    fn every_knot_shows_a_cycle() {
        let (_, cycles) = graph(&[&[0], &[2], &[3], &[2, 1], &[5], &[4, 1]]).sort();
        assert_eq!(cycles, [vec![0], vec![2, 3], vec![4, 5]]);
    }

    #[test]
    fn a_long_way_needs_no_deep_stack() {
        let mut graph = Graph::with_capacity(0);
        for node in 1..200_000 {
            graph.add_edge(node);
            graph.end_node();
        }
        graph.end_node();
        let (order, cycles) = graph.sort();
        assert_eq!((order[0], cycles.len()), (199_999, 0));
    }

    #[test]
    fn nodes_without_an_index_are_what_they_hold() {
        // 3 holds 2 and 0, 2 holds 1 and 0; 4 points to 3 and 1.
        let graph = graph(&[&[], &[0], &[1, 0], &[2, 0], &[3, 1]]);
        let (order, _) = graph.sort();
        let indices = [0, 1, NONE, NONE, 2];
        let sets = graph.flatten(&order, &indices, 100).unwrap();
        assert_eq!(sets, [vec![], vec![0], vec![0, 1], vec![0, 1], vec![0, 1]]);
        assert_eq!(graph.flatten(&order, &indices, 6), None);
    }
}
