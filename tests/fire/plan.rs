//! The plan of a trial: what is run on what, and what goes wrong. A pure function of the seed.

use super::dice::Dice;
use std::ops::Range;
use std::time::Duration;

/// The store of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    S3,
    Directory,
    /// A directory on a file system with room for the earlier backups and so many KiB.
    TinyDisk(usize),
}

/// The command of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Backup,
    /// On a day on which the monthly copy is due.
    Monthly,
    BackupPrune,
    Prune,
    /// The offline restore drill.
    Drill,
    Decrypt,
    RestoreDryRun,
}

impl Act {
    /// Returns `true` if it makes a backup.
    pub fn makes_backup(self) -> bool {
        matches!(self, Self::Backup | Self::Monthly | Self::BackupPrune)
    }

    /// Returns `true` if it deletes backups.
    pub fn prunes(self) -> bool {
        matches!(self, Self::BackupPrune | Self::Prune)
    }

    fn talks_to_vault(self) -> bool {
        self.makes_backup() || self == Self::RestoreDryRun
    }
}

/// A fault of one HTTP exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoil {
    Status(u16),
    /// The connection is closed before anything is done.
    Close,
    /// All is done, and the connection is closed instead of an answer.
    Lose,
    /// The connection breaks after so many bytes of the body.
    Break(usize),
    /// The body ends cleanly after so many bytes.
    End(usize),
    /// Nothing comes after so many bytes of the body.
    Stall(usize),
    Delay(Duration),
    /// The request arrives twice.
    Twice,
    /// A write is answered with 200, and nothing is done.
    Ignore,
    /// One bit of the body is another.
    Flip(usize),
}

/// A fault of the bytes on the wire, whatever they mean. Offsets count all connections together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    CutRequests(usize),
    CutAnswers(usize),
    /// One byte at a time.
    Dribble,
}

/// A server of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Vault,
    Store,
}

/// The fault of a trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// None: the control.
    None,
    /// The exchange with this number, and all later ones if it is lasting.
    Exchange {
        peer: Peer,
        number: usize,
        spoil: Spoil,
        lasting: bool,
    },
    Wire {
        peer: Peer,
        wire: Wire,
    },
    Signal {
        number: i32,
        after: Duration,
    },
    /// The system call fails the `number`th time, and each later time if it is lasting.
    Syscall {
        call: &'static str,
        error: &'static str,
        number: usize,
        lasting: bool,
    },
    Disk,
    /// The clock jumps.
    Clock {
        seconds: i64,
        after: Duration,
    },
}

/// A trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub seed: u64,
    pub store: Kind,
    /// Earlier backups are there.
    pub earlier: bool,
    /// The snapshot has more than 32 MiB, so that its upload has parts.
    pub large: bool,
    pub act: Act,
    pub fault: Fault,
}

impl Plan {
    /// The plan of this seed.
    pub fn from_seed(seed: u64) -> Self {
        let dice = &mut Dice::new(seed);
        let mut store = if dice.percent(60) { Kind::S3 } else { Kind::Directory };
        let large = store == Kind::S3 && dice.percent(6);
        let backup = [Act::Backup, Act::Monthly, Act::BackupPrune];
        let other = [Act::Prune, Act::Drill, Act::Decrypt, Act::RestoreDryRun];
        let act = if large || dice.percent(65) { dice.pick(&backup) } else { dice.pick(&other) };
        let fault = fault(dice, store, act);
        match fault {
            Fault::Disk => store = Kind::TinyDisk(dice.below(60)),
            Fault::Syscall { .. } if fault.class() == FILES => store = Kind::Directory,
            _ => {}
        }
        let slow = matches!(fault, Fault::Wire { wire: Wire::Dribble, .. });
        let large = large && store == Kind::S3 && !slow;
        let earlier = !large && (!act.makes_backup() || dice.percent(70));
        Self { seed, store, earlier, large, act, fault }
    }
}

fn fault(dice: &mut Dice, store: Kind, act: Act) -> Fault {
    let peer = match (store, act.talks_to_vault()) {
        (Kind::S3, true) => dice.pick(&[Peer::Vault, Peer::Store, Peer::Store]),
        (Kind::S3, false) => Peer::Store,
        _ => Peer::Vault,
    };
    let remote = store == Kind::S3 || act.talks_to_vault();
    match dice.below(100) {
        0..4 => Fault::None,
        4..50 if remote => exchange(dice, peer),
        50..58 if remote => {
            let wire = match dice.below(7) {
                0..3 => Wire::CutRequests(dice.below(if peer == Peer::Vault { 3_000 } else { 40_000 })),
                3..6 => Wire::CutAnswers(dice.below(40_000)),
                _ => Wire::Dribble,
            };
            Fault::Wire { peer, wire }
        }
        58..73 => Fault::Signal {
            number: dice.pick(&[libc::SIGKILL, libc::SIGKILL, libc::SIGTERM, libc::SIGINT, libc::SIGHUP]),
            after: millis(dice, 400),
        },
        88..94 if act.makes_backup() => Fault::Disk,
        94.. => Fault::Clock {
            seconds: dice.pick(&[-400 * 86_400, -86_400, -3_600, -5, 5, 3_600, 86_400, 3 * 86_400]),
            after: millis(dice, 300),
        },
        _ => syscall(dice),
    }
}

