//! Readers of what a health check meets: whoever answers, and what somebody wrote as settings.

use model::controller::check::{self, Check, Method};
use model::dns::{self, ADDRESS_4};
use model::echo;
use model::limits::CHECKS_MAX;
use model::log::answer::{Answer, Outcome};

// Anybody may send an echo, and a raw socket gives all that comes with its header.
pub fn echo(bytes: &[u8]) {
    let cookie = *b"0123456789abcdef";
    for is_4 in [true, false] {
        for headed in [true, false] {
            if let Some(number) = echo::answer(is_4, headed, bytes, &cookie) {
                // Whatever stands around it, the cookie came back, and the number behind the kind.
                let at = bytes.windows(16).position(|part| part == cookie).expect("it is there");
                assert!(at >= 8 || headed);
                let _ = number;
            }
        }
    }
    // An answer to what was asked, with anything before and behind it.
    let mut answer = echo::question(true, 7, 9, &cookie);
    answer[0] = 0;
    let whole = [&answer[..], bytes].concat();
    assert_eq!(echo::answer(true, false, &whole, &cookie), Some(9));
}

// What a name server says is worth, and a server's first line.
pub fn probe_answers(bytes: &[u8]) {
    let asked = dns::question(0x3030, "vl.lan", ADDRESS_4).expect("it is a name");
    let mut found = Vec::new();
    let is_answer = dns::answer(&asked, bytes, &mut found);
    assert_eq!(dns::verdict(&asked, bytes).is_some(), is_answer);
    let mut answer = asked.clone();
    answer[2] |= 0x80;
    answer[3] |= bytes.first().unwrap_or(&0) & 0x0f;
    answer.extend_from_slice(bytes);
    let code = answer[3] & 0x0f;
    let expected = if code == 0 { Ok(()) } else { Err(code) };
    assert_eq!(dns::verdict(&asked, &answer), Some(expected));

    let mut whole = Answer::default();
    let outcome = whole.push(bytes);
    let mut pieces = Answer::default();
    let mut first = None;
    for byte in bytes {
        pieces.push(&[*byte]);
        first = first.or(pieces.status());
    }
    assert_eq!(pieces.status(), whole.status(), "however it comes, it means the same");
    if let Outcome::Over { status, .. } = outcome {
        assert_eq!((first, whole.status()), (Some(status), Some(status)));
    }
    assert!(first.is_none_or(|status| (200..1000).contains(&status)));
}

// The compiler reads what people write, and the device what was compiled.
pub fn check_settings(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (own, its) = text.split_once('\0').unwrap_or((&text, ""));
    match check::parse(own, &[("wan", its)]) {
        Ok(read) => {
            assert!((1..=CHECKS_MAX).contains(&read.checks.len()));
            let manner = read.manner;
            assert!(manner.quorum >= 1 && manner.quorum as usize <= read.checks.len());
            assert!(manner.threshold >= 1 && manner.rise >= 1 && manner.tries >= 1);
            assert!(manner.detection_max() >= manner.timeout);
            for check in &read.checks {
                assert_eq!(Check::parse(&check.text).as_ref(), Ok(check), "it reads back the same");
                if let Method::Command(words) = &check.method {
                    assert!(!words[0].is_empty());
                }
            }
        }
        Err(wrongs) => {
            assert!(!wrongs.is_empty() && wrongs.iter().all(|wrong| !wrong.what.is_empty()));
        }
    }
    for line in text.lines() {
        let _ = Check::parse(line);
    }
}
