//! What is registered with a ring: groups of provided buffers.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::fmt;
use std::io;
use std::rc::Rc;

use super::memory::{Argument, BufferRing};
use super::world::World;
use crate::ring::{RegisterOp, Registry};

/// Tells the rings of one world apart.
pub(super) type RingNumber = u64;

/// What one ring has registered.
#[derive(Debug, Default)]
pub(super) struct Registered {
    groups: BTreeMap<u16, BufferRing>,
}

impl Registered {
    /// A group of provided buffers.
    pub(super) fn group(&mut self, group: u16) -> Option<&mut BufferRing> {
        self.groups.get_mut(&group)
    }

    /// `io_uring_register(2)`.
    fn register(&mut self, argument: &Argument) -> Result<u32, i32> {
        match argument.op() {
            RegisterOp::REGISTER_PBUF_RING => {
                let group = argument.buf_reg()?.bgid;
                if self.groups.contains_key(&group) {
                    return Err(libc::EEXIST);
                }
                self.groups.insert(group, argument.buffer_ring()?);
                Ok(0)
            }
            RegisterOp::UNREGISTER_PBUF_RING => {
                let group = argument.buf_reg()?.bgid;
                self.groups.remove(&group).map(|_| 0).ok_or(libc::ENOENT)
            }
            RegisterOp::REGISTER_PBUF_STATUS => {
                let mut status = argument.buf_status()?;
                let group = u16::try_from(status.buf_group).map_err(|_| libc::EINVAL)?;
                status.head = u32::from(self.group(group).ok_or(libc::ENOENT)?.head);
                argument.answer_buf_status(status);
                Ok(0)
            }
            // Not `EINVAL`: what is not known here is not known anywhere in user space.
            _ => Err(libc::EOPNOTSUPP),
        }
    }
}

/// What a ring of a simulation registers with. What is registered goes when this does: when the ring and all
/// that owns a part of it are gone.
pub(super) struct RegistryOf {
    world: Rc<RefCell<World>>,
    ring: RingNumber,
}

impl RegistryOf {
    /// For a new ring.
    pub(super) fn new(world: &Rc<RefCell<World>>) -> Rc<RegistryOf> {
        let ring = world.borrow_mut().add_ring();
        Rc::new(RegistryOf { world: Rc::clone(world), ring })
    }

    pub(super) fn ring(&self) -> RingNumber {
        self.ring
    }
}

impl fmt::Debug for RegistryOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryOf").field("ring", &self.ring).finish_non_exhaustive()
    }
}

impl Drop for RegistryOf {
    fn drop(&mut self) {
        // What was registered is dropped after the borrow has ended, as files may close.
        let registered = self.world.borrow_mut().remove_ring(self.ring);
        drop(registered);
    }
}

// SAFETY: what lasts beyond a call is a `BufferRing` alone, which goes when the group is unregistered.
unsafe impl Registry for RegistryOf {
    unsafe fn register(&self, op: RegisterOp, arg: *mut c_void, count: u32) -> io::Result<u32> {
        // SAFETY: the caller's contract; the argument is gone when this returns.
        let argument = unsafe { Argument::new(op, arg, count) };
        let world = &mut *self.world.borrow_mut();
        let registered = world.registered(self.ring).and_then(|ring| ring.register(&argument));
        registered.map_err(io::Error::from_raw_os_error)
    }
}
