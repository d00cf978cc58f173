//! Looks for bytes that hurt, without libFuzzer: `fuzz TARGET SECONDS CORPUS FOUND`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sim::dice::Dice;

/// Whoever takes longer over one input runs away.
const INPUT_MAX: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [name, seconds, corpus, found] = &words[..] else {
        for (name, _) in fuzz::TARGETS {
            println!("{name}");
        }
        return ExitCode::from(u8::from(!words.is_empty()) * 100);
    };
    let (Some(reader), Ok(seconds)) = (fuzz::target(name), seconds.parse()) else {
        eprintln!("there is no target {name}, or {seconds} is no number of seconds");
        return ExitCode::from(100);
    };
    let files = std::fs::read_dir(corpus).expect("the corpus can be read").flatten();
    let corpus: Vec<Vec<u8>> = files.filter_map(|entry| std::fs::read(entry.path()).ok()).collect();
    let kept = Path::new(found).join(format!("hurts-{name}"));
    let now = Arc::new(Mutex::new((Instant::now(), Vec::new())));
    watch(now.clone(), kept.clone());
    let begun = Instant::now();
    let (mut dice, mut count) = (Dice::new(u64::from(std::process::id())), 0u64);
    while begun.elapsed() < Duration::from_secs(seconds) {
        let bytes = fuzz::mutate::changed(&mut dice, &corpus);
        *now.lock().expect("nobody panics with it") = (Instant::now(), bytes.clone());
        if std::panic::catch_unwind(|| reader(&bytes)).is_err() {
            return hurt(&kept, &bytes);
        }
        count += 1;
    }
    println!("{name}: {count} inputs from {} files", corpus.len());
    ExitCode::SUCCESS
}

/// Ends the program where one input takes for ever.
fn watch(now: Arc<Mutex<(Instant, Vec<u8>)>>, kept: PathBuf) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let (since, bytes) = now.lock().expect("nobody panics with it").clone();
            if since.elapsed() > INPUT_MAX {
                hurt(&kept, &bytes);
                std::process::exit(1);
            }
        }
    });
}

fn hurt(kept: &Path, bytes: &[u8]) -> ExitCode {
    std::fs::write(kept, bytes).expect("what hurts can be kept");
    eprintln!("it is hurt by {}", kept.display());
    ExitCode::FAILURE
}
