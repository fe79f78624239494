//! Polling network devices while waiting for completions, in place of their interrupts.

use std::io;
use std::time::Duration;

use crate::ring::Ring;
use crate::sys::abi::{Napi, NapiOp, NapiTracking, RegisterOp};

/// How network devices are polled. `io_uring_register(2)`, Linux 6.9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NapiSettings {
    /// For how long to poll before a wait sleeps, in whole microseconds.
    pub busy_poll: Duration,
    /// Whether the devices' interrupts stay off meanwhile.
    pub prefer_busy_poll: bool,
    /// How the receive queues to poll are found. Anything but
    /// [`DYNAMIC`](NapiTracking::DYNAMIC) needs Linux 6.13.
    pub tracking: NapiTracking,
}

impl Default for NapiSettings {
    fn default() -> NapiSettings {
        let tracking = NapiTracking::DYNAMIC;
        NapiSettings { busy_poll: Duration::ZERO, prefer_busy_poll: false, tracking }
    }
}

impl From<Napi> for NapiSettings {
    fn from(napi: Napi) -> NapiSettings {
        NapiSettings {
            busy_poll: Duration::from_micros(napi.busy_poll_to.into()),
            prefer_busy_poll: napi.prefer_busy_poll != 0,
            tracking: NapiTracking(napi.op_param),
        }
    }
}

impl Ring {
    /// Polls network devices in later waits; returns the settings before. Linux 6.9.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a ring that polls its files (`IORING_SETUP_IOPOLL`), for a tracking that the kernel does
    /// not know, and from older kernels.
    pub fn register_napi(&self, settings: NapiSettings) -> io::Result<NapiSettings> {
        self.napi(Napi {
            busy_poll_to: u32::try_from(settings.busy_poll.as_micros()).unwrap_or(u32::MAX),
            prefer_busy_poll: u8::from(settings.prefer_busy_poll),
            opcode: NapiOp::REGISTER_OP.0,
            op_param: settings.tracking.0,
            ..Napi::default()
        })
        .map(NapiSettings::from)
    }

    /// Adds a receive queue to those that are polled, by its NAPI id (`SO_INCOMING_NAPI_ID`, `socket(7)`); for
    /// [`NapiTracking::STATIC`]. Linux 6.13.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a number that is no such id, or without static tracking; `EEXIST` for one that is polled.
    pub fn add_napi_id(&self, id: u32) -> io::Result<()> {
        let opcode = NapiOp::STATIC_ADD_ID.0;
        self.napi(Napi { opcode, op_param: id, ..Napi::default() }).map(drop)
    }

    /// Takes a receive queue out again. Linux 6.13.
    ///
    /// # Errors
    ///
    /// As [`Ring::add_napi_id`]; `ENOENT` for one that is not polled.
    pub fn remove_napi_id(&self, id: u32) -> io::Result<()> {
        let opcode = NapiOp::STATIC_DEL_ID.0;
        self.napi(Napi { opcode, op_param: id, ..Napi::default() }).map(drop)
    }

    /// Polls network devices no longer; returns the settings before, without their tracking, which the kernel
    /// does not say here. Linux 6.9.
    ///
    /// # Errors
    ///
    /// As [`Ring::register_napi`].
    pub fn unregister_napi(&self) -> io::Result<NapiSettings> {
        let (ring, mut napi) = (self.registrar()?, Napi::default());
        // SAFETY: one `io_uring_napi`, written during the call only.
        unsafe { ring.register(RegisterOp::UNREGISTER_NAPI, &raw mut napi, 1)? };
        Ok(napi.into())
    }

    /// The kernel reads the argument and writes the settings before into it.
    fn napi(&self, mut napi: Napi) -> io::Result<Napi> {
        let ring = self.registrar()?;
        // SAFETY: one `io_uring_napi`, used during the call only.
        unsafe { ring.register(RegisterOp::REGISTER_NAPI, &raw mut napi, 1)? };
        Ok(napi)
    }
}
