//! Inheritance by merging trees: `defaults` → group → route. Trees are merged before anything is read strictly, so a
//! struct sees one complete map, and what was inherited still points to the line where it stands.

use hilum_filters::api::{Kind, Node};

/// Gives `child` every key of `parent` that it does not have itself; an inherited key keeps its own place and comes
/// after the child's own keys. A key of `deep` that is a map on both sides is merged in the same way, one level down.
/// Every other key that the child has replaces the parent's whole, an explicit null too.
///
/// A child that is null takes the parent whole; one that is a list or a text is left alone, and so is every child of
/// a parent that is no map: saying that it should have been a map is the reader's work.
pub(super) fn inherit(child: &mut Node, parent: &Node, deep: &[&str]) {
    let Kind::Map(inherited) = &parent.kind else { return };
    if child.kind == Kind::Null {
        child.kind = Kind::Map(Vec::new());
    }
    let Kind::Map(own) = &mut child.kind else { return };
    for entry in inherited {
        match own.iter_mut().find(|mine| mine.key == entry.key) {
            None => own.push(entry.clone()),
            Some(mine) if deep.contains(&entry.key.as_str()) && matches!(mine.value.kind, Kind::Map(_)) => {
                inherit(&mut mine.value, &entry.value, &[]);
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hilum_filters::api::{At, Entry};

    /// `a=1 b=(c=2 d=-) e=-` as a tree, every value in the given line; `-` is null.
    fn tree(text: &str, line: u32) -> Node {
        let mut words = text.split_whitespace();
        map(&mut words, line)
    }

    fn map<'t>(words: &mut impl Iterator<Item = &'t str>, line: u32) -> Node {
        let at = At { line, col: 1, width: 1 };
        let node = |kind| Node { at, kind, written: None };
        let mut entries = Vec::new();
        while let Some(word) = words.next() {
            let Some((key, value)) = word.split_once('=') else { break };
            let value = match value {
                "(" => map(words, line),
                "-" => node(Kind::Null),
                text => node(Kind::Scalar { text: text.to_owned(), plain: true }),
            };
            entries.push(Entry { key: key.to_owned(), at, value });
        }
        node(Kind::Map(entries))
    }

    /// The tree again, with `key@line` for each key and the line of each value behind it.
    fn outline(node: &Node) -> String {
        match &node.kind {
            Kind::Map(entries) => {
                let entries = entries.iter().map(|e| format!("{}@{}={}", e.key, e.at.line, outline(&e.value)));
                format!("({})", entries.collect::<Vec<_>>().join(" "))
            }
            Kind::Scalar { text, .. } => format!("{text}@{}", node.at.line),
            other => format!("{other:?}"),
        }
    }

    #[track_caller]
    fn check(child: &str, parent: &str, deep: &[&str], expect: &str) {
        let mut child = tree(child, 1);
        inherit(&mut child, &tree(parent, 9), deep);
        assert_eq!(outline(&child), expect);
    }

    #[test]
    fn an_absent_key_is_taken_over_with_its_place() {
        check("a=1", "b=2 c=3", &[], "(a@1=1@1 b@9=2@9 c@9=3@9)");
        check("", "b=( c=3 )", &[], "(b@9=(c@9=3@9))");
    }

    #[test]
    fn an_own_key_replaces_the_inherited_one_whole() {
        check("a=1", "a=2", &[], "(a@1=1@1)");
        check("a=( b=1 )", "a=( c=2 )", &[], "(a@1=(b@1=1@1))");
        check("a=-", "a=( c=2 )", &["a"], "(a@1=Null)");
        check("a=1", "a=( c=2 )", &["a"], "(a@1=1@1)");
        check("a=( b=1 )", "a=2", &["a"], "(a@1=(b@1=1@1))");
    }

    #[test]
    fn a_deep_key_is_merged_one_level_down() {
        check("a=( b=1 )", "a=( b=2 c=3 )", &["a"], "(a@1=(b@1=1@1 c@9=3@9))");
        check("a=( b=( x=1 ) )", "a=( b=( y=2 ) )", &["a", "b"], "(a@1=(b@1=(x@1=1@1)))");
    }

    #[test]
    fn three_levels_merge_from_the_inside_out() {
        let mut route = tree("limits=( body=1 )", 3);
        inherit(&mut route, &tree("limits=( time=2 ) auth=web", 2), &["limits"]);
        inherit(&mut route, &tree("limits=( body=9 time=9 reply=9 ) auth=none", 1), &["limits"]);
        assert_eq!(outline(&route), "(limits@3=(body@3=1@3 time@2=2@2 reply@1=9@1) auth@2=web@2)");
    }

    #[test]
    fn an_inherited_value_stays_expanded_and_keeps_its_source_text() {
        let mut group = tree("port=8080", 9);
        let Kind::Map(entries) = &mut group.kind else { panic!("a map stays one") };
        entries[0].value.written = Some("${PORT}".into());
        let mut route = tree("a=1", 1);
        inherit(&mut route, &group, &[]);
        assert_eq!(route.get("port"), group.get("port"));
    }

    #[test]
    fn what_is_no_map_inherits_nothing() {
        let text = tree("a=1", 1).get("a").unwrap().clone();
        let mut child = text.clone();
        inherit(&mut child, &tree("b=2", 9), &[]);
        assert_eq!(child, text);
        let mut child = tree("a=1", 1);
        inherit(&mut child, &text, &[]);
        assert_eq!(child, tree("a=1", 1));
        let mut child = Node { kind: Kind::Null, ..text };
        inherit(&mut child, &tree("b=2", 9), &[]);
        assert_eq!(outline(&child), "(b@9=2@9)");
    }
}
