//! Where the collector is, and what it wants to be told to let spans in.

use reqwest::{
    Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use url::form_urlencoded;

use crate::settings;

/// The path of traces below the endpoint, as OTLP has it.
const PATH: &str = "/v1/traces";

/// A setting that cannot be used. It tells no value: headers are secret.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The endpoint is no address.
    #[error("settings: telemetry.otlp_endpoint: {0}")]
    Endpoint(String),
    /// The headers are no headers.
    #[error("settings: telemetry.otlp_headers: {0}")]
    Headers(String),
    /// There is no client for such a collector.
    #[error("settings: telemetry.otlp_endpoint: {0}")]
    Client(#[from] reqwest::Error),
}

/// Where spans are posted to, with which headers.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
}

impl Target {
    /// The collector of the settings; nothing where they name none.
    pub(super) fn of(settings: &settings::Telemetry) -> Result<Option<Self>, TargetError> {
        let Some(endpoint) = &settings.otlp_endpoint else {
            return Ok(None);
        };
        let url = url(endpoint).map_err(TargetError::Endpoint)?;
        let told = settings.otlp_headers.as_ref();
        let headers = headers(told.map_or("", |secret| &secret.0));
        Ok(Some(Self {
            url,
            headers: headers.map_err(TargetError::Headers)?,
        }))
    }

    /// The collector's place without anything secret.
    pub(super) fn place(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

fn url(endpoint: &str) -> Result<Url, String> {
    let mut url = Url::parse(endpoint).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("it must be such as http://collector:4318".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it must end with its path".to_owned());
    }
    let base = url.path().trim_end_matches('/');
    if !base.ends_with(PATH) {
        let path = format!("{base}{PATH}");
        url.set_path(&path);
    }
    Ok(url)
}

/// Reads `name=value,name=value` as OpenTelemetry's environment has it: values may be encoded as in
/// addresses.
fn headers(text: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let pairs = text
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty());
    for (place, pair) in (1..).zip(pairs) {
        let (name, value) = header(pair).ok_or_else(|| format!("pair {place} is no name=value"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn header(pair: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = pair.split_once('=')?;
    let name = name.trim().parse().ok()?;
    // A plus is a plus here, and not a space as in forms.
    let escaped = value.trim().replace('+', "%2B").replace('&', "%26");
    let form = format!("v={escaped}");
    let (_, decoded) = form_urlencoded::parse(form.as_bytes()).next()?;
    let mut value = HeaderValue::from_str(&decoded).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_go_below_the_endpoint() {
        for (endpoint, expected) in [
            ("http://c:4318", "http://c:4318/v1/traces"),
            ("http://c:4318/", "http://c:4318/v1/traces"),
            ("https://c/otlp/", "https://c/otlp/v1/traces"),
            ("https://c/v1/traces", "https://c/v1/traces"),
        ] {
            assert_eq!(url(endpoint).unwrap().as_str(), expected);
        }
        for bad in [
            "",
            "c:4318",
            "grpc://c:4317",
            "http://c/?a=b",
            "http://c/#a",
        ] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn headers_are_read_as_the_environment_has_them_and_never_shown() {
        let read = headers(" authorization=Basic%20YWJj+w==, x-org=a%2Cb ,").unwrap();
        assert_eq!(read["authorization"], "Basic YWJj+w==");
        assert_eq!(read["x-org"], "a,b");
        assert!(!format!("{read:?}").contains("YWJj"));
        for bad in ["authorization", "=x", "a b=c", "a=%0A"] {
            let error = headers(&format!("x=y,{bad}")).unwrap_err();
            assert_eq!(error, "pair 2 is no name=value");
        }
    }
}
