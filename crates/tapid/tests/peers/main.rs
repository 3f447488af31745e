//! The built daemon against programs that none of us wrote: SIPp, baresip and Kamailio, over loopback, with audio judged by its
//! content. A tool that is missing fails the test with the command that installs it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod app;
mod baresip;
mod baresip_tests;
mod daemon;
mod early_tests;
mod kamailio;
mod kamailio_tests;
mod load_tests;
mod names_tests;
mod sipp;
mod sipp_tests;
mod sound;
mod tls_tests;
mod transfer_tests;
mod transport_tests;
mod trunk_tests;
