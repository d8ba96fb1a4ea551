//! The order in which plugins start: each after what it needs.

use std::collections::{BTreeMap, BTreeSet};

/// What each plugin needs, by name.
pub(crate) type Needs = BTreeMap<String, Vec<String>>;

/// `wanted` and all that they need, each after what it needs, otherwise as listed. Needs that are
/// not in `needs` and needs in a circle are passed over.
pub(crate) fn start_order(needs: &Needs, wanted: &[String]) -> Vec<String> {
    let mut order = Vec::new();
    let mut seen = BTreeSet::new();
    for name in wanted {
        visit(needs, name, &mut seen, &mut order);
    }
    order
}

fn visit(needs: &Needs, name: &str, seen: &mut BTreeSet<String>, order: &mut Vec<String>) {
    let Some(own) = needs.get(name) else { return };
    if seen.insert(name.to_owned()) {
        for need in own {
            visit(needs, need, seen, order);
        }
        order.push(name.to_owned());
    }
}

/// The circle of needs that leads from `name` back to it, such as `a needs b needs a`.
pub(crate) fn circle(needs: &Needs, name: &str) -> Option<String> {
    let mut path = vec![name.to_owned()];
    let mut seen = BTreeSet::new();
    leads_back(needs, name, name, &mut seen, &mut path).then(|| path.join(" needs "))
}

fn leads_back(
    needs: &Needs,
    from: &str,
    to: &str,
    seen: &mut BTreeSet<String>,
    path: &mut Vec<String>,
) -> bool {
    for need in needs.get(from).into_iter().flatten() {
        path.push(need.clone());
        let found =
            need == to || (seen.insert(need.clone()) && leads_back(needs, need, to, seen, path));
        if found {
            return true;
        }
        path.pop();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(pairs: &[(&str, &[&str])]) -> Needs {
        let owned = |names: &&[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        pairs
            .iter()
            .map(|(name, needs)| ((*name).to_owned(), owned(needs)))
            .collect()
    }

    fn order(needs: &Needs, wanted: &[&str]) -> String {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        start_order(needs, &wanted).join(" ")
    }

    #[test]
    fn each_starts_after_what_it_needs() {
        let needs = needs(&[
            ("a", &["b", "c"]),
            ("b", &["d"]),
            ("c", &["d"]),
            ("d", &[]),
            ("e", &[]),
        ]);
        assert_eq!(order(&needs, &["a", "b", "c", "d", "e"]), "d b c a e");
        assert_eq!(
            order(&needs, &["e", "b"]),
            "e d b",
            "others are not started"
        );
        assert_eq!(order(&needs, &["a", "nobody"]), "d b c a");
    }

    #[test]
    fn circles_are_told_and_do_not_hang() {
        let needs = needs(&[
            ("a", &["b"]),
            ("b", &["c"]),
            ("c", &["a"]),
            ("d", &["a"]),
            ("e", &["e"]),
        ]);
        assert_eq!(
            circle(&needs, "a").as_deref(),
            Some("a needs b needs c needs a")
        );
        assert_eq!(circle(&needs, "e").as_deref(), Some("e needs e"));
        assert_eq!(
            circle(&needs, "d"),
            None,
            "it leads into a circle and is in none"
        );
        assert_eq!(order(&needs, &["a"]), "c b a");
    }
}
