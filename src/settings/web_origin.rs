//! Origins of web pages, as browsers write them.

use std::{fmt, str::FromStr};

use url::Url;

/// Where a web page comes from: `https://app.example` or `http://localhost:8080`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebOrigin(String);

/// Why a text is no origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebOriginError {
    /// It would open the gateway to every page that anyone visits.
    #[error("`*` would let every web page in; name the origins one by one")]
    Any,
    /// It is not of the right form.
    #[error("`{0}` is no origin such as https://app.example or http://localhost:8080")]
    Form(String),
    /// Browsers write it differently, so it would never match.
    #[error("`{0}` is written `{1}` by browsers")]
    Spelling(String, String),
}

impl WebOrigin {
    /// As browsers send it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WebOrigin {
    type Err = WebOriginError;

    fn from_str(text: &str) -> Result<Self, WebOriginError> {
        if text == "*" {
            return Err(WebOriginError::Any);
        }
        let form = || WebOriginError::Form(text.to_owned());
        let url = Url::parse(text).map_err(|_| form())?;
        let bare = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        // A star in a host is a character like any other, but nobody means that.
        if !bare || !matches!(url.scheme(), "http" | "https") || text.contains('*') {
            return Err(form());
        }
        let spelled = url.origin().ascii_serialization();
        match spelled == text {
            true => Ok(Self(spelled)),
            false => Err(WebOriginError::Spelling(text.to_owned(), spelled)),
        }
    }
}

impl fmt::Display for WebOrigin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_a_host_and_perhaps_a_port() {
        for text in [
            "https://app.example",
            "http://localhost:8080",
            "http://127.0.0.1:3000",
            "https://[2001:db8::1]",
        ] {
            assert_eq!(text.parse::<WebOrigin>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn what_would_match_nothing_or_everything_is_refused() {
        assert_eq!("*".parse::<WebOrigin>(), Err(WebOriginError::Any));
        for text in [
            "",
            "null",
            "app.example",
            "ftp://app.example",
            "https://*.example",
            "file:///",
            "https://app.example/path",
            "https://app.example?",
            "https://me@app.example",
            "https://",
        ] {
            let refused = text.parse::<WebOrigin>().unwrap_err();
            assert_eq!(refused, WebOriginError::Form(text.to_owned()));
        }
        for text in [
            "https://app.example/",
            "https://App.example",
            "https://app.example:443",
        ] {
            let refused = text.parse::<WebOrigin>().unwrap_err().to_string();
            assert!(refused.contains("`https://app.example`"), "{refused}");
        }
    }
}
