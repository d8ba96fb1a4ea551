//! The parser answers what it cannot read by itself, without a body. Such an answer is replaced by
//! one with a body on its way out.

use actix_web::http::StatusCode;
use bytes::Bytes;

use super::verdict;

/// No answer of the parser's is longer, in bytes.
const LONGEST: usize = 512;

/// An answer in place of a bare one.
pub(super) struct Bare {
    /// What is still to be sent.
    pub(super) answer: Bytes,
    /// How many bytes it stands for.
    pub(super) length: usize,
}

impl Bare {
    /// The one in place of `bytes`, where these are a whole answer without a body that the parser
    /// wrote. All others have a request id.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let head = bytes
            .strip_prefix(b"HTTP/1.1 4")?
            .strip_suffix(b"\r\n\r\n")?;
        let head = Some(head).filter(|_| bytes.len() <= LONGEST)?;
        let head = std::str::from_utf8(head).ok()?.to_ascii_lowercase();
        let bare = head.contains("\r\ncontent-length: 0") && !head.contains("\r\nx-request-id:");
        let status: u16 = head.get(..2)?.parse().ok()?;
        let status = StatusCode::from_u16(status.checked_add(400)?).ok()?;
        (bare && !head.contains("\r\n\r\n")).then(|| Self {
            answer: verdict::unreadable(status).into(),
            length: bytes.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bare_answer_of_the_parser_is_replaced() {
        let of_parser = "HTTP/1.1 431 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let bare = Bare::of(of_parser.as_bytes()).unwrap();
        assert_eq!(bare.length, of_parser.len());
        assert!(
            bare.answer.starts_with(b"HTTP/1.1 431 "),
            "{:?}",
            bare.answer
        );
        for other in [
            of_parser.replace("431", "200"),
            of_parser.replace(": 0", ": 5") + "hello",
            of_parser.replace("connection", "x-request-id: y\r\nconnection"),
            of_parser.repeat(2),
            of_parser.to_owned() + "HTTP/1.1 200 OK\r\n",
        ] {
            assert!(Bare::of(other.as_bytes()).is_none(), "{other}");
        }
    }
}
