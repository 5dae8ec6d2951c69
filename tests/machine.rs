//! The tool on a machine as operators have it: cron, a terminal, logrotate.

mod cron;
mod limits;
mod logrotate;
mod proxies;
mod signals;
mod terminal;
