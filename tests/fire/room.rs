//! The room of one trial: its store and directories, and what is in them.

use super::lab::Lab;
use super::plan::{Kind, Plan};
use crate::support::place::Place;
use crate::support::process::temp_dir;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// The store of a trial and the directories of its runs.
pub struct Room {
    pub place: Place,
    /// Of `home`, `tmp` and `run`, the same in all runs of the trial.
    dir: TempDir,
    mount: Option<Mount>,
}

/// A file system of limited size, gone when this is dropped.
struct Mount(PathBuf);

impl Mount {
    fn new(path: &Path, kib: usize) -> Self {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={kib}k,mode=700"), "fire"]).arg(path);
        assert!(mount.status().unwrap().success(), "a tiny disk needs root");
        Self(path.to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

impl Room {
    pub fn new(lab: &Lab, plan: &Plan) -> Self {
        let dir = temp_dir();
        for name in ["home", "tmp", "run"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        let place = match plan.store {
            Kind::S3 => Place::in_bucket(lab.site.clone()),
            Kind::Directory | Kind::TinyDisk(_) => Place::directory_of(lab.site.clone()),
        };
        let files: Vec<_> = lab.earlier.iter().filter(|_| plan.earlier).flat_map(|e| e.files.clone()).collect();
        let mut room = Self { place, dir, mount: None };
        if let Kind::TinyDisk(kib) = plan.store {
            // Whole pages, and one for each directory.
            let used: usize = files.iter().map(|(_, bytes)| bytes.len().div_ceil(4096) * 4).sum();
            room.mount = Some(Mount::new(room.place.path().parent().unwrap(), used + kib.max(4)));
        }
        if plan.store != Kind::S3 {
            std::fs::create_dir(room.place.path()).unwrap();
        }
        room.place.put_many(files);
        room
    }

    /// Makes the disk large enough.
    pub fn mend_disk(&self) {
        if let Some(Mount(path)) = &self.mount {
            let mut mount = Command::new("mount");
            mount.args(["-o", "remount,size=64m"]).arg(path);
            assert!(mount.status().unwrap().success());
        }
    }

    /// The directory that the runs start in.
    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// All objects and their bytes.
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let read = |name: String| (name.clone(), self.place.get(&name));
        self.place.names().into_iter().map(read).collect()
    }

    /// Makes documents without their object two days old: only then does a prune delete those
    /// that another one left behind.
    pub fn age_orphans(&self) {
        if self.place.is_s3() {
            return;
        }
        let names = self.place.names();
        let is_orphan =
            |name: &&String| name.ends_with(".json") && !names.iter().any(|of| of != *name && name.starts_with(of));
        let old = SystemTime::now() - Duration::from_hours(48);
        for name in names.iter().filter(is_orphan) {
            let file = std::fs::File::options().write(true).open(self.place.path().join(name)).unwrap();
            file.set_modified(old).unwrap();
        }
    }

    /// The names of uploads that were begun and not ended.
    pub fn uploads(&self) -> Vec<String> {
        if self.place.is_s3() { self.place.site.s3.incomplete_uploads(self.place.bucket()) } else { Vec::new() }
    }

    /// All files of the runs' directories by their names, with their bytes.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut directories = vec![self.dir.path().to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else {
                    let name = path.strip_prefix(self.dir.path()).unwrap().to_str().unwrap().to_owned();
                    files.insert(name, std::fs::read(&path).unwrap_or_default());
                }
            }
        }
        files
    }
}

/// The processes that have `mark` in their environment.
pub fn processes_with(mark: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    let marked = processes.filter(|path| {
        let environment = std::fs::read(path.join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    });
    marked.map(|path| std::fs::read_to_string(path.join("cmdline")).unwrap_or_default()).collect()
}
