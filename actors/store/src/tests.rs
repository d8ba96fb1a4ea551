//! The store from outside: what is refused, what is undone, what is left untouched.
