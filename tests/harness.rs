//! The harness itself: what it starts works, and nothing of it is left behind.

mod fault;
mod process;
mod tool;
mod vault;
