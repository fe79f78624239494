//! Paths: how they are walked, and what changes the names of files.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::files::{Directory, Files, Inode, Node};

/// `NAME_MAX`.
const MAX_NAME_BYTES: usize = 255;
/// So many symbolic links are followed in one path, path_resolution(7).
const MAX_LINKS: u32 = 40;
/// The permissions that a new file does not get, as with the usual umask(2).
const UMASK: u32 = 0o022;

/// A directory, and a name that may be in it.
struct Place<'p> {
    directory: Rc<Inode>,
    name: &'p [u8],
    /// A slash comes behind the name, so it has to be a directory's.
    slash: bool,
}

impl Place<'_> {
    /// What has the name.
    fn inode(&self) -> Option<Rc<Inode>> {
        self.directory.directory()?.entries.borrow().get(self.name).cloned()
    }

    /// Whether this is a name, rather than a way to the directory itself, or to the one above.
    fn is_plain(&self) -> bool {
        !matches!(self.name, b"" | b"." | b"..")
    }

    /// Gives the name to an inode.
    fn put(&self, inode: Rc<Inode>, now: Duration) {
        if let Some(directory) = self.directory.directory() {
            if let Some(below) = inode.directory() {
                below.parent.replace(Rc::downgrade(&self.directory));
            }
            directory.entries.borrow_mut().insert(self.name.to_vec(), inode);
            self.directory.touch(now);
        }
    }

    /// Takes the name away.
    fn clear(&self, now: Duration) -> Option<Rc<Inode>> {
        self.directory.touch(now);
        self.directory.directory()?.entries.borrow_mut().remove(self.name)
    }
}

fn is_link(inode: &Inode) -> bool {
    matches!(inode.node, Node::Link(_))
}

fn is_empty(inode: &Inode) -> bool {
    inode.directory().is_none_or(|directory| directory.entries.borrow().is_empty())
}

impl Files {
    /// The inode at a path that starts at `from`, or at the root if it begins with a slash.
    pub(super) fn find(&self, from: &Rc<Inode>, path: &[u8]) -> Result<Rc<Inode>, i32> {
        self.walk(from, path, true, &mut 0)
    }

    /// As [`Files::find`], but a symbolic link at the end is what is looked for.
    pub(super) fn find_link(&self, from: &Rc<Inode>, path: &[u8]) -> Result<Rc<Inode>, i32> {
        self.walk(from, path, false, &mut 0)
    }

    fn walk(
        &self,
        from: &Rc<Inode>,
        path: &[u8],
        follow: bool,
        links: &mut u32,
    ) -> Result<Rc<Inode>, i32> {
        if path.is_empty() {
            return Err(libc::ENOENT);
        }
        let mut inode = Rc::clone(if path[0] == b'/' { self.root() } else { from });
        let mut names = path.split(|&byte| byte == b'/').peekable();
        while let Some(name) = names.next() {
            let next = self.step(&inode, name)?;
            inode = match &next.node {
                Node::Link(to) if follow || names.peek().is_some() => {
                    *links += 1;
                    if *links > MAX_LINKS {
                        return Err(libc::ELOOP);
                    }
                    self.walk(&inode, to, true, links)?
                }
                _ => next,
            };
        }
        Ok(inode)
    }

    /// One component of a path; an empty one, as between two slashes or after the last, says "directory".
    pub(super) fn step(&self, inode: &Rc<Inode>, name: &[u8]) -> Result<Rc<Inode>, i32> {
        let directory = inode.directory();
        match name {
            // The empty component before a leading slash is met with the start of the walk.
            b"" | b"." => directory.map(|_| Rc::clone(inode)).ok_or(libc::ENOTDIR),
            b".." => {
                let directory = directory.ok_or(libc::ENOTDIR)?;
                let above = directory.parent.borrow().upgrade();
                Ok(above.unwrap_or_else(|| Rc::clone(inode)))
            }
            _ if directory.is_some() && name.len() > MAX_NAME_BYTES => Err(libc::ENAMETOOLONG),
            _ => {
                let directory = directory.ok_or(libc::ENOTDIR)?;
                directory.entries.borrow().get(name).cloned().ok_or(libc::ENOENT)
            }
        }
    }

