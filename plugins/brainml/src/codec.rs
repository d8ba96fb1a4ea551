//! The bytes of a persisted index: LEB128 numbers and length-prefixed texts.

/// The bytes end too early, or say what no writer of ours would.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the file's content is not that of an index written by this version")]
pub(crate) struct Damaged;

/// Appends numbers and texts to a buffer.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Writes seven bits a byte, the lowest first, with the high bit set on all but the last
    /// (LEB128, DWARF 5 section 7.6).
    pub(crate) fn number(&mut self, number: u64) {
        let mut rest = number;
        while rest >= 0x80 {
            self.bytes.push(low_bits(rest) | 0x80);
            rest >>= 7;
        }
        self.bytes.push(low_bits(rest));
    }

    /// Writes the length in bytes, then the bytes.
    pub(crate) fn text(&mut self, text: &str) {
        self.number(u64::try_from(text.len()).unwrap_or(u64::MAX));
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// What has been written.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

fn low_bits(number: u64) -> u8 {
    u8::try_from(number & 0x7f).unwrap_or(0x7f)
}

/// Takes numbers and texts off the front of a buffer; nothing that it holds makes it panic.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the first byte on.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The next number.
    pub(crate) fn number(&mut self) -> Result<u64, Damaged> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.bytes.split_first().ok_or(Damaged)?;
            self.bytes = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Damaged)
    }

    /// The next number, as any narrower type.
    pub(crate) fn narrow<T: TryFrom<u64>>(&mut self) -> Result<T, Damaged> {
        T::try_from(self.number()?).map_err(|_| Damaged)
    }

    /// The next text.
    pub(crate) fn text(&mut self) -> Result<&'a str, Damaged> {
        let length = self.narrow()?;
        let (text, rest) = self.bytes.split_at_checked(length).ok_or(Damaged)?;
        self.bytes = rest;
        str::from_utf8(text).map_err(|_| Damaged)
    }

    /// Whether everything has been read.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_written_is_read(
            numbers in prop::collection::vec(any::<u64>(), 0..20),
            texts in prop::collection::vec(".{0,20}", 0..10),
        ) {
            let mut writer = Writer::default();
            numbers.iter().for_each(|number| writer.number(*number));
            texts.iter().for_each(|text| writer.text(text));
            let bytes = writer.finish();
            let mut reader = Reader::new(&bytes);
            for number in numbers {
                prop_assert_eq!(reader.number(), Ok(number));
            }
            for text in &texts {
                prop_assert_eq!(reader.text(), Ok(text.as_str()));
            }
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while reader.text().is_ok() {}
            while reader.number().is_ok() {}
        }
    }
}
