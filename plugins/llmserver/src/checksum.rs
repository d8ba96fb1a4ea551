//! SHA-256 of files and streams, in hexadecimal.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use sha2::{Digest, Sha256};

/// A running checksum.
#[derive(Default)]
pub(crate) struct Checksum(Sha256);

impl Checksum {
    /// Adds the next bytes.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of everything added, 64 hexadecimal digits.
    pub(crate) fn finish(self) -> String {
        let digest = self.0.finalize();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The checksum of a whole file.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn of_file(path: &Path) -> io::Result<String> {
    let mut checksum = Checksum::default();
    read(&mut File::open(path)?, |bytes| {
        checksum.add(bytes);
        Ok(())
    })?;
    Ok(checksum.finish())
}

/// Reads `source` to its end in pieces of at most 256 KiB.
///
/// # Errors
/// When reading fails, or `each` does.
pub(crate) fn read(
    source: &mut impl Read,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 18];
    loop {
        let count = source.read(&mut buffer)?;
        match buffer.get(..count) {
            Some(bytes) if !bytes.is_empty() => each(bytes)?,
            _ => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_standard_vector() {
        let mut checksum = Checksum::default();
        checksum.add(b"a");
        checksum.add(b"bc");
        assert_eq!(
            checksum.finish(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