    /// `open(2)`: finds or makes what `flags` ask for.
    pub(super) fn open(
        &mut self,
        from: &Rc<Inode>,
        path: &[u8],
        flags: i32,
        mode: u32,
        now: Duration,
    ) -> Result<Rc<Inode>, i32> {
        let has = |flag| flags & flag == flag;
        if has(libc::O_TMPFILE) || has(libc::O_PATH) {
            return Err(libc::EOPNOTSUPP);
        }
        if has(libc::O_CREAT) && has(libc::O_DIRECTORY) {
            // Linux 6.4 made this an error; before, it made a file.
            return Err(libc::EINVAL);
        }
        if has(libc::O_CREAT) && path.ends_with(b"/") {
            let place = self.place(from, path)?;
            return Err(if place.is_plain() || !has(libc::O_EXCL) {
                libc::EISDIR
            } else {
                libc::EEXIST
            });
        }
        let follow = !has(libc::O_NOFOLLOW) && !has(libc::O_CREAT | libc::O_EXCL);
        let inode = match self.walk(from, path, follow, &mut 0) {
            Ok(_) if has(libc::O_CREAT | libc::O_EXCL) => return Err(libc::EEXIST),
            Ok(inode) if is_link(&inode) => {
                let beside = has(libc::O_DIRECTORY);
                return Err(if beside { libc::ENOTDIR } else { libc::ELOOP });
            }
            Ok(inode) => inode,
            Err(libc::ENOENT) if has(libc::O_CREAT) && !path.is_empty() => {
                return self.create(from, path, mode, now, 0);
            }
            Err(errno) => return Err(errno),
        };
        let writing = flags & libc::O_ACCMODE != libc::O_RDONLY;
        match &inode.node {
            Node::Directory(_) if writing || has(libc::O_CREAT) || has(libc::O_TRUNC) => {
                return Err(libc::EISDIR);
            }
            Node::Directory(_) => {}
            _ if has(libc::O_DIRECTORY) => return Err(libc::ENOTDIR),
            Node::Regular(content) if has(libc::O_TRUNC) => {
                content.borrow_mut().truncate(0);
                inode.touch(now);
            }
            _ => {}
        }
        Ok(inode)
    }

    /// Makes a regular file; where a symbolic link leads to nothing, there.
    fn create(
        &mut self,
        from: &Rc<Inode>,
        path: &[u8],
        mode: u32,
        now: Duration,
        links: u32,
    ) -> Result<Rc<Inode>, i32> {
        let place = self.place(from, path)?;
        match place.inode().as_deref().map(|inode| &inode.node) {
            Some(Node::Link(_)) if links >= MAX_LINKS => Err(libc::ELOOP),
            Some(Node::Link(to)) => self.create(&place.directory, to, mode, now, links + 1),
            _ => {
                self.vacant(&place)?;
                let content = Node::Regular(RefCell::default());
                let permissions = mode & 0o7777 & !UMASK;
                Ok(self.add(&place.directory, place.name, permissions, content, now))
            }
        }
    }

