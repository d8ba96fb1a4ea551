//! Runs npm: the site's packages when their list has changed, and the site itself.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use crate::about;

/// The oldest Node that the build tools run on.
const NODE: (u32, u32) = (20, 19);

/// The list that the installed packages came from, kept among them.
const INSTALLED: &str = "node_modules/.installed.json";

/// Builds the site into `built`; `out` is cargo's own place for this crate.
pub(crate) fn build(root: &Path, sources: &[&str], out: &Path, built: &Path) -> Result<(), String> {
    check_node()?;
    let home = workplace(&root.join("static"), sources, out)?;
    // Several cargos may be at work here. The folder itself is what is locked: no file is left.
    let lock = File::open(&home).map_err(|error| about(&home, &error))?;
    lock.lock().map_err(|error| about(&home, &error))?;
    install(root, &home)?;
    let mut npm = npm(&home, &["run", "build"]);
    npm.env("BKG_SITE_OUT", built)
        .env("BKG_SITE_CACHE", out.join("vite"));
    run(npm)
}

fn check_node() -> Result<(), String> {
    let (major, minor) = NODE;
    let wanted = format!("it needs Node.js {major}.{minor} or newer, with npm");
    let output = Command::new("node").arg("--version").output();
    let output = output.map_err(|_| format!("{wanted}, and there is no `node` here"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut parts = text.trim().trim_start_matches('v').split('.');
    let mut part = || parts.next().and_then(|part| part.parse().ok());
    match part().zip(part()) {
        Some(version) if version >= NODE => Ok(()),
        _ => Err(format!("{wanted}, and `node` here is {}", text.trim())),
    }
}

/// Where npm works: the sources themselves, or a copy where they cannot be written.
fn workplace(home: &Path, sources: &[&str], out: &Path) -> Result<PathBuf, String> {
    // Other cargos ask the same, so the name is this one's own.
    let probe = home.join(format!(".writable-{}", std::process::id()));
    if File::create(&probe).is_ok() {
        fs::remove_file(&probe).map_err(|error| about(&probe, &error))?;
        return Ok(home.to_owned());
    }
    let copy = out.join("site-sources");
    for source in sources {
        let (from, to) = (home.join(source), copy.join(source));
        copy_all(&from, &to).map_err(|error| about(&from, &error))?;
    }
    Ok(copy)
}

fn copy_all(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        return fs::copy(from, to).map(drop);
    }
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        copy_all(&from.join(&name), &to.join(&name))?;
    }
    Ok(())
}

/// Installs the packages, unless those that are there came from the same list.
fn install(root: &Path, home: &Path) -> Result<(), String> {
    let (list, installed) = (home.join("package-lock.json"), home.join(INSTALLED));
    let wanted = fs::read(&list).map_err(|error| about(&list, &error))?;
    if fs::read(&installed).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    let mut npm = npm(home, &["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    let kept = root.join("vendor/npm");
    match kept.is_dir() {
        true => npm.arg("--offline").arg("--cache").arg(kept),
        false => npm.arg("--prefer-offline"),
    };
    run(npm)?;
    fs::write(&installed, wanted).map_err(|error| about(&installed, &error))
}

fn npm(home: &Path, arguments: &[&str]) -> Command {
    let mut npm = Command::new("npm");
    npm.args(arguments).current_dir(home);
    npm
}

fn run(mut command: Command) -> Result<(), String> {
    let name = format!("{command:?}");
    let output = command
        .output()
        .map_err(|error| format!("{name} could not be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    // Cargo shows what a build script that fails has printed.
    eprintln!("{}", String::from_utf8_lossy(&output.stdout));
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = said.lines().rev().take(3).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    Err(format!("{name} failed: {}", last.join(" / ")))
}
