//! What register calls lend.

use std::ffi::c_void;

use super::{BufferRing, copy_in};
use crate::ring::RegisterOp;
use crate::sys::abi::{
    BufReg, BufStatus, FileIndexRange, RsrcRegister, RsrcRegisterFlags, RsrcUpdate, RsrcUpdate2,
};

/// The largest table of files.
const MAX_FILES: u32 = 1 << 20;

/// The argument of a register call, for as long as the call takes.
#[derive(Debug)]
pub(in crate::sim) struct Argument {
    op: RegisterOp,
    address: *mut c_void,
    /// How many, as the call counts.
    count: u32,
}

impl Argument {
    /// # Safety
    ///
    /// The contract of [`Registry::register`](crate::ring::Registry::register), and the value is gone when the
    /// call returns.
    pub(in crate::sim) unsafe fn new(op: RegisterOp, address: *mut c_void, count: u32) -> Argument {
        Argument { op, address, count }
    }

    pub(in crate::sim) fn op(&self) -> RegisterOp {
        self.op
    }

    /// What to register a ring of buffers with, or the group to unregister.
    pub(in crate::sim) fn buf_reg(&self) -> Result<BufReg, i32> {
        self.expect(&[RegisterOp::REGISTER_PBUF_RING, RegisterOp::UNREGISTER_PBUF_RING]);
        // SAFETY: by the contract of `new`, these calls lend one `io_uring_buf_reg`.
        unsafe { self.read() }
    }

    /// The ring of buffers that this call registers.
    pub(in crate::sim) fn buffer_ring(&self) -> Result<BufferRing, i32> {
        self.expect(&[RegisterOp::REGISTER_PBUF_RING]);
        // SAFETY: by the contract of `new`, this call lends the ring that its argument describes until the group
        // is unregistered, which is what ends the value.
        unsafe { BufferRing::new(&self.buf_reg()?) }
    }

    /// The group to describe.
    pub(in crate::sim) fn buf_status(&self) -> Result<BufStatus, i32> {
        self.expect(&[RegisterOp::REGISTER_PBUF_STATUS]);
        // SAFETY: by the contract of `new`, this call lends one `io_uring_buf_status`.
        unsafe { self.read() }
    }

    /// The description.
    pub(in crate::sim) fn answer_buf_status(&self, status: BufStatus) {
        self.expect(&[RegisterOp::REGISTER_PBUF_STATUS]);
        // SAFETY: as in `buf_status`, which has found it not to be null.
        unsafe { self.address.cast::<BufStatus>().write_unaligned(status) }
    }

    /// The files of a new table; -1 is none.
    pub(in crate::sim) fn new_files(&self) -> Result<Vec<i32>, i32> {
        if self.op == RegisterOp::REGISTER_FILES {
            // SAFETY: by the contract of `new`, this call lends `count` descriptors.
            return unsafe { descriptors(self.address.expose_provenance() as u64, self.count) };
        }
        self.expect(&[RegisterOp::REGISTER_FILES2]);
        // SAFETY: by the contract of `new`, this call lends one `io_uring_rsrc_register`, of `count` bytes.
        let register: RsrcRegister = unsafe { self.read_sized()? };
        let flags = RsrcRegisterFlags::from_bits(register.flags).ok_or(libc::EINVAL)?;
        // Tags are not known here.
        if register.resv2 != 0 || register.tags != 0 {
            return Err(libc::EINVAL);
        }
        if flags.contains(RsrcRegisterFlags::SPARSE) {
            let none = register.data == 0 && register.nr <= MAX_FILES;
            return none.then(|| vec![-1; register.nr as usize]).ok_or(libc::EINVAL);
        }
        // SAFETY: by the contract of `new`, it names as many descriptors as it says.
        unsafe { descriptors(register.data, register.nr) }
    }

    /// The slots to change from a first one on, and what is to be there.
    pub(in crate::sim) fn changed_files(&self) -> Result<(u32, Vec<i32>), i32> {
        if self.op == RegisterOp::REGISTER_FILES_UPDATE {
            // SAFETY: by the contract of `new`, this call lends one `io_uring_rsrc_update` whatever its count.
            let update: RsrcUpdate = unsafe { self.read_one()? };
            // SAFETY: by the contract of `new`, it names `count` descriptors.
            return Ok((update.offset, unsafe { descriptors(update.data, self.count)? }));
        }
        self.expect(&[RegisterOp::REGISTER_FILES_UPDATE2]);
        // SAFETY: by the contract of `new`, this call lends one `io_uring_rsrc_update2`, of `count` bytes.
        let update: RsrcUpdate2 = unsafe { self.read_sized()? };
        if update.tags != 0 {
            return Err(libc::EINVAL);
        }
        // SAFETY: by the contract of `new`, it names as many descriptors as it says.
        Ok((update.offset, unsafe { descriptors(update.data, update.nr)? }))
    }

    /// The slots that may be chosen from.
    pub(in crate::sim) fn file_range(&self) -> Result<FileIndexRange, i32> {
        self.expect(&[RegisterOp::REGISTER_FILE_ALLOC_RANGE]);
        // SAFETY: by the contract of `new`, this call lends one `io_uring_file_index_range`, and its count is 0.
        unsafe { self.read_one() }
    }

    /// # Safety
    ///
    /// The call lends a `T` at its address, of which any bytes make one, and its count is that of its bytes.
    unsafe fn read_sized<T: Copy>(&self) -> Result<T, i32> {
        if self.count as usize != size_of::<T>() {
            return Err(libc::EINVAL);
        }
        // SAFETY: the caller's contract.
        unsafe { self.read_one() }
    }

    /// # Safety
    ///
    /// The call lends one `T` at its address, of which any bytes make one.
    unsafe fn read<T: Copy>(&self) -> Result<T, i32> {
        if self.count != 1 {
            return Err(libc::EINVAL);
        }
        // SAFETY: the caller's contract.
        unsafe { self.read_one() }
    }

    /// # Safety
    ///
    /// The call lends one `T` at its address, of which any bytes make one, whatever it counts.
    unsafe fn read_one<T: Copy>(&self) -> Result<T, i32> {
        if self.address.is_null() {
            return Err(libc::EFAULT);
        }
        // SAFETY: the caller's contract.
        Ok(unsafe { self.address.cast::<T>().read_unaligned() })
    }

    /// Arguments mean memory for some calls only.
    fn expect(&self, ops: &[RegisterOp]) {
        assert!(ops.contains(&self.op), "this call lends no such memory");
    }
}

/// # Safety
///
/// `count` descriptors are lent at `address`.
unsafe fn descriptors(address: u64, count: u32) -> Result<Vec<i32>, i32> {
    if count > MAX_FILES {
        return Err(libc::EMFILE);
    }
    // SAFETY: the caller's contract.
    let bytes = unsafe { copy_in(address, count as usize * size_of::<i32>()) }?;
    let word = |at: &[u8]| i32::from_ne_bytes([at[0], at[1], at[2], at[3]]);
    Ok(bytes.chunks_exact(size_of::<i32>()).map(word).collect())
}
