//! `weft demo`: a home with its data, three questions and their answers, then a server over it.

use std::io;

use super::failure::Failure;
use crate::demo::{self, DemoArgs};

/// Runs the command.
pub(super) async fn run(args: DemoArgs) -> Result<(), Failure> {
    let ran = demo::run(&args, &mut io::stdout(), &mut io::stderr()).await;
    ran.map_err(|error| Failure::usage(error.to_string()))
}
