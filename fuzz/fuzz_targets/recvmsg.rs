//! Buffers of any content, read as messages: nothing found in one may lie outside of it.

#![no_main]

use uring::ring::RecvMsgOut;

fn within(part: &[u8], whole: &[u8]) {
    let (part, whole) = (part.as_ptr_range(), whole.as_ptr_range());
    assert!(part.is_empty() || whole.start <= part.start && part.end <= whole.end);
}

libfuzzer_sys::fuzz_target!(|input: (u16, u16, &[u8])| {
    let (name_bytes, control_bytes, buffer) = input;
    let rooms = (usize::from(name_bytes) % 160, usize::from(control_bytes) % 320);
    let Ok(message) = RecvMsgOut::parse(buffer, rooms.0, rooms.1) else {
        assert!(buffer.len() < 16 + rooms.0 + rooms.1);
        return;
    };
    within(message.payload(), buffer);
    assert!(message.payload().len() + 16 + rooms.0 + rooms.1 <= buffer.len());
    assert!(message.name().is_none_or(|name| name.as_bytes().len() <= rooms.0));
    let mut count = 0;
    for control in message.control_messages() {
        within(control.data, buffer);
        count += 1;
    }
    // Each takes at least its head, so they are few, and the walk ends.
    assert!(count <= rooms.1 / 16);
    let _ = (message.payload_truncated(), message.control_truncated(), message.name_truncated());
});
