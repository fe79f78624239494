//! The file system: a tree of inodes whose files hold only the pages that were written.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use crate::ring::{Statx, StatxTimestamp};

/// The granularity of allocation.
const PAGE_BYTES: u64 = 4096;
/// `NAME_MAX`.
const MAX_NAME_BYTES: usize = 255;
/// The permissions that a new file does not get, as with the usual umask(2).
const UMASK: u32 = 0o022;
/// What the virtual clock starts at, in seconds since the epoch: some day in 2023.
const EPOCH_SECONDS: u64 = 1_700_000_000;

/// A file, directory or device. A descriptor keeps it alive as on Linux.
#[derive(Debug)]
pub(super) struct Inode {
    number: u64,
    permissions: u32,
    /// When the content last changed, in virtual time.
    modified: Cell<Duration>,
    created: Duration,
    pub(super) node: Node,
}

#[derive(Debug)]
pub(super) enum Node {
    Regular(RefCell<Content>),
    Directory(Directory),
    /// `/dev/null`.
    Null,
    /// `/dev/full`.
    Full,
}

#[derive(Debug, Default)]
pub(super) struct Directory {
    parent: Weak<Inode>,
    entries: RefCell<BTreeMap<Vec<u8>, Rc<Inode>>>,
}

/// What a regular file holds. Pages that are missing read as zeros.
#[derive(Debug, Default)]
pub(super) struct Content {
    pages: BTreeMap<u64, Box<[u8]>>,
    len_bytes: u64,
}

impl Content {
    pub(super) fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    pub(super) fn read(&self, offset: u64, most: usize) -> Vec<u8> {
        let len = self.len_bytes.saturating_sub(offset).min(most as u64) as usize;
        let mut out = vec![0; len];
        let mut done = 0;
        while done < len {
            let (page, at) = place(offset + done as u64);
            let part = (PAGE_BYTES as usize - at).min(len - done);
            if let Some(page) = self.pages.get(&page) {
                out[done..done + part].copy_from_slice(&page[at..at + part]);
            }
            done += part;
        }
        out
    }

    /// Writes all of `bytes`; what lies between the old end and `offset` reads as zeros.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let mut done = 0;
        while done < bytes.len() {
            let (page, at) = place(offset + done as u64);
            let part = (PAGE_BYTES as usize - at).min(bytes.len() - done);
            self.page(page)[at..at + part].copy_from_slice(&bytes[done..done + part]);
            done += part;
        }
        self.len_bytes = self.len_bytes.max(offset + bytes.len() as u64);
    }

    /// Allocates pages without changing what is read.
    pub(super) fn allocate(&mut self, offset: u64, len_bytes: u64, keep_size: bool) {
        for page in offset / PAGE_BYTES..(offset + len_bytes).div_ceil(PAGE_BYTES) {
            self.page(page);
        }
        if !keep_size {
            self.len_bytes = self.len_bytes.max(offset + len_bytes);
        }
    }

    pub(super) fn truncate(&mut self, len_bytes: u64) {
        let (last, at) = place(len_bytes);
        self.pages.retain(|&page, _| page < last || (page == last && at > 0));
        // What is cut off must read as zeros should the file grow again.
        if let Some(page) = self.pages.get_mut(&last) {
            page[at..].fill(0);
        }
        self.len_bytes = len_bytes;
    }

    fn page(&mut self, page: u64) -> &mut [u8] {
        self.pages.entry(page).or_insert_with(|| vec![0; PAGE_BYTES as usize].into())
    }
}

/// The page that holds an offset, and where in it.
fn place(offset: u64) -> (u64, usize) {
    (offset / PAGE_BYTES, (offset % PAGE_BYTES) as usize)
}

