//! The tool on a machine as operators have it: cron, a terminal, logrotate.

mod children;
mod cron;
mod limits;
mod logrotate;
mod other_users;
mod proxies;
mod signals;
mod terminal;
