//! Writes the list of the site's files as Rust, each with its hash and its compressed variants.

use std::{fs, io, path::Path};

use sha2::{Digest, Sha256};

/// Writes what `src/http/site.rs` includes: all files below `built`, sorted by path.
pub(crate) fn write(built: &Path, list: &Path) -> io::Result<()> {
    let mut paths = Vec::new();
    collect(built, "", &mut paths)?;
    paths.sort();
    let mut text = String::from("static FILES: &[File] = &[\n");
    for path in &paths {
        text.push_str(&entry(built, path)?);
    }
    text.push_str("];\n");
    fs::write(list, text)
}

/// Paths such as `/assets/index.js`, without the compressed variants.
fn collect(folder: &Path, below: &str, paths: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = format!("{below}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &path, paths)?;
        } else if !path.ends_with(".br") && !path.ends_with(".gz") {
            paths.push(path);
        }
    }
    Ok(())
}

fn entry(built: &Path, path: &str) -> io::Result<String> {
    let file = format!("{}{path}", built.display());
    let hash = Sha256::digest(fs::read(&file)?);
    let etag: Vec<String> = hash
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let etag = etag.concat();
    let variant = |end: &str| {
        let file = format!("{file}.{end}");
        match Path::new(&file).exists() {
            true => format!("Some(include_bytes!({file:?}))"),
            false => "None".to_owned(),
        }
    };
    Ok(format!(
        "    File {{ path: {path:?}, hash: {etag:?}, plain: include_bytes!({file:?}), \
         gzip: {}, brotli: {} }},\n",
        variant("gz"),
        variant("br"),
    ))
}
