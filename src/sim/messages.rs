//! Messages from one ring of a world to another, or to itself: `IORING_OP_MSG_RING`.
//!
//! As on Linux they are sent while the submission is taken, so that whoever has sent one may go on to wait for what
//! it brings about. They wait in the world for an `enter` of their ring, which posts them oldest first, each before,
//! between or after what else it posts.

use super::faults::Fault;
use super::memory::Taken;
use super::registered::RingNumber;
use super::request::Request;
use super::world::{Kind, World};
use crate::ring::{MsgRingCommand, MsgRingFlags, RawCqe};

/// What such a submission asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    pub(super) user_data: u64,
    pub(super) result: i32,
    command: MsgRingCommand,
    flags: MsgRingFlags,
    /// The slot that a file is sent from.
    from: u32,
    /// The slot that it is sent to, counted from 1; or the flags of the completion.
    to: u32,
}

impl Message {
    pub(super) fn parse(taken: &Taken) -> Result<Message, i32> {
        let sqe = taken.sqe();
        let flags = MsgRingFlags::from_bits(sqe.op_flags).filter(|_| sqe.buf == 0);
        Ok(Message {
            user_data: sqe.off,
            result: sqe.len as i32,
            command: MsgRingCommand(sqe.addr),
            flags: flags.ok_or(libc::EINVAL)?,
            from: sqe.addr3 as u32,
            to: sqe.splice_fd,
        })
    }

    /// The flags that come with it.
    fn passed(&self) -> Result<u32, i32> {
        let passes = self.flags.contains(MsgRingFlags::FLAGS_PASS);
        let skips = self.flags.contains(MsgRingFlags::CQE_SKIP);
        if skips || self.from != 0 || !passes && self.to != 0 {
            return Err(libc::EINVAL);
        }
        Ok(if passes { self.to } else { 0 })
    }
}

impl Request {
    /// Sends a message; returns the result for who sent it.
    pub(super) fn send_message(&self, message: Message, world: &mut World) -> Result<i32, i32> {
        let Some(Kind::Ring(target)) = self.file().map(|file| &file.kind) else {
            return Err(libc::EBADFD);
        };
        let user_data = message.user_data;
        match message.command {
            MsgRingCommand::DATA => {
                let flags = message.passed()?;
                fail(world)?;
                world.post_to(*target, RawCqe { user_data, res: message.result, flags });
                Ok(0)
            }
            MsgRingCommand::SEND_FD => {
                if message.result != 0 || *target == self.ring() {
                    return Err(libc::EINVAL);
                }
                let file = world.registered(self.ring())?.file(message.from as i32)?;
                fail(world)?;
                let slot = world.registered(*target)?.install(file, message.to)?;
                if !message.flags.contains(MsgRingFlags::CQE_SKIP) {
                    world.post_to(*target, RawCqe { user_data, res: slot, flags: 0 });
                }
                Ok(slot)
            }
            _ => Err(libc::EINVAL),
        }
    }
}

/// No memory for the message, or for its completion, by chance.
fn fail(world: &mut World) -> Result<(), i32> {
    if !world.strikes(Fault::Errno) {
        return Ok(());
    }
    Err(world.faults.one_of(&[libc::ENOMEM, libc::EOVERFLOW]).unwrap_or(libc::ENOMEM))
}

impl World {
    /// Keeps a completion for the next `enter` of a ring. One for a ring that has gone is lost.
    fn post_to(&mut self, target: RingNumber, cqe: RawCqe) {
        if let Ok(registered) = self.registered(target) {
            registered.messages.push_back(cqe);
        }
    }

    /// Whether a message waits for a ring.
    pub(super) fn has_message(&self, ring: RingNumber) -> bool {
        self.rings.get(&ring).is_some_and(|registered| !registered.messages.is_empty())
    }

    /// The oldest message for a ring.
    pub(super) fn take_message(&mut self, ring: RingNumber) -> Option<RawCqe> {
        self.registered(ring).ok()?.messages.pop_front()
    }
}
