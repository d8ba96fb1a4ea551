//! Which plugin wrote a line.

use std::sync::Arc;

use log::{Record, kv::Key};
use messages::log_record::thread_tag;

use crate::escape::escape;

/// The tag of the gateway's own lines.
const GATEWAY: &str = "bkg";

/// Tells which plugin wrote a record.
#[derive(Debug, Clone)]
pub(crate) struct Tagger {
    plugins: Arc<[Arc<str>]>,
}

impl Tagger {
    /// A tagger that takes these names for plugins.
    pub(crate) fn new(plugins: &[&str]) -> Self {
        Self {
            plugins: plugins.iter().map(|name| Arc::from(*name)).collect(),
        }
    }

    /// The plugin, by what is most explicit: the pair `plugin`, the target, the thread.
    pub(crate) fn tag(&self, record: &Record<'_>) -> Arc<str> {
        let pair = record.key_values().get(Key::from("plugin"));
        let pair = pair.map(|name| Arc::from(escape(&name.to_string())));
        pair.or_else(|| self.of_target(record.target()))
            .or_else(thread_tag)
            .unwrap_or_else(|| GATEWAY.into())
    }

    fn of_target(&self, target: &str) -> Option<Arc<str>> {
        let first = target.split("::").next()?;
        self.plugins.iter().find(|name| ***name == *first).cloned()
    }
}

#[cfg(test)]
mod tests {
    use log::Level;
    use messages::log_record::tag_thread;

    use super::*;

    fn tag(target: &str, pair: Option<&'static str>) -> Arc<str> {
        let pairs = [("plugin", pair.unwrap_or_default())];
        let none: [(&str, &str); 0] = [];
        let mut record = Record::builder();
        record.target(target).level(Level::Info);
        if pair.is_some() {
            record.key_values(&pairs);
        } else {
            record.key_values(&none);
        }
        Tagger::new(&["brainml", "apikeys"]).tag(&record.build())
    }

    #[test]
    fn the_most_explicit_wins() {
        assert_eq!(&*tag("tokio::runtime", None), "bkg");
        assert_eq!(&*tag("brainml", None), "brainml");
        assert_eq!(&*tag("brainml::search", None), "brainml");
        assert_eq!(&*tag("brainmlx::search", None), "bkg");
        assert_eq!(&*tag("brainml::search", Some("external")), "external");
        std::thread::spawn(|| {
            tag_thread("apikeys".into());
            assert_eq!(&*tag("tokio::runtime", None), "apikeys");
            assert_eq!(&*tag("brainml::search", None), "brainml");
        })
        .join()
        .unwrap();
    }
}
