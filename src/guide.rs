//! The product's own guide, which the first question can be asked about.

macro_rules! pages {
    ($($name:literal),*) => {
        [$(($name, include_str!(concat!("../docs/guide/", $name, ".md")))),*]
    };
}

/// One page, as Markdown.
pub(crate) struct Page {
    /// Its file's name.
    pub(crate) id: String,
    /// Its first heading.
    pub(crate) title: String,
    /// All of it.
    pub(crate) text: String,
}

/// The pages, in the order in which one would read them.
pub(crate) fn pages() -> Vec<Page> {
    let pages = pages!(
        "overview",
        "quick-start",
        "site",
        "chat",
        "search",
        "models",
        "keys",
        "plugins",
        "logs",
        "metrics",
        "traces",
        "operating",
        "writing-a-plugin"
    );
    let page = |(name, text): (&str, &str)| Page {
        id: format!("{name}.md"),
        title: title(text).to_owned(),
        text: text.to_owned(),
    };
    pages.into_iter().map(page).collect()
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
