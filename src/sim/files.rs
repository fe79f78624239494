//! The file system: a tree of inodes whose files hold only the pages that were written.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use crate::ring::{Statx, StatxTimestamp};

/// The granularity of allocation.
const PAGE_BYTES: u64 = 4096;
/// What the virtual clock starts at, in seconds since the epoch: some day in 2023.
pub(super) const EPOCH_SECONDS: u64 = 1_700_000_000;

/// A file, directory or device. A descriptor keeps it alive as on Linux.
#[derive(Debug)]
pub(super) struct Inode {
    number: u64,
    permissions: u32,
    /// How many names it has.
    links: Cell<u32>,
    /// When the content last changed, in virtual time.
    modified: Cell<Duration>,
    created: Duration,
    pub(super) node: Node,
}

#[derive(Debug)]
pub(super) enum Node {
    Regular(RefCell<Content>),
    Directory(Directory),
    /// A symbolic link, and where it leads.
    Link(Vec<u8>),
    /// `/dev/null`.
    Null,
    /// `/dev/full`.
    Full,
}

#[derive(Debug, Default)]
pub(super) struct Directory {
    pub(super) parent: RefCell<Weak<Inode>>,
    pub(super) entries: RefCell<BTreeMap<Vec<u8>, Rc<Inode>>>,
}

impl Directory {
    /// One that will be in `parent`.
    pub(super) fn below(parent: &Rc<Inode>) -> Directory {
        Directory { parent: RefCell::new(Rc::downgrade(parent)), ..Directory::default() }
    }
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

    /// Whether it has lost its last name.
    pub(super) fn is_gone(&self) -> bool {
        self.links.get() == 0
    }

    /// Counts a further name, or one less.
    pub(super) fn count_link(&self, added: bool) {
        let links = self.links.get();
        self.links.set(if added { links + 1 } else { links.saturating_sub(1) });
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
                (libc::S_IFREG, self.links.get(), content.len_bytes, content.pages.len() as u64)
            }
            Node::Directory(directory) => {
                let entries = directory.entries.borrow();
                let below = entries.values().filter(|inode| inode.directory().is_some()).count();
                let nlink = if self.is_gone() { 0 } else { 2 + below as u32 };
                (libc::S_IFDIR, nlink, PAGE_BYTES, 1)
            }
            Node::Link(to) => (libc::S_IFLNK, self.links.get(), to.len() as u64, 0),
            Node::Null | Node::Full => (libc::S_IFCHR, self.links.get(), 0, 0),
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
            links: Cell::new(1),
            modified: Cell::default(),
            created: Duration::ZERO,
            node: Node::Directory(Directory::default()),
        };
        let mut files = Files { root: Rc::new(root), last_inode: 1, limit_bytes: 256 << 20 };
        let root = Rc::clone(&files.root);
        for name in [b"tmp", b"dev"] {
            let below = Node::Directory(Directory::below(&root));
            let directory = files.add(&root, name, 0o755, below, Duration::ZERO);
            if name == b"dev" {
                files.add(&directory, b"null", 0o666, Node::Null, Duration::ZERO);
                files.add(&directory, b"full", 0o666, Node::Full, Duration::ZERO);
            }
        }
        files
    }

    /// The root, which is the working directory as well.
    pub(super) fn root(&self) -> &Rc<Inode> {
        &self.root
    }

    /// Makes an inode, and gives it its first name.
    pub(super) fn add(
        &mut self,
        parent: &Rc<Inode>,
        name: &[u8],
        permissions: u32,
        node: Node,
        now: Duration,
    ) -> Rc<Inode> {
        self.last_inode += 1;
        let modified = Cell::new(now);
        let (number, links) = (self.last_inode, Cell::new(1));
        let inode = Rc::new(Inode { number, permissions, links, modified, created: now, node });
        if let Some(directory) = parent.directory() {
            directory.entries.borrow_mut().insert(name.to_vec(), Rc::clone(&inode));
            parent.touch(now);
        }
        inode
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
                    let below = Node::Directory(Directory::below(&inode));
                    self.add(&inode, name, 0o755, below, now)
                }
                Err(errno) => return Err(errno),
            };
        }
        inode.directory().map(|_| Rc::clone(&inode)).ok_or(libc::ENOTDIR)
    }
}
