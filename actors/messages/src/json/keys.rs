//! The names in the objects that are open, to notice one that comes twice.

use std::{borrow::Cow, collections::HashSet};

/// A name with its escapes resolved: `"a"` and `"\u0061"` are one.
pub(super) type Name<'a> = Cow<'a, [u8]>;

/// So many names of one object are compared one by one. More go into a set, or a large object would
/// cost the square of its size.
const FEW: usize = 32;

#[derive(Default)]
pub(super) struct Keys<'a> {
    /// Names in the order of the text, with nothing where an object begins.
    open: Vec<Option<Name<'a>>>,
    /// The names of objects that have many, each with the object's depth.
    many: Vec<(u32, HashSet<Name<'a>>)>,
}

impl<'a> Keys<'a> {
    pub(super) fn open_object(&mut self) {
        self.open.push(None);
    }

    pub(super) fn close_object(&mut self, depth: u32) {
        while let Some(Some(_)) = self.open.pop() {}
        self.many.pop_if(|(of, _)| *of == depth);
    }

    /// Notes a name of the innermost object, which is `depth` deep. Answers whether it is new.
    pub(super) fn add(&mut self, depth: u32, name: Name<'a>) -> bool {
        if let Some((_, names)) = self.many.last_mut().filter(|(of, _)| *of == depth) {
            return names.insert(name);
        }
        let known = || self.open.iter().rev().map_while(Option::as_ref);
        let mut count = 0;
        for other in known() {
            if *other == name {
                return false;
            }
            count += 1;
        }
        if count < FEW {
            self.open.push(Some(name));
            return true;
        }
        let mut names: HashSet<_> = known().cloned().collect();
        names.insert(name);
        self.many.push((depth, names));
        true
    }
}
