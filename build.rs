//! Builds the admin site from `static/`, where the feature `site` wants one, and writes the list of
//! its files that the program embeds.

#[path = "build/embed.rs"]
mod embed;
#[path = "build/npm.rs"]
mod npm;

use std::{
    env,
    path::{Path, PathBuf},
};

/// What the site is made of, below `static/`.
const SOURCES: [&str; 10] = [
    ".npmrc",
    "compress.ts",
    "index.html",
    "package-lock.json",
    "package.json",
    "public",
    "src",
    "svelte.config.js",
    "tsconfig.json",
    "vite.config.ts",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    if env::var_os("CARGO_FEATURE_SITE").is_none() {
        return;
    }
    for source in SOURCES {
        println!("cargo::rerun-if-changed=static/{source}");
    }
    if let Err(why) = site() {
        println!(
            "cargo::error=the admin site was not built: {why}. \
             `--no-default-features` builds a server without it"
        );
    }
}

fn site() -> Result<(), String> {
    let root = directory("CARGO_MANIFEST_DIR")?;
    let out = directory("OUT_DIR")?;
    let built = out.join("site");
    npm::build(&root, &SOURCES, &out, &built)?;
    embed::write(&built, &out.join("site.rs")).map_err(|error| about(&built, &error))
}

fn directory(name: &str) -> Result<PathBuf, String> {
    let value = env::var_os(name).ok_or_else(|| format!("cargo has not set {name}"))?;
    Ok(PathBuf::from(value))
}

/// An error with the path that it is about.
fn about(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}
