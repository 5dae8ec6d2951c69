//! The tool on a machine as operators have it: cron, a terminal, logrotate.

mod cron;
mod terminal;
