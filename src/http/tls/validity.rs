//! From when and until when a certificate holds. Of all that X.509 has this is the one thing that
//! an operator wants to see, and it lies near the beginning.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xA0;

/// `notBefore` and `notAfter` of a certificate in DER.
pub(super) fn of(certificate: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let mut signed = Der(Der(certificate).value_of(SEQUENCE)?);
    let mut fields = Der(signed.value_of(SEQUENCE)?);
    if fields.tag()? == VERSION {
        fields.value_of(VERSION)?;
    }
    fields.value_of(INTEGER)?; // serial number
    fields.value_of(SEQUENCE)?; // algorithm
    fields.value_of(SEQUENCE)?; // issuer
    let mut validity = Der(fields.value_of(SEQUENCE)?);
    Some((validity.time()?, validity.time()?))
}

/// Values in DER, one after the other.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn tag(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next value, if it has this tag.
    fn value_of(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7F => (usize::from(*first), rest),
            // Longer than four bytes is no length of anything that a file holds.
            0x81..=0x84 => long(rest, first & 0x0F)?,
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        (*found == tag).then_some(value)
    }

    fn time(&mut self) -> Option<Timestamp> {
        let tag = self.tag()?;
        let text = std::str::from_utf8(self.value_of(tag)?).ok()?;
        let text = match tag {
            GENERALIZED_TIME => text.to_owned(),
            // Two digits of the year; 50 and more are of the twentieth century.
            UTC_TIME if text.get(..2)? >= "50" => format!("19{text}"),
            UTC_TIME => format!("20{text}"),
            _ => return None,
        };
        let time = DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?;
        Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
    }
}

fn long(bytes: &[u8], count: u8) -> Option<(usize, &[u8])> {
    let (length, rest) = bytes.split_at_checked(usize::from(count))?;
    let add = |sum: usize, byte: &u8| (sum << 8) | usize::from(*byte);
    Some((length.iter().fold(0, add), rest))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(from: i32, until: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 2);
        params.not_after = date_time_ymd(until, 3, 4);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn both_forms_of_a_time_are_read() {
        let (from, until) = of(&certificate(1999, 2077)).unwrap();
        assert_eq!(from.to_string(), "1999-01-02T00:00:00Z");
        assert_eq!(until.to_string(), "2077-03-04T00:00:00Z");
    }

    #[test]
    fn what_is_cut_short_has_no_times() {
        let whole = certificate(2020, 2030);
        for length in 0..120 {
            assert!(of(&whole[..length]).is_none(), "{length} bytes");
        }
    }

    #[test]
    fn noise_has_no_times() {
        let whole = certificate(2020, 2030);
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xFF;
            let _ = of(&bytes);
        }
        assert!(of(&[0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF]).is_none());
    }
}
