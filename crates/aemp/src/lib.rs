//! Library.

pub mod config;
