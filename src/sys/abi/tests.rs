//! The numbers against a second statement of them.

use std::fmt::Debug;

use bitflags::Flags;

use super::*;

/// The operations in the order of the kernel's enumeration, which gives them their numbers.
#[rustfmt::skip]
const OPCODES: [&str; 65] = [
    "NOP", "READV", "WRITEV", "FSYNC", "READ_FIXED", "WRITE_FIXED", "POLL_ADD", "POLL_REMOVE",
    "SYNC_FILE_RANGE", "SENDMSG", "RECVMSG", "TIMEOUT", "TIMEOUT_REMOVE", "ACCEPT", "ASYNC_CANCEL",
    "LINK_TIMEOUT", "CONNECT", "FALLOCATE", "OPENAT", "CLOSE", "FILES_UPDATE", "STATX", "READ", "WRITE",
    "FADVISE", "MADVISE", "SEND", "RECV", "OPENAT2", "EPOLL_CTL", "SPLICE", "PROVIDE_BUFFERS",
    "REMOVE_BUFFERS", "TEE", "SHUTDOWN", "RENAMEAT", "UNLINKAT", "MKDIRAT", "SYMLINKAT", "LINKAT",
    "MSG_RING", "FSETXATTR", "SETXATTR", "FGETXATTR", "GETXATTR", "SOCKET", "URING_CMD", "SEND_ZC",
    "SENDMSG_ZC", "READ_MULTISHOT", "WAITID", "FUTEX_WAIT", "FUTEX_WAKE", "FUTEX_WAITV",
    "FIXED_FD_INSTALL", "FTRUNCATE", "BIND", "LISTEN", "RECV_ZC", "EPOLL_WAIT", "READV_FIXED",
    "WRITEV_FIXED", "PIPE", "NOP128", "URING_CMD128",
];

/// The register calls in the order of the kernel's enumeration.
#[rustfmt::skip]
const REGISTER_OPS: [&str; 38] = [
    "REGISTER_BUFFERS", "UNREGISTER_BUFFERS", "REGISTER_FILES", "UNREGISTER_FILES", "REGISTER_EVENTFD",
    "UNREGISTER_EVENTFD", "REGISTER_FILES_UPDATE", "REGISTER_EVENTFD_ASYNC", "REGISTER_PROBE",
    "REGISTER_PERSONALITY", "UNREGISTER_PERSONALITY", "REGISTER_RESTRICTIONS", "REGISTER_ENABLE_RINGS",
    "REGISTER_FILES2", "REGISTER_FILES_UPDATE2", "REGISTER_BUFFERS2", "REGISTER_BUFFERS_UPDATE",
    "REGISTER_IOWQ_AFF", "UNREGISTER_IOWQ_AFF", "REGISTER_IOWQ_MAX_WORKERS", "REGISTER_RING_FDS",
    "UNREGISTER_RING_FDS", "REGISTER_PBUF_RING", "UNREGISTER_PBUF_RING", "REGISTER_SYNC_CANCEL",
    "REGISTER_FILE_ALLOC_RANGE", "REGISTER_PBUF_STATUS", "REGISTER_NAPI", "UNREGISTER_NAPI",
    "REGISTER_CLOCK", "REGISTER_CLONE_BUFFERS", "REGISTER_SEND_MSG_RING", "REGISTER_ZCRX_IFQ",
    "REGISTER_RESIZE_RINGS", "REGISTER_MEM_REGION", "REGISTER_QUERY", "REGISTER_ZCRX_CTRL",
    "REGISTER_BPF_FILTER",
];

#[test]
fn every_opcode_is_the_position_of_its_name() {
    let named: Vec<_> = (0..=u8::MAX).map_while(|number| Opcode(number).name()).collect();
    assert_eq!(named, OPCODES);
    assert_eq!(Opcode::ALL.len(), OPCODES.len());
    assert!(Opcode::ALL.iter().enumerate().all(|(index, op)| usize::from(op.0) == index));
}

#[test]
fn every_register_call_is_the_position_of_its_name() {
    let named: Vec<_> = (0..256).map_while(|number| RegisterOp(number).name()).collect();
    assert_eq!(named, REGISTER_OPS);
    assert_eq!(RegisterOp::ALL.len(), REGISTER_OPS.len());
    assert!(RegisterOp::ALL.iter().zip(0..).all(|(op, index)| op.0 == index));
}

