//! The clock of waits.

use std::io;

use crate::ring::Ring;
use crate::sys::abi::{ClockRegister, RegisterOp};

/// A clock that waits can be measured by. `clock_gettime(2)`, Linux 6.12; the kernel takes no others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// `CLOCK_MONOTONIC`: stands still while the machine is suspended. Every ring begins with it.
    #[default]
    Monotonic,
    /// `CLOCK_BOOTTIME`: goes on while the machine is suspended.
    BootTime,
}

impl Clock {
    fn raw(self) -> u32 {
        match self {
            Clock::Monotonic => libc::CLOCK_MONOTONIC as u32,
            Clock::BootTime => libc::CLOCK_BOOTTIME as u32,
        }
    }
}

impl Ring {
    /// Chooses the clock that later waits of this ring are measured by. `io_uring_register(2)`, Linux 6.12.
    ///
    /// # Errors
    ///
    /// `EINVAL` from a kernel that has no choice.
    pub fn register_clock(&self, clock: Clock) -> io::Result<()> {
        let mut register = ClockRegister { clockid: clock.raw(), ..ClockRegister::default() };
        let ring = self.registrar()?;
        // The count is 0: any other is refused.
        // SAFETY: one `io_uring_clock_register`, read during the call only.
        unsafe { ring.register(RegisterOp::REGISTER_CLOCK, &raw mut register, 0) }.map(drop)
    }
}
