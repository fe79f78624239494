//! Credentials that a ring keeps for later submissions.

use std::io;
use std::ptr;

use super::GiveBack;
use crate::ring::{PersonalityId, Ring, RingId};
use crate::sys::abi::RegisterOp;

/// The credentials that the calling thread had when it registered them (`credentials(7)`), kept by the ring.
///
/// A submission that names [`id`](Personality::id) acts with them. Dropping this makes the ring forget them;
/// requests under way keep what they use. Linux 5.6.
#[derive(Debug)]
pub struct Personality {
    kept: GiveBack,
    id: u16,
    ring: RingId,
}

impl Ring {
    /// Keeps the credentials of the calling thread. `io_uring_register(2)`, Linux 5.6.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EBUSY` from newer kernels when all 65,535 ids are taken.
    pub fn register_personality(&self) -> io::Result<Personality> {
        let ring = self.registrar()?;
        let op = RegisterOp::REGISTER_PERSONALITY;
        // SAFETY: no memory is involved.
        let id = unsafe { ring.register(op, ptr::null_mut::<u8>(), 0)? };
        let kept = GiveBack::new(ring, RegisterOp::UNREGISTER_PERSONALITY, id);
        // The kernel gives ids from 1 to 65,535: the field of a submission has 16 bits.
        Ok(Personality { kept, id: id as u16, ring: self.id() })
    }
}

impl Personality {
    /// What submissions name the credentials by.
    pub fn id(&self) -> PersonalityId {
        PersonalityId { id: self.id, ring: self.ring }
    }

    /// Has the ring forget them, as the drop does, and says whether the kernel agreed.
    ///
    /// # Errors
    ///
    /// `EINVAL` when something else had it forget them; `EACCES` when a restriction forbids it.
    pub fn unregister(mut self) -> io::Result<()> {
        self.kept.now()
    }
}
