//! Readers of what callers of the status page say.

use model::http::{Request, append_encoded, append_html};
use model::limits::REQUEST_HEAD_BYTES_MAX;
use model::log::line::{self, Line};
use model::log::loss;
use model::log::mark;

// Whoever is in the network at home, and what pages from elsewhere have their browsers ask.
pub fn page_request(bytes: &[u8]) {
    let names = ["router.lan".to_owned()];
    let found = Request::read(bytes);
    match &found {
        Ok(None) => assert!(bytes.len() < REQUEST_HEAD_BYTES_MAX, "it ends at some time"),
        Ok(Some(request)) => {
            assert!(request.path.starts_with('/') && request.path.is_ascii());
            assert!(request.query.len() <= 8);
            // What follows changes nothing of what has come.
            assert_eq!(Request::read(&[bytes, b"more"].concat()), found);
            if request.is_meant(&[]) {
                assert!(request.is_meant(&names), "further names lock nobody out");
            }
            for (_, value) in &request.query {
                // What it says goes into links again, and comes back as it was.
                let mut text = b"GET /?a=".to_vec();
                append_encoded(value, &mut text);
                text.extend_from_slice(b" HTTP/1.0\n\n");
                if text.len() < REQUEST_HEAD_BYTES_MAX {
                    let again = Request::read(&text).expect("a request").expect("it has ended");
                    assert_eq!(again.value("a").unwrap_or_default(), value);
                }
            }
        }
        Err(refusal) => assert!(refusal.status().len() > 4),
    }
    // However it comes in pieces, a refusal or a request comes of it no later than when it is whole.
    if let Some(end) =
        (0..bytes.len().min(600)).find(|&end| Request::read(&bytes[..end]) != Ok(None))
    {
        let early = Request::read(&bytes[..end]);
        assert!(early == found || early.is_err() || found.is_err(), "{early:?} {found:?}");
    }
    let text = String::from_utf8_lossy(bytes);
    let mut shown = Vec::new();
    append_html(&text, &mut shown);
    assert!(!shown.iter().any(|byte| matches!(byte, b'<' | b'>' | b'"' | b'\'' | 0)));
    let line = [b"@400000000000000a00000000 ", mark::SERVICE.as_bytes(), b" ", bytes].concat();
    if let Some((lines, service)) = loss::read(&Line::read(&line, true)) {
        let text = loss::text(lines, service);
        let again = line::one(b"@400000000000000a00000000", mark::SERVICE, text.as_bytes());
        let again = again.strip_suffix(b"\n").expect("it is a line");
        assert_eq!(loss::read(&Line::read(again, true)), Some((lines, service)));
    }
}
