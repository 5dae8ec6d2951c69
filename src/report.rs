//! Telling people.
pub mod progress;
pub use progress::Progress;
