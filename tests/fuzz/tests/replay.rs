//! Replays every corpus, small changes of each of its files, and some on dice.

use std::path::Path;

use sim::dice::Dice;

/// Inputs on dice for each target.
const CHANGED: usize = 500;
/// Bytes of a file that are changed one by one.
const CHANGED_BYTES: usize = 500;

#[test]
fn no_file_of_the_corpus_hurts_its_reader() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, reader) in fuzz::TARGETS {
        let folder = corpus.join(name);
        let files: Vec<_> = std::fs::read_dir(&folder)
            .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
            .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
            .collect();
        assert!(!files.is_empty(), "{} has no files", folder.display());
        for file in &files {
            reader(file);
            for at in 0..file.len().min(CHANGED_BYTES) {
                let mut changed = file.clone();
                for byte in [0, 0xff, file[at] ^ 1, b'\n'] {
                    changed[at] = byte;
                    reader(&changed);
                }
                reader(&file[..at]);
            }
        }
        let mut dice = Dice::new(1);
        for _ in 0..CHANGED {
            reader(&fuzz::mutate::changed(&mut dice, &files));
        }
    }
}
