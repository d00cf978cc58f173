//! HTML, in which nothing that was not written here becomes anything but text.

use model::http::{append_encoded, append_html};
use model::log::entry::append_escaped;

/// What is written so far.
#[derive(Default)]
pub struct Markup(pub Vec<u8>);

impl Markup {
    /// What is HTML: only constants of this program.
    pub fn raw(&mut self, html: &'static str) -> &mut Self {
        self.0.extend_from_slice(html.as_bytes());
        self
    }

    pub fn text(&mut self, text: &str) -> &mut Self {
        append_html(text, &mut self.0);
        self
    }

    pub fn number(&mut self, number: u64) -> &mut Self {
        self.text(&number.to_string())
    }

    /// What anybody wrote: as `ward log` shows it, what is no text or steers a terminal is `\xNN`.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        let mut escaped = Vec::new();
        append_escaped(bytes, &mut escaped);
        append_html(&String::from_utf8_lossy(&escaped), &mut self.0);
        self
    }

    /// One value of a query.
    pub fn encoded(&mut self, text: &str) -> &mut Self {
        append_encoded(text, &mut self.0);
        self
    }

    /// A link to a service.
    pub fn service(&mut self, name: &str) -> &mut Self {
        self.raw("<a href=\"/service?name=").encoded(name).raw("\">").text(name).raw("</a>")
    }
}
