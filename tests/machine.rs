//! The tool on a machine as operators have it: cron, a terminal, logrotate.

mod cron;
mod logrotate;
mod terminal;
