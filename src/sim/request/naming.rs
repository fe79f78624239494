//! Requests about the names of files.

use std::rc::Rc;

use super::{Attempt, Request, done};
use crate::ring::Statx;
use crate::sim::files::Inode;
use crate::sim::op::Op;
use crate::sim::world::{Kind, World};

impl Request {
    /// The directory that a relative path starts from.
    pub(super) fn directory(&self, world: &World) -> Result<Rc<Inode>, i32> {
        match self.file().map(|file| &file.kind) {
            None => Ok(Rc::clone(world.files.root())),
            Some(Kind::Inode(inode)) if inode.directory().is_some() => Ok(Rc::clone(inode)),
            Some(_) => Err(libc::ENOTDIR),
        }
    }

    /// The directory that a second path starts from, which is named by `len`.
    fn second_directory(&self, world: &World, path: &[u8]) -> Result<Rc<Inode>, i32> {
        let number = self.sqe().len as i32;
        if path.first() == Some(&b'/') || number == libc::AT_FDCWD {
            return Ok(Rc::clone(world.files.root()));
        }
        match &world.file(number)?.kind {
            Kind::Inode(inode) if inode.directory().is_some() => Ok(Rc::clone(inode)),
            _ => Err(libc::ENOTDIR),
        }
    }

    /// What changes the names in directories.
    pub(super) fn name(&self, world: &mut World) -> Attempt {
        let now = world.now();
        if let Op::Link { old, new, flags } = &self.op {
            let inode = self.linked(world, old, *flags)?;
            let to = self.second_directory(world, new)?;
            world.files.add_name(&inode, &to, new, now)?;
            return done(0);
        }
        let from = self.directory(world)?;
        match &self.op {
            Op::Unlink { path, directory } => world.files.remove(&from, path, *directory, now)?,
            Op::MakeDirectory { path, mode } => {
                world.files.make_directory(&from, path, *mode, now)?;
            }
            Op::MakeLink { to, path } => world.files.make_link(to, &from, path, now)?,
            Op::Rename { old, new, flags } => {
                let to = self.second_directory(world, new)?;
                world.files.rename((&from, old), (&to, new), *flags, now)?;
            }
            _ => return Err(libc::EINVAL),
        }
        done(0)
    }

    /// What is to get another name.
    fn linked(&self, world: &World, old: &[u8], flags: i32) -> Result<Rc<Inode>, i32> {
        if old.is_empty() && flags & libc::AT_EMPTY_PATH != 0 {
            return match self.file().map(|file| &file.kind) {
                None => Ok(Rc::clone(world.files.root())),
                Some(Kind::Inode(inode)) => Ok(Rc::clone(inode)),
                // Pipes and sockets are in no file system that has names.
                Some(_) => Err(libc::EXDEV),
            };
        }
        let from = self.directory(world)?;
        match flags & libc::AT_SYMLINK_FOLLOW {
            0 => world.files.find_link(&from, old),
            _ => world.files.find(&from, old),
        }
    }

    pub(super) fn statx(&mut self, world: &World) -> Attempt {
        let Op::Statx { path, by_descriptor, follow } = &self.op else {
            return Err(libc::EINVAL);
        };
        let answer = match self.file() {
            Some(file) if *by_descriptor => match &file.kind {
                Kind::Inode(inode) => inode.statx(),
                kind => statx_of_stream(kind, file.id),
            },
            _ if *by_descriptor => world.files.root().statx(),
            _ if *follow => world.files.find(&self.directory(world)?, path)?.statx(),
            _ => world.files.find_link(&self.directory(world)?, path)?.statx(),
        };
        self.taken.fill_statx(&answer)?;
        done(0)
    }
}

/// The answer of statx(2) for what lies in no directory.
fn statx_of_stream(kind: &Kind, id: u64) -> Statx {
    let (kind, permissions) = match kind {
        Kind::Socket(_) => (libc::S_IFSOCK, 0o777),
        _ => (libc::S_IFIFO, 0o600),
    };
    let mut out = Statx::default();
    out.mask = libc::STATX_BASIC_STATS;
    out.blksize = 4096;
    out.nlink = 1;
    out.mode = (kind | permissions) as u16;
    out.ino = id;
    out
}
