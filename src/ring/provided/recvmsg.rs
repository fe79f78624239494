//! What a multishot `recvmsg` puts into a buffer: a head, the sender's address, control messages, payload.

use std::io;
use std::mem::offset_of;

use crate::ring::Address;
use crate::sys::abi::RecvmsgOut;

/// Control messages and their data begin at multiples of a word (`CMSG_ALIGN`, cmsg(3)).
const ALIGN: usize = size_of::<usize>();

/// `struct cmsghdr`: a length of one word, then the level and the type.
const CONTROL_HEAD_BYTES: usize = size_of::<usize>() + 2 * size_of::<i32>();

/// A message that a multishot `recvmsg` put into a provided buffer (`IORING_RECV_MULTISHOT`, Linux 6.0).
///
/// An empty datagram is a message as well; it ends the request, as its completion says by not being
/// [`more`](crate::ring::Cqe::more).
///
/// The buffer has a head, then room for the sender's address and for control messages, as large as the
/// submission's `msghdr` said, and the payload behind. All lengths in it are checked against what there is.
///
/// ```
/// use uring::ring::RecvMsgOut;
///
/// let mut buffer = vec![0; 16];
/// buffer[8] = 5; // the length of the payload
/// # #[cfg(target_endian = "big")] { buffer[8] = 0; buffer[11] = 5; }
/// buffer.extend(b"hello");
/// let message = RecvMsgOut::parse(&buffer, 0, 0)?;
/// assert_eq!(message.payload(), b"hello");
/// assert!(message.name().is_none() && message.control_messages().next().is_none());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RecvMsgOut<'a> {
    head: RecvmsgOut,
    name: &'a [u8],
    control: &'a [u8],
    payload: &'a [u8],
}

impl<'a> RecvMsgOut<'a> {
    /// Reads the message in `buffer`, which is what the completion brought and no more.
    ///
    /// `name_bytes` and `control_bytes` are `msg_namelen` and `msg_controllen` of the submission.
    ///
    /// # Errors
    ///
    /// `InvalidData` if the buffer is too short for the head and the two rooms.
    pub fn parse(
        buffer: &'a [u8],
        name_bytes: usize,
        control_bytes: usize,
    ) -> io::Result<RecvMsgOut<'a>> {
        RecvMsgOut::split(buffer, name_bytes, control_bytes).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "the buffer is too short for the address and the control messages asked for",
            )
        })
    }

    fn split(buffer: &'a [u8], name_bytes: usize, control_bytes: usize) -> Option<RecvMsgOut<'a>> {
        let word = |offset| word(buffer, offset);
        let head = RecvmsgOut {
            namelen: word(offset_of!(RecvmsgOut, namelen))?,
            controllen: word(offset_of!(RecvmsgOut, controllen))?,
            payloadlen: word(offset_of!(RecvmsgOut, payloadlen))?,
            flags: word(offset_of!(RecvmsgOut, flags))?,
        };
        let (name, rest) = buffer.get(size_of::<RecvmsgOut>()..)?.split_at_checked(name_bytes)?;
        let (control, payload) = rest.split_at_checked(control_bytes)?;
        // A length may be more than there was room for, which says that something was cut.
        Some(RecvMsgOut {
            head,
            name: cut(name, head.namelen),
            control: cut(control, head.controllen),
            payload: cut(payload, head.payloadlen),
        })
    }

    /// The sender's address, as much of it as there was room for; `None` if the socket gives none.
    pub fn name(&self) -> Option<Address> {
        if self.name.is_empty() { None } else { Address::from_bytes(self.name) }
    }

    /// Whether the sender's address was cut, for want of room.
    pub fn name_truncated(&self) -> bool {
        self.head.namelen as usize > self.name.len()
    }

    /// The control messages, `cmsg(3)`.
    pub fn control_messages(&self) -> ControlMessages<'a> {
        ControlMessages { rest: self.control }
    }

    /// Whether control messages were cut or left out, for want of room (`MSG_CTRUNC`).
    pub fn control_truncated(&self) -> bool {
        self.flags() & libc::MSG_CTRUNC != 0 || self.head.controllen as usize > self.control.len()
    }

    /// The payload.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Whether the payload was cut, for want of room (`MSG_TRUNC`); the rest of a datagram is lost.
    pub fn payload_truncated(&self) -> bool {
        self.flags() & libc::MSG_TRUNC != 0 || self.head.payloadlen as usize > self.payload.len()
    }

    /// `msg_flags`: `MSG_*`, `recvmsg(2)`.
    pub fn flags(&self) -> i32 {
        self.head.flags as i32
    }
}

/// One control message, `cmsg(3)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlMessage<'a> {
    /// `cmsg_level`: the protocol, such as `SOL_SOCKET`.
    pub level: i32,
    /// `cmsg_type`: its meaning there, such as `SCM_RIGHTS`.
    pub kind: i32,
    /// What it says.
    pub data: &'a [u8],
}

/// The control messages of a [`RecvMsgOut`], in order.
///
/// One whose length goes beyond the bytes that there are was cut: it is the last one, with what there is of
/// it. One whose length is less than its own head ends them.
#[derive(Clone, Debug)]
pub struct ControlMessages<'a> {
    rest: &'a [u8],
}

