//! Arguments to settings to one command.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = bkg::cli::Args::parse();
    actix_web::rt::System::new().block_on(bkg::cli::run(args))
}
