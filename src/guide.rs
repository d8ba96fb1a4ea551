//! The product's own guide, which the first question can be asked about.

use brainml::GuideDocument;

macro_rules! pages {
    ($($name:literal),*) => {
        [$(($name, include_str!(concat!("../docs/guide/", $name, ".md")))),*]
    };
}

/// The pages, each with its first heading as title.
pub(crate) fn pages() -> Vec<GuideDocument> {
    let pages = pages!(
        "overview",
        "quick-start",
        "chat",
        "search",
        "models",
        "keys",
        "plugins",
        "logs",
        "operating"
    );
    let document = |(name, text): (&str, &str)| GuideDocument {
        id: format!("{name}.md"),
        title: title(text).to_owned(),
        text: text.to_owned(),
    };
    pages.into_iter().map(document).collect()
}

fn title(text: &str) -> &str {
    let first = text.lines().next().unwrap_or_default();
    first.trim_start_matches('#').trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_has_a_title_and_a_text() {
        for page in pages() {
            assert!(
                !page.title.is_empty() && page.text.len() > 200,
                "{}",
                page.id
            );
        }
    }
}
