//! Graphs are drawn as they are, and read again as they were.

use super::*;

/// A bit of everything.
pub fn graph() -> Graph {
    let node = |name: &str, shape| Node {
        name: name.to_owned(),
        shape,
        others: Vec::new(),
        essential: false,
        state: None,
    };
    let mut nodes = vec![
        node("default", Shape::Bundle),
        node("web \"1\" <&>", Shape::Longrun),
        node("web-log", Shape::Longrun),
        node("wan", Shape::Controller),
        node("fibre", Shape::Oneshot),
        node("check", Shape::Controller),
    ];
    nodes[1].others = vec!["site".to_owned(), "home".to_owned()];
    nodes[2].essential = true;
    nodes[4].state = Some(State { word: "failed".to_owned(), mood: Mood::Bad });
    let arrows = [
        (0, 1, Link::Holds),
        (1, 2, Link::Pipe),
        (1, 4, Link::Needs),
        (3, 4, Link::Starts),
        (5, 4, Link::Watches),
        (4, 1, Link::Restart),
        (2, 1, Link::Notify),
    ];
    Graph { nodes, arrows: arrows.map(|(from, to, link)| Arrow { from, to, link }).into() }
}

#[test]
fn what_is_written_for_dot_is_read_again_as_it_was() {
    let text = dot::write(&graph());
    assert_eq!(dot::read(&text), Ok(graph()), "{text}");
    assert!(
        text.contains(
            "\"web \\\"1\\\" <&>\" [shape=box,label=\"web \\\"1\\\" <&>\\nsite\\nhome\"];"
        )
    );
}

#[test]
fn what_no_device_says_is_refused_with_its_line() {
    let begin = "digraph services {\n";
    for (text, line) in [
        ("", 1),
        ("graph services {\n}\n", 1),
        (begin, 2),
        (&format!("{begin}  \"a\" [shape=box];\n"), 3),
        (&format!("{begin}  \"a\" [shape=star];\n}}\n"), 2),
        (&format!("{begin}  \"a [shape=box];\n}}\n"), 2),
        (&format!("{begin}  \"a\" [shape=box]\n}}\n"), 2),
        (&format!("{begin}  \"a\" [shape=box\n}}\n"), 2),
        (&format!("{begin}  \"a\" [shape];\n}}\n"), 2),
        (&format!("{begin}  \"a\" -> \"b\";\n}}\n"), 2),
        (&format!("{begin}  \"a\" [shape=box];\n  \"a\" -> \"a\" [style=odd];\n}}\n"), 3),
        (&format!("{begin}  \"\\ud800\" [shape=box];\n}}\n"), 2),
    ] {
        assert_eq!(dot::read(text), Err(line), "{text}");
    }
    // Whatever is cut off or hit by a bit is read, or refused, and never more than that.
    let whole = dot::write(&graph());
    for at in (0..whole.len()).filter(|at| whole.is_char_boundary(*at)) {
        assert!(dot::read(&whole[..at]).is_err() || at + 1 == whole.len());
        for bit in 0..8 {
            let mut bytes = whole.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let _ = dot::read(&String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn a_tree_says_all_of_it() {
    let expected = "\
default (bundle)
└ web \"1\" <&> = site = home
  ├ web-log (essential, reads what it writes, notifies web \"1\" <&>)
  └ fibre [failed] (oneshot, restarts web \"1\" <&>, started by wan, watched by check)
wan (controller)
└ fibre [failed] (oneshot, see above)
check (controller, watches fibre)
";
    assert_eq!(text::write(&graph()), expected);
}

#[test]
fn a_drawing_has_every_name_and_line_and_is_sound_xml() {
    let drawn = svg::write(&graph()).unwrap();
    for part in [
        ">web \"1\" &lt;&amp;&gt;</text>",
        ">site</text>",
        "class=\"it bad\"",
        "class=\"it essential\"",
        "class=\"line starts\"",
        "class=\"line watches\"",
        "class=\"line restart\"",
        "class=\"line pipe notify\"",
    ] {
        assert!(drawn.contains(part), "{part} is missing in\n{drawn}");
    }
    assert_eq!(drawn.matches("<g>").count(), 6);
    assert!(!drawn.contains("NaN") && !drawn.contains("inf"));
}

#[test]
fn of_a_service_there_is_drawn_what_it_needs_and_who_controls_that() {
    let all = graph();
    let some = all.only(&[all.find("site").unwrap()]);
    let names: Vec<&str> = some.nodes.iter().map(|node| &*node.name).collect();
    assert_eq!(names, ["web \"1\" <&>", "web-log", "wan", "fibre", "check"]);
    assert_eq!(some.arrows.len(), 6);
    assert_eq!(all.find("nothing"), None);
}
