//! The form of secrets: what a key looks like, and how a secret is looked up without being kept.
//!
//! A key is `bkg_`, 30 random base62 digits and 6 digits of checksum, so that a typing error or a
//! guess is refused without a look-up, and a scanner finds a leaked key in a repository. The form is
//! the one that GitHub describes for its tokens
//! (<https://github.blog/2021-04-05-behind-githubs-new-authentication-token-formats/>).

use sha2::{Digest as _, Sha256};

use super::Digest;

/// What every key begins with.
pub const KEY_PREFIX: &str = "bkg_";

/// Random base62 digits of a key: 178 bits.
pub const KEY_DIGITS: usize = 30;

const CHECKSUM_DIGITS: usize = 6;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// SHA-256 of a secret, under which it is stored and looked up.
pub fn digest(secret: &str) -> Digest {
    Sha256::digest(secret.as_bytes()).into()
}

/// A key out of its random digits.
pub fn key_from(digits: &str) -> String {
    let body = format!("{KEY_PREFIX}{digits}");
    let checksum = checksum(&body);
    body + &checksum
}

/// Whether `key` has the form of a key and the checksum that belongs to it.
pub fn is_key(key: &str) -> bool {
    let Some((body, sum)) = key
        .len()
        .checked_sub(CHECKSUM_DIGITS)
        .and_then(|at| key.split_at_checked(at))
    else {
        return false;
    };
    let Some(digits) = body.strip_prefix(KEY_PREFIX) else {
        return false;
    };
    digits.len() == KEY_DIGITS
        && digits.bytes().all(|digit| digit.is_ascii_alphanumeric())
        && sum == checksum(body)
}

/// CRC-32 (IEEE) of `body` as six base62 digits, the most significant first.
fn checksum(body: &str) -> String {
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut digits = ['0'; CHECKSUM_DIGITS];
    for digit in digits.iter_mut().rev() {
        let value = usize::try_from(rest % 62).unwrap_or_default();
        *digit = BASE62.get(value).map_or('0', |byte| char::from(*byte));
        rest /= 62;
    }
    digits.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &str = "0123456789ABCDEFGHIJabcdefghij";

    #[test]
    fn the_checksum_is_crc32_in_base62() {
        // CRC-32 of "123456789" is the standard check value 0xCBF43926 = 3421780262.
        let value = checksum("123456789").bytes().fold(0_u64, |sum, digit| {
            let at = BASE62.iter().position(|known| *known == digit).unwrap();
            sum * 62 + u64::try_from(at).unwrap()
        });
        assert_eq!(value, 0xCBF4_3926);
    }

    #[test]
    fn a_key_made_is_a_key() {
        let key = key_from(DIGITS);
        assert_eq!(key.len(), 40);
        assert!(is_key(&key));
    }

    #[test]
    fn every_change_of_one_digit_is_noticed() {
        let key = key_from(DIGITS);
        for at in 0..key.len() {
            for other in BASE62.iter().map(|byte| char::from(*byte)) {
                let mut changed: Vec<char> = key.chars().collect();
                changed[at] = other;
                let changed: String = changed.into_iter().collect();
                assert_eq!(is_key(&changed), changed == key, "{changed}");
            }
        }
    }

    #[test]
    fn other_texts_are_no_keys() {
        let short = key_from(DIGITS.trim_start_matches('0'));
        let foreign = key_from("0123456789ABCDEFGHIJabcdefgh-_");
        let broad = key_from("ä123456789ABCDEFGHIJabcdefghi");
        for text in ["", "bkg_", "sk-1234", "ääääää", &short, &foreign, &broad] {
            assert!(!is_key(text), "{text}");
        }
    }

    #[test]
    fn the_digest_is_sha256() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(digest("abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
    }
}
