//! The harness itself: what it starts works, and nothing of it is left behind.

mod process;
mod vault;
