//! The book of `make docs`, as a browser shows it: on a telephone and on a desk, light and dark, and
//! what its search finds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::browser::Browser;
use e2e::{nix, stdout};

/// As wide as the narrowest of telephones that are sold, and as a window on a desk.
const SCREENS: [(u32, u32); 2] = [(360, 740), (1280, 900)];

/// Where the book is, made of the pages as they are now.
fn book() -> PathBuf {
    let mut chore = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    chore.current_dir(nix::sources()).args(["xtask", "book"]);
    let said = stdout(&mut chore);
    Path::new(said.lines().last().expect("its first page")).parent().expect("a folder").to_owned()
}

fn chapters(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the book can be read") {
        let path = entry.expect("its folder, too").path();
        if path.is_dir() {
            chapters(&path, found);
        } else if path.extension().is_some_and(|e| e == "html") {
            found.push(path);
        }
    }
}

/// What is wider than the screen, unless it lies in something that is pushed aside.
const TOO_WIDE: &str = "[...document.querySelectorAll('main *')].filter(it => \
    it.getBoundingClientRect().right > innerWidth + 1 && !it.closest('pre, .table-wrapper'))\
    .map(it => it.tagName + ' ' + it.textContent.slice(0, 50)).slice(0, 3).join('; ')";

/// Blocks and tables that are cut off: wider than their place, and nobody can push them.
const CUT_OFF: &str = "[...document.querySelectorAll('main pre > code, main .table-wrapper')]\
    .filter(it => it.scrollWidth > it.clientWidth + 1 && getComputedStyle(it).overflowX != 'auto')\
    .map(it => it.textContent.slice(0, 50)).slice(0, 3).join('; ')";

#[test]
fn every_page_fits_the_screen_of_a_telephone_and_the_search_finds_what_people_ask_for() {
    let book = book();
    let url = |page: &str| format!("file://{}/{page}", book.display());
    let mut pages = Vec::new();
    chapters(&book, &mut pages);
    // One is for web servers, and one is the list of chapters beside the others.
    pages.retain(|page| !page.ends_with("404.html") && !page.ends_with("toc.html"));
    assert!(pages.len() > 40, "only {} pages", pages.len());

    let mut browser = Browser::start(360, 740);
    let mut wrong = Vec::new();
    for (width, height) in SCREENS {
        browser.size(width, height);
        for page in &pages {
            browser.go(&format!("file://{}", page.display()));
            let what = format!("{} at {width}", page.display());
            for (name, question) in [("too wide", TOO_WIDE), ("cut off", CUT_OFF)] {
                let found = browser.value(question);
                if found != "" {
                    wrong.push(format!("{what}: {name}: {found}"));
                }
            }
            let whole = browser.value("document.scrollingElement.scrollWidth");
            if whole.as_u64() > Some(width.into()) {
                wrong.push(format!("{what}: {whole} wide"));
            }
            // A title, and which chapter of the list this is.
            let titled = "document.querySelector('main h1').textContent != '' \
                && document.querySelector('mdbook-sidebar-scrollbox a.active') != null";
            if browser.value(titled) != true {
                wrong.push(format!("{what}: no title, or not in the list of chapters"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));

    // The last word of an option, all of it, a command, and a word of an explanation.
    for (asked, page) in [
        ("trustedKeys", "docs/reference/options.html"),
        ("hardware.flash.eraseSize", "docs/reference/options.html"),
        ("levitate", "docs/guide/reinstall.html"),
        ("flashcp", "docs/reference/ward.html"),
        ("systemctl", "docs/guide/from-systemd.html"),
        ("sysupgrade", "docs/guide/from-openwrt.html"),
    ] {
        browser.go(&url(&format!("docs/glossary.html?search={asked}")));
        browser.wait("document.querySelector('#mdbook-searchresults-header').textContent != ''");
        let found = browser.value(
            "[...document.querySelectorAll('#mdbook-searchresults a')].map(it => it.href).join(' ')",
        );
        let found = found.as_str().unwrap_or_default();
        assert!(found.contains(page), "{asked}: {found}");
    }

    // Dark where that is preferred; and readable there, and where no scripts run.
    for (dark, wanted) in [(true, "navy"), (false, "light")] {
        browser.dark(dark);
        browser.go(&url("docs/tutorial.html"));
        let theme = browser.value("document.documentElement.className");
        assert!(theme.as_str().unwrap_or_default().contains(wanted), "{theme}");
    }
    browser.scripts(false);
    browser.go(&url("docs/guide/tasks.html"));
    browser.scripts(true);
    let shown = "document.querySelector('main').innerText.includes('s6-rc -a list')";
    assert_eq!(browser.value(shown), true);
    assert_eq!(browser.complaints, Vec::<String>::new());
}