    /// The place that a path names, whether or not anything is there.
    fn place<'p>(&self, from: &Rc<Inode>, path: &'p [u8]) -> Result<Place<'p>, i32> {
        if path.is_empty() {
            return Err(libc::ENOENT);
        }
        let end = path.iter().rposition(|&byte| byte != b'/').map_or(0, |at| at + 1);
        let slash = end < path.len();
        let cut = path[..end].iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
        let (above, name) = if end == 0 { (path, &path[..0]) } else { path[..end].split_at(cut) };
        let directory = if above.is_empty() { Rc::clone(from) } else { self.find(from, above)? };
        if directory.directory().is_none() {
            return Err(libc::ENOTDIR);
        }
        if name.len() > MAX_NAME_BYTES {
            return Err(libc::ENAMETOOLONG);
        }
        Ok(Place { directory, name, slash })
    }

    /// Whether a new name can be put somewhere.
    fn vacant(&self, place: &Place<'_>) -> Result<(), i32> {
        if !place.is_plain() || place.inode().is_some() {
            return Err(libc::EEXIST);
        }
        if place.directory.is_gone() { Err(libc::ENOENT) } else { Ok(()) }
    }

    /// `mkdir(2)`.
    pub(super) fn make_directory(
        &mut self,
        from: &Rc<Inode>,
        path: &[u8],
        mode: u32,
        now: Duration,
    ) -> Result<(), i32> {
        let place = self.place(from, path)?;
        self.vacant(&place)?;
        let below = Node::Directory(Directory::below(&place.directory));
        self.add(&place.directory, place.name, mode & 0o1777 & !UMASK, below, now);
        Ok(())
    }

    /// `symlink(2)`.
    pub(super) fn make_link(
        &mut self,
        to: &[u8],
        from: &Rc<Inode>,
        path: &[u8],
        now: Duration,
    ) -> Result<(), i32> {
        if to.is_empty() {
            return Err(libc::ENOENT);
        }
        let place = self.place_of_file(from, path)?;
        self.add(&place.directory, place.name, 0o777, Node::Link(to.to_vec()), now);
        Ok(())
    }

    /// A place for what is no directory.
    fn place_of_file<'p>(&self, from: &Rc<Inode>, path: &'p [u8]) -> Result<Place<'p>, i32> {
        let place = self.place(from, path)?;
        self.vacant(&place)?;
        if place.slash { Err(libc::ENOENT) } else { Ok(place) }
    }

    /// `link(2)`.
    pub(super) fn add_name(
        &mut self,
        inode: &Rc<Inode>,
        from: &Rc<Inode>,
        path: &[u8],
        now: Duration,
    ) -> Result<(), i32> {
        let place = self.place_of_file(from, path)?;
        if inode.directory().is_some() {
            return Err(libc::EPERM);
        }
        if inode.is_gone() {
            return Err(libc::ENOENT);
        }
        inode.count_link(true);
        place.put(Rc::clone(inode), now);
        Ok(())
    }

    /// `unlink(2)`, or `rmdir(2)` of a `directory`.
    pub(super) fn remove(
        &mut self,
        from: &Rc<Inode>,
        path: &[u8],
        directory: bool,
        now: Duration,
    ) -> Result<(), i32> {
        let place = self.place(from, path)?;
        if !place.is_plain() {
            return Err(match place.name {
                _ if !directory => libc::EISDIR,
                b".." => libc::ENOTEMPTY,
                b"." => libc::EINVAL,
                _ => libc::EBUSY,
            });
        }
        let inode = place.inode().ok_or(libc::ENOENT)?;
        let errno = match inode.directory() {
            Some(_) if !directory => libc::EISDIR,
            Some(_) if !is_empty(&inode) => libc::ENOTEMPTY,
            None if directory || place.slash => libc::ENOTDIR,
            _ => {
                place.clear(now);
                inode.count_link(false);
                return Ok(());
            }
        };
        Err(errno)
    }

    /// `renameat2(2)`.
    pub(super) fn rename(
        &mut self,
        (old_from, old): (&Rc<Inode>, &[u8]),
        (new_from, new): (&Rc<Inode>, &[u8]),
        flags: u32,
        now: Duration,
    ) -> Result<(), i32> {
        let (old, new) = (self.place(old_from, old)?, self.place(new_from, new)?);
        let no_replace = flags & libc::RENAME_NOREPLACE != 0;
        let exchange = flags & libc::RENAME_EXCHANGE != 0;
        if !old.is_plain() {
            return Err(libc::EBUSY);
        }
        if !new.is_plain() {
            return Err(if no_replace { libc::EEXIST } else { libc::EBUSY });
        }
        let inode = old.inode().ok_or(libc::ENOENT)?;
        let target = new.inode();
        if no_replace && target.is_some() {
            return Err(libc::EEXIST);
        }
        if exchange {
            let target = target.as_ref().ok_or(libc::ENOENT)?;
            if target.directory().is_none() && new.slash {
                return Err(libc::ENOTDIR);
            }
        }
        if inode.directory().is_none() && (old.slash || new.slash && !exchange) {
            return Err(libc::ENOTDIR);
        }
        if self.is_within(&new.directory, &inode) {
            return Err(libc::EINVAL);
        }
        let Some(target) = target else {
            if new.directory.is_gone() {
                return Err(libc::ENOENT);
            }
            old.clear(now);
            new.put(inode, now);
            return Ok(());
        };
        if self.is_within(&old.directory, &target) {
            return Err(if exchange { libc::EINVAL } else { libc::ENOTEMPTY });
        }
        if Rc::ptr_eq(&inode, &target) {
            return Ok(());
        }
        if exchange {
            old.put(target, now);
            new.put(inode, now);
            return Ok(());
        }
        match (inode.directory(), target.directory()) {
            (Some(_), None) => return Err(libc::ENOTDIR),
            (None, Some(_)) => return Err(libc::EISDIR),
            _ if !is_empty(&target) => return Err(libc::ENOTEMPTY),
            _ => {}
        }
        old.clear(now);
        target.count_link(false);
        new.put(inode, now);
        Ok(())
    }

    /// Whether a directory is `above` or lies below it.
    fn is_within(&self, directory: &Rc<Inode>, above: &Rc<Inode>) -> bool {
        let mut at = Some(Rc::clone(directory));
        while let Some(inode) = at {
            if Rc::ptr_eq(&inode, above) {
                return true;
            }
            at = inode.directory().and_then(|it| it.parent.borrow().upgrade());
        }
        false
    }
}
