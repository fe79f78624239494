//! The ring itself: nothing, making it, and being woken through it.

use std::io;
use std::os::fd::AsFd;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use contender::{Arguments, Meter, Report, pin_this_thread};
use uring::ring::{Cqe, Setup, Sqe, registry};

use crate::{BATCH, push, ring};

/// Turns between two looks at the clock.
const TURNS: u64 = 64;
const OTHER_CORE: usize = 1;
const QUIET: Duration = Duration::from_micros(100);

/// Submissions that do nothing, `tasks` in each system call.
pub(crate) fn nop(arguments: &Arguments) -> io::Result<Report> {
    let (batch, window) = (arguments.number("tasks", 1)?, arguments.window()?);
    let mut ring = ring()?;
    let mut cqes = [Cqe::default(); BATCH];
    let enters = ring.enters();
    let (meter, mut ops) = (Meter::start(), 0);
    while !meter.is_over(window) {
        for _ in 0..TURNS {
            for _ in 0..batch {
                // SAFETY: a nop lends nothing.
                unsafe { push(&mut ring, Sqe::nop().into_raw())? };
            }
            ring.submit_and_wait(batch as u32, None)?;
            ops += ring.copy_cqes(&mut cqes) as u64;
        }
    }
    Ok(meter.stop(ops).with_enters(ring.enters() - enters))
}

/// A ring made and dropped, of the size that the runtime's has.
pub(crate) fn start(arguments: &Arguments) -> io::Result<Report> {
    let window = arguments.window()?;
    let setup = Setup::new(256).cq_entries(4096);
    let make = || setup.build().map_err(io::Error::other);
    drop(make()?);
    let (meter, mut ops) = (Meter::start(), 0);
    while !meter.is_over(window) {
        drop(make()?);
        ops += 1;
    }
    Ok(meter.stop(ops))
}

/// A thread on the other core posts a completion to a ring that sleeps.
pub(crate) fn wake_thread(arguments: &Arguments) -> io::Result<Report> {
    let window = arguments.window()?;
    let mut ring = ring()?;
    let target = ring.fd().ok_or(io::ErrorKind::Unsupported)?.try_clone_to_owned()?;
    let (back, answers) = mpsc::channel::<()>();
    let base = Instant::now();
    let waker = std::thread::spawn(move || {
        pin_this_thread(OTHER_CORE)?;
        while base.elapsed() < window {
            std::thread::sleep(QUIET);
            let sent_ns = base.elapsed().as_nanos() as u64;
            // SAFETY: that ring has no other requests.
            unsafe { registry::send_message(target.as_fd(), sent_ns, 0, None)? };
            if answers.recv().is_err() {
                break;
            }
        }
        // SAFETY: as above.
        unsafe { registry::send_message(target.as_fd(), u64::MAX, 0, None) }
    });
    let mut latencies = Vec::new();
    let meter = Meter::start();
    'messages: loop {
        ring.submit_and_wait(1, None)?;
        let mut cqes = [Cqe::default(); BATCH];
        let count = ring.copy_cqes(&mut cqes);
        for cqe in &cqes[..count] {
            if cqe.user_data() == u64::MAX {
                break 'messages;
            }
            latencies.push(base.elapsed() - Duration::from_nanos(cqe.user_data()));
            let _ = back.send(());
        }
    }
    let report = meter.stop(latencies.len() as u64).with_latencies(latencies);
    waker.join().expect("the other thread does not panic")?;
    Ok(report)
}
