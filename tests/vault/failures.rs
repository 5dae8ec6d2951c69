//! Failures that a real server cannot be told to make.