/// A release such as 5.19 as a pair that can be compared.
fn release(text: Option<&str>) -> (u32, u32) {
    let (major, minor) = text.expect("known").split_once('.').expect("two numbers");
    (major.parse().expect("a number"), minor.parse().expect("a number"))
}

#[test]
fn no_opcode_is_older_than_the_ones_before_it() {
    let releases: Vec<_> = Opcode::ALL.iter().map(|op| release(op.since())).collect();
    assert!(releases.is_sorted(), "{releases:?}");
    assert_eq!((releases[0], releases[64]), ((5, 1), (6, 19)));
}

#[test]
fn a_number_that_is_not_known_has_no_name_and_shows_as_a_number() {
    assert_eq!((Opcode(65).name(), Opcode(65).since()), (None, None));
    assert_eq!(format!("{:?} {:?}", Opcode(65), Opcode::READ), "Opcode(65) Opcode::READ");
}

/// Checks that each flag is one bit and no two share one.
fn distinct<F: Flags + Debug>()
where
    F::Bits: Into<u64>,
{
    let mut seen = 0;
    for flag in F::FLAGS {
        let bits: u64 = flag.value().bits().into();
        assert!(bits.is_power_of_two(), "{} is no single bit", flag.name());
        assert_eq!(seen & bits, 0, "{} is taken", flag.name());
        seen |= bits;
    }
}

/// Checks that the flags are distinct and leave no bit out between the lowest and the highest.
fn gapless<F: Flags + Debug>()
where
    F::Bits: Into<u64>,
{
    distinct::<F>();
    let all: u64 = F::all().bits().into();
    assert_eq!(all & (all + 1), 0, "{:?} has a gap", F::all());
}

#[test]
fn each_flag_is_one_bit_of_its_own() {
    distinct::<CqeFlags>();
    distinct::<Futex2Flags>();
    distinct::<PipeFlags>();
    distinct::<RegisterFlags>();
    distinct::<SpliceFlags>();
    gapless::<AcceptFlags>();
    gapless::<BpfFilterFlags>();
    gapless::<CancelFlags>();
    gapless::<CloneBuffersFlags>();
    gapless::<CqFlags>();
    gapless::<EnterFlags>();
    gapless::<Features>();
    gapless::<FsyncFlags>();
    gapless::<InstallFdFlags>();
    gapless::<IntegrityFlags>();
    gapless::<MemRegionRegFlags>();
    gapless::<MsgRingFlags>();
    gapless::<NopFlags>();
    gapless::<PbufRingFlags>();
    gapless::<PollFlags>();
    gapless::<ProbeOpFlags>();
    gapless::<RecvSendFlags>();
    gapless::<RegWaitFlags>();
    gapless::<RegionFlags>();
    gapless::<RsrcRegisterFlags>();
    gapless::<RwAttrFlags>();
    gapless::<RwFlags>();
    gapless::<SetupFlags>();
    gapless::<SqFlags>();
    gapless::<SqeFlags>();
    gapless::<SyncFileRangeFlags>();
    gapless::<TimeoutFlags>();
    gapless::<UringCmdFlags>();
    gapless::<ZcrxAreaFlags>();
    gapless::<ZcrxEventDescFlags>();
    gapless::<ZcrxFeatures>();
    gapless::<ZcrxRegFlags>();
}

#[test]
fn values_beyond_single_bits_are_as_the_header_says() {
    assert_eq!(SetupFlags::all().bits(), 0x1f_ffff);
    assert_eq!(Features::all().bits(), 0x3_ffff);
    assert_eq!(CqeFlags::all().bits(), 0x803f);
    assert_eq!(Futex2Flags::SIZE_U64.bits(), 3);
    assert_eq!((TimeoutFlags::CLOCK_MASK.bits(), TimeoutFlags::UPDATE_MASK.bits()), (0xc, 0x12));
    assert_eq!(SyncFileRangeFlags::WRITE_AND_WAIT.bits(), 7);
    assert_eq!(ZCRX_AREA_MASK, 0xffff_0000_0000_0000);
    assert_eq!(CQE_F_TSTAMP_HW, 0x1_0000);
    assert_eq!(BLOCK_URING_CMD_DISCARD & 0xffff, 0x1200);
}