impl<'a> ControlMessages<'a> {
    /// The control messages in `bytes`, as `recvmsg(2)` wrote them.
    pub fn parse(bytes: &'a [u8]) -> ControlMessages<'a> {
        ControlMessages { rest: bytes }
    }
}

impl<'a> Iterator for ControlMessages<'a> {
    type Item = ControlMessage<'a>;

    fn next(&mut self) -> Option<ControlMessage<'a>> {
        let rest = std::mem::take(&mut self.rest);
        let len_bytes = usize::from_ne_bytes(*rest.first_chunk()?);
        let level = word(rest, size_of::<usize>())? as i32;
        let kind = word(rest, size_of::<usize>() + size_of::<i32>())? as i32;
        // The head is a multiple of a word, so the data begins right behind it.
        let data = rest.get(CONTROL_HEAD_BYTES..len_bytes.min(rest.len()))?;
        if let Some(next) = len_bytes.checked_next_multiple_of(ALIGN) {
            self.rest = rest.get(next..).unwrap_or_default();
        }
        Some(ControlMessage { level, kind, data })
    }
}

/// The first `len_bytes` of `bytes`, or all of them.
fn cut(bytes: &[u8], len_bytes: u32) -> &[u8] {
    bytes.get(..len_bytes as usize).unwrap_or(bytes)
}

fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(namelen: u32, controllen: u32, payloadlen: u32, flags: i32) -> Vec<u8> {
        let words = [namelen, controllen, payloadlen, flags as u32];
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    fn control(len_bytes: usize, level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
        let mut bytes = len_bytes.to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
        bytes
    }

    #[test]
    fn a_message_is_split_at_the_lengths_that_were_asked_for() {
        let sender: std::net::SocketAddr = "127.0.0.1:4567".parse().expect("an address");
        let mut buffer = head(16, 24, 5, 0);
        buffer.extend(Address::from(sender).as_bytes());
        buffer.extend([0; 12]); // the room was for 28 bytes
        buffer.extend(control(CONTROL_HEAD_BYTES + 4, 1, 2, b"data"));
        buffer.extend([0xee; 8]);
        buffer.extend(b"hello, and what is not of it");

        let message = RecvMsgOut::parse(&buffer, 28, 32).expect("a message");
        assert_eq!(message.name().and_then(|name| name.to_std()), Some(sender));
        let found: Vec<_> = message.control_messages().collect();
        assert_eq!(found, [ControlMessage { level: 1, kind: 2, data: b"data" }]);
        assert_eq!(message.payload(), b"hello");
        assert!(!message.name_truncated());
        assert!(!message.control_truncated());
        assert!(!message.payload_truncated());
    }

    #[test]
    fn lengths_beyond_the_room_say_that_something_was_cut() {
        let mut buffer = head(u32::MAX, u32::MAX, u32::MAX, 0);
        buffer.extend([0; 8]);
        let message = RecvMsgOut::parse(&buffer, 2, 4).expect("a message");
        assert!(message.name_truncated() && message.name().is_some());
        assert!(message.control_truncated());
        assert!(message.payload_truncated());
        assert_eq!(message.payload(), [0, 0]);
    }

    #[test]
    fn the_flags_say_that_something_was_cut() {
        let buffer = head(0, 0, 0, libc::MSG_TRUNC | libc::MSG_CTRUNC);
        let message = RecvMsgOut::parse(&buffer, 0, 0).expect("a message");
        assert_eq!(message.flags(), libc::MSG_TRUNC | libc::MSG_CTRUNC);
        assert!(message.payload_truncated() && message.control_truncated());
        assert!(message.name().is_none() && message.payload().is_empty());
    }

    #[test]
    fn a_buffer_that_is_too_short_is_an_error() {
        let buffer = head(0, 0, 0, 0);
        for len in 0..buffer.len() {
            assert!(RecvMsgOut::parse(&buffer[..len], 0, 0).is_err());
        }
        for (name, control) in [(1, 0), (0, 1), (usize::MAX, 0), (usize::MAX, usize::MAX)] {
            let error = RecvMsgOut::parse(&buffer, name, control).expect_err("too short");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn control_messages_end_at_a_length_that_cannot_be() {
        for len_bytes in [0, 1, CONTROL_HEAD_BYTES - 1] {
            let bytes = control(len_bytes, 1, 2, b"data");
            assert_eq!(ControlMessages::parse(&bytes).count(), 0);
        }
    }

    #[test]
    fn a_control_message_that_was_cut_is_the_last_one() {
        for len_bytes in [CONTROL_HEAD_BYTES + 9, usize::MAX - 3, usize::MAX] {
            let mut bytes = control(CONTROL_HEAD_BYTES, 1, 1, b"");
            bytes.extend(control(len_bytes, 1, 2, b"12345678"));
            let found: Vec<_> = ControlMessages::parse(&bytes).map(|one| one.data).collect();
            assert_eq!(found, [&b""[..], b"12345678"]);
        }
    }

    #[test]
    fn bytes_too_few_for_a_control_message_are_none() {
        let bytes = control(CONTROL_HEAD_BYTES, 1, 2, b"");
        for len in 0..bytes.len() {
            assert_eq!(ControlMessages::parse(&bytes[..len]).count(), 0);
        }
    }
}