impl Inode {
    pub(super) fn directory(&self) -> Option<&Directory> {
        match &self.node {
            Node::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    /// Notes a change of the content.
    pub(super) fn touch(&self, now: Duration) {
        self.modified.set(now);
    }

    /// What a regular file holds.
    pub(super) fn content(&self) -> Option<Vec<u8>> {
        let Node::Regular(content) = &self.node else { return None };
        let content = content.borrow();
        Some(content.read(0, usize::try_from(content.len_bytes).unwrap_or(usize::MAX)))
    }

    /// Makes `bytes` all that a regular file holds; false if this is none.
    pub(super) fn replace(&self, bytes: &[u8]) -> bool {
        let Node::Regular(content) = &self.node else { return false };
        let mut content = content.borrow_mut();
        content.truncate(0);
        content.write(0, bytes);
        true
    }

    /// The answer of statx(2).
    pub(super) fn statx(&self) -> Statx {
        let mut out = Statx::default();
        let (kind, nlink, size, pages) = match &self.node {
            Node::Regular(content) => {
                let content = content.borrow();
                (libc::S_IFREG, 1, content.len_bytes, content.pages.len() as u64)
            }
            Node::Directory(directory) => {
                let entries = directory.entries.borrow();
                let below = entries.values().filter(|inode| inode.directory().is_some()).count();
                (libc::S_IFDIR, 2 + below as u32, PAGE_BYTES, 1)
            }
            Node::Null | Node::Full => (libc::S_IFCHR, 1, 0, 0),
        };
        if kind == libc::S_IFCHR {
            out.rdev_major = 1;
            out.rdev_minor = if matches!(self.node, Node::Null) { 3 } else { 7 };
        }
        out.mask = libc::STATX_BASIC_STATS | libc::STATX_BTIME;
        out.blksize = PAGE_BYTES as u32;
        out.nlink = nlink;
        out.mode = (kind | self.permissions) as u16;
        out.ino = self.number;
        out.size = size;
        out.blocks = pages * (PAGE_BYTES / 512);
        out.btime = timestamp(self.created);
        out.mtime = timestamp(self.modified.get());
        (out.atime, out.ctime) = (out.mtime, out.mtime);
        out
    }
}

fn timestamp(time: Duration) -> StatxTimestamp {
    let sec = (EPOCH_SECONDS + time.as_secs()) as i64;
    StatxTimestamp { sec, nsec: time.subsec_nanos(), pad: 0 }
}

/// The tree.
#[derive(Debug)]
pub(super) struct Files {
    root: Rc<Inode>,
    last_inode: u64,
    /// No file grows beyond this.
    pub(super) limit_bytes: u64,
}

impl Files {
    /// A tree with `/tmp`, `/dev/null` and `/dev/full`.
    pub(super) fn new() -> Files {
        let root = Inode {
            number: 1,
            permissions: 0o755,
            modified: Cell::default(),
            created: Duration::ZERO,
            node: Node::Directory(Directory::default()),
        };
        let mut files = Files { root: Rc::new(root), last_inode: 1, limit_bytes: 256 << 20 };
        let root = Rc::clone(&files.root);
        for name in [b"tmp", b"dev"] {
            let directory = Directory { parent: Rc::downgrade(&root), ..Directory::default() };
            files.add(&root, name, 0o755, Node::Directory(directory), Duration::ZERO);
        }
        if let Ok(dev) = files.find(&root, b"/dev") {
            files.add(&dev, b"null", 0o666, Node::Null, Duration::ZERO);
            files.add(&dev, b"full", 0o666, Node::Full, Duration::ZERO);
        }
        files
    }

    /// The root, which is the working directory as well.
    pub(super) fn root(&self) -> &Rc<Inode> {
        &self.root
    }

    fn add(
        &mut self,
        parent: &Rc<Inode>,
        name: &[u8],
        permissions: u32,
        node: Node,
        now: Duration,
    ) -> Rc<Inode> {
        self.last_inode += 1;
        let modified = Cell::new(now);
        let inode =
            Rc::new(Inode { number: self.last_inode, permissions, modified, created: now, node });
        if let Some(directory) = parent.directory() {
            directory.entries.borrow_mut().insert(name.to_vec(), Rc::clone(&inode));
            parent.touch(now);
        }
        inode
    }

    /// The inode at a path that starts at `from`, or at the root if it begins with a slash.
    pub(super) fn find(&self, from: &Rc<Inode>, path: &[u8]) -> Result<Rc<Inode>, i32> {
        if path.is_empty() {
            return Err(libc::ENOENT);
        }
        let mut inode = Rc::clone(if path[0] == b'/' { &self.root } else { from });
        for name in path.split(|&byte| byte == b'/') {
            inode = self.step(&inode, name)?;
        }
        Ok(inode)
    }

    /// One component of a path; an empty one, as between two slashes or after the last, says "directory".
    fn step(&self, inode: &Rc<Inode>, name: &[u8]) -> Result<Rc<Inode>, i32> {
        let directory = inode.directory();
        match name {
            // The empty component before a leading slash is met with the start of the walk.
            b"" | b"." => directory.map(|_| Rc::clone(inode)).ok_or(libc::ENOTDIR),
            b".." => {
                let directory = directory.ok_or(libc::ENOTDIR)?;
                Ok(directory.parent.upgrade().unwrap_or_else(|| Rc::clone(inode)))
            }
            _ if name.len() > MAX_NAME_BYTES => Err(libc::ENAMETOOLONG),
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
        let inode = match self.find(from, path) {
            Ok(_) if has(libc::O_CREAT | libc::O_EXCL) => return Err(libc::EEXIST),
            Ok(inode) => inode,
            Err(libc::ENOENT) if has(libc::O_CREAT) && !path.is_empty() => {
                return self.create(from, path, mode, now);
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

    fn create(
        &mut self,
        from: &Rc<Inode>,
        path: &[u8],
        mode: u32,
        now: Duration,
    ) -> Result<Rc<Inode>, i32> {
        if path.ends_with(b"/") {
            return Err(libc::EISDIR);
        }
        let (parent, name) = self.parent(from, path)?;
        let content = Node::Regular(RefCell::default());
        Ok(self.add(&parent, name, mode & 0o7777 & !UMASK, content, now))
    }

    /// The directory that holds the last component of a path, and that component.
    fn parent<'p>(&self, from: &Rc<Inode>, path: &'p [u8]) -> Result<(Rc<Inode>, &'p [u8]), i32> {
        let cut = path.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
        let (above, name) = path.split_at(cut);
        let parent = if above.is_empty() { Rc::clone(from) } else { self.find(from, above)? };
        match parent.directory() {
            Some(_) => Ok((parent, name)),
            None => Err(libc::ENOTDIR),
        }
    }

    /// A directory at an absolute or relative path, with all those above it that are missing.
    pub(super) fn make_directories(
        &mut self,
        path: &[u8],
        now: Duration,
    ) -> Result<Rc<Inode>, i32> {
        let mut inode = Rc::clone(&self.root);
        for name in path.split(|&byte| byte == b'/') {
            inode = match self.step(&inode, name) {
                Ok(next) => next,
                Err(libc::ENOENT) => {
                    let parent = Rc::downgrade(&inode);
                    let directory = Directory { parent, ..Directory::default() };
                    self.add(&inode, name, 0o755, Node::Directory(directory), now)
                }
                Err(errno) => return Err(errno),
            };
        }
        inode.directory().map(|_| Rc::clone(&inode)).ok_or(libc::ENOTDIR)
    }
}
