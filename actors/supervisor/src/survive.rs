//! Running code that may panic, without letting anything of the panic through.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use messages::fault::panic_text;

/// Runs `work`; a panic becomes its text.
pub(crate) fn survive<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(text_of)
}

fn text_of(panic: Box<dyn Any + Send>) -> String {
    let text = panic_text(&*panic);
    // What was thrown may itself panic when dropped; what that throws is left alone.
    if let Err(second) = catch_unwind(AssertUnwindSafe(move || drop(panic))) {
        std::mem::forget(second);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::panic_any(Bomb);
        }
    }

    #[test]
    fn answers_the_value_or_the_text() {
        assert_eq!(survive(|| 7), Ok(7));
        assert_eq!(
            survive(|| panic!("boom {}", 1)),
            Err::<(), _>("boom 1".to_owned())
        );
    }

    #[test]
    fn survives_a_payload_that_panics_when_dropped() {
        let text = survive(|| std::panic::panic_any(Bomb));
        assert_eq!(text, Err::<(), _>("a panic without text".to_owned()));
    }
}