fn exchange(dice: &mut Dice, peer: Peer) -> Fault {
    let at = if dice.percent(50) { dice.below(300) } else { dice.below(30_000) };
    let status = dice.pick(&[500, 500, 503, 503, 429, 429, 408, 403, 400, 404, 502]);
    let spoil = match dice.below(20) {
        0..7 => Spoil::Status(status),
        7 => Spoil::Close,
        8..11 => Spoil::Lose,
        11 => Spoil::Break(at),
        12 => Spoil::End(at),
        13 => Spoil::Stall(at),
        14 => Spoil::Delay(millis(dice, 1_500)),
        15 | 16 => Spoil::Twice,
        17 => Spoil::Ignore,
        _ => Spoil::Flip(at),
    };
    // Early ones more often: a run makes 5 to 20.
    let number = dice.below(if peer == Peer::Vault { 7 } else { 14 });
    let number = dice.below(number + 1);
    Fault::Exchange { peer, number, spoil, lasting: dice.percent(25) }
}

const FILES: &str = "system calls: files";

/// System calls, the numbers of those that fail, and errors that they may have. The first ones of
/// `openat`, `read` and `mmap` load libraries, before the program has begun.
const CALLS: &[(&str, Range<usize>, &[&str])] = &[
    ("write", 1..24, &["ENOSPC", "EIO", "EDQUOT"]),
    ("fsync", 1..7, &["EIO", "ENOSPC"]),
    ("rename,renameat2", 1..3, &["EIO", "ENOSPC", "EACCES"]),
    ("openat", 6..50, &["EMFILE", "EACCES", "EIO"]),
    ("mkdir,mkdirat", 1..3, &["ENOSPC", "EACCES"]),
    ("unlink,unlinkat", 1..6, &["EACCES", "EROFS", "EIO"]),
    ("flock", 1..3, &["EIO", "ENOLCK"]),
    ("read", 6..40, &["EIO"]),
    ("getdents64", 1..8, &["EIO"]),
    ("copy_file_range,sendfile", 1..2, &["EIO", "ENOSPC"]),
    ("socket", 1..8, &["EMFILE", "ENOBUFS"]),
    ("connect", 1..8, &["ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH"]),
    ("sendto,writev", 1..12, &["EPIPE", "ECONNRESET"]),
    ("recvfrom", 1..12, &["ECONNRESET"]),
    ("getrandom", 1..8, &["EIO", "ENOSYS"]),
    ("mmap", 20..70, &["ENOMEM"]),
    ("clone3", 1..4, &["EAGAIN"]),
    ("sched_setscheduler,setpriority", 1..2, &["EPERM"]),
];

fn syscall(dice: &mut Dice) -> Fault {
    let (call, numbers, errors) = &CALLS[dice.below(CALLS.len())];
    let span = dice.below(numbers.len());
    let number = numbers.start + dice.below(span + 1);
    Fault::Syscall { call, error: dice.pick(errors), number, lasting: dice.percent(20) }
}

fn millis(dice: &mut Dice, end: usize) -> Duration {
    Duration::from_millis(dice.below(end) as u64)
}

impl Fault {
    /// The row of the table.
    pub fn class(&self) -> &'static str {
        match self {
            Self::None => "none (control)",
            Self::Exchange { peer: Peer::Vault, spoil, .. } => match spoil {
                Spoil::Status(_) => "Vault: error statuses",
                Spoil::Delay(_) | Spoil::Stall(_) => "Vault: slow or silent",
                Spoil::Flip(_) | Spoil::End(_) | Spoil::Ignore => "Vault: wrong or truncated answers",
                _ => "Vault: connections lost, answers lost, requests repeated",
            },
            Self::Exchange { peer: Peer::Store, spoil, .. } => match spoil {
                Spoil::Status(_) => "S3: error statuses",
                Spoil::Delay(_) | Spoil::Stall(_) => "S3: slow or silent",
                Spoil::Flip(_) | Spoil::End(_) => "S3: wrong or truncated answers",
                Spoil::Ignore => "S3: 200, but nothing done",
                _ => "S3: connections lost, answers lost, requests repeated",
            },
            Self::Wire { peer: Peer::Vault, .. } => "Vault: bytes on the wire cut or one at a time",
            Self::Wire { peer: Peer::Store, .. } => "S3: bytes on the wire cut or one at a time",
            Self::Signal { number: libc::SIGKILL, .. } => "kill -9",
            Self::Signal { .. } => "SIGTERM, SIGINT, SIGHUP",
            Self::Syscall { call, .. } => match *call {
                "mmap" | "clone3" | "getrandom" => "system calls: memory, threads, random numbers",
                "socket" | "connect" | "sendto,writev" | "recvfrom" => "system calls: network",
                _ => FILES,
            },
            Self::Disk => "full disk",
            Self::Clock { .. } => "clock jumps",
        }
    }

    /// Returns `true` if the fault goes on until the end of the run.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Exchange { lasting, .. } | Self::Syscall { lasting, .. } => *lasting,
            Self::Disk => true,
            _ => false,
        }
    }
}
