//! The ABI as this crate states it, against the bindings that `linux-raw-sys` generates from the kernel's own
//! headers (Linux 6.17): every number, size and offset that both have.

#[path = "ring_abi/constants.rs"]
mod constants;
#[path = "ring_abi/structs.rs"]
mod structs;

/// Where the two disagree, and why that is right.
const DIFFERENCES: &[(&str, &str)] = &[
    ("Opcode::ALL.len()", "NOP128 and URING_CMD128 came with Linux 6.19"),
    ("RegisterOp::ALL.len()", "QUERY came with 6.18, ZCRX_CTRL with 6.19, BPF_FILTER with 7.0"),
    ("UringCmdFlags::all()", "MULTISHOT came with Linux 6.18"),
    ("FILE_INDEX_ALLOC", "the same bits, there as an i32"),
    ("BufReg.resv", "min_left took its first four bytes in Linux 7.1"),
    ("ZcrxIfqReg.resv", "event_desc took its first word, later than Linux 7.0"),
];

/// Constants that are too new for the bindings, of types that the bindings have.
const ONLY_HERE: &[&str] = &[
    "SetupFlags::CQE_MIXED",
    "SetupFlags::SQE_MIXED",
    "SetupFlags::SQ_REWIND",
    "CqeFlags::SKIP",
    "CqeFlags::LARGE",
    "TimeoutFlags::IMMEDIATE_ARG",
    "NopFlags::CQE32",
    "UringCmdFlags::MULTISHOT",
    "Opcode::NOP128",
    "Opcode::URING_CMD128",
    "RegisterOp::REGISTER_QUERY",
    "RegisterOp::REGISTER_ZCRX_CTRL",
    "RegisterOp::REGISTER_BPF_FILTER",
    "SocketCommand::GETSOCKNAME",
];

/// What the bindings have nothing of: newer than they are, or no struct or plain number there.
const NOT_COMPARED: &[&str] = &[
    "BLOCK_URING_CMD_DISCARD",
    "Bpf",
    "BpfCommand",
    "BpfCtx",
    "BpfFilter",
    "BpfFilterFlags",
    "BpfOpen",
    "BpfSocket",
    "CQE_F_TSTAMP_HW",
    "QueryHdr",
    "QueryOp",
    "QueryOpcode",
    "QueryScq",
    "QueryZcrx",
    "RawSqe128",
    "SIGSET_BYTES",
    "TaskRestriction",
    "ZCRX_AREA_MASK",
    "ZcrxCtrl",
    "ZcrxCtrlArmEvent",
    "ZcrxCtrlExport",
    "ZcrxCtrlFlushRq",
    "ZcrxCtrlOp",
    "ZcrxEvent",
    "ZcrxEventDesc",
    "ZcrxEventDescFlags",
    "ZcrxFeatures",
    "ZcrxRegFlags",
    "ZcrxStats",
];

/// What was compared, and what was found.
#[derive(Default)]
struct Comparison {
    constants: usize,
    sizes: usize,
    offsets: usize,
    differences: Vec<String>,
    only_here: Vec<String>,
}

impl Comparison {
    fn constant(&mut self, name: &str, ours: i128, theirs: i128) {
        self.constants += 1;
        self.note(name, ours, theirs);
    }

    fn note(&mut self, name: &str, ours: i128, theirs: i128) {
        if ours != theirs {
            println!("{name} is {ours:#x} here and {theirs:#x} there");
            self.differences.push(name.to_owned());
        }
    }

    /// Compares the constants of one type by name: ours without the `prefixes` that theirs begin with.
    fn by_name(
        &mut self,
        of: &str,
        ours: &[(&str, i128)],
        prefixes: &[&str],
        theirs: &[(&str, i128)],
    ) {
        let mut found = Vec::new();
        for (name, theirs) in theirs {
            let short = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix));
            match ours.iter().find(|(ours, _)| Some(*ours) == short) {
                Some((short, ours)) => {
                    self.constant(&format!("{of}::{short}"), *ours, *theirs);
                    found.push(*short);
                }
                None => self.differences.push(format!("{name} is missing in {of}")),
            }
        }
        let rest = ours.iter().filter(|(name, _)| !found.contains(name));
        self.only_here.extend(rest.map(|(name, _)| format!("{of}::{name}")));
    }
}

#[test]
fn every_number_size_and_offset_is_that_of_the_kernels_headers() {
    let mut c = Comparison::default();
    constants::compare(&mut c);
    structs::compare(&mut c);

    let Comparison { constants, sizes, offsets, .. } = c;
    let (known, new) = (DIFFERENCES.len(), ONLY_HERE.len());
    println!(
        "compared {constants} constants, {sizes} sizes, {offsets} offsets; {known} known differences:"
    );
    for (name, why) in DIFFERENCES {
        println!("  {name}: {why}");
    }
    println!("{new} constants are too new: {}", ONLY_HERE.join(", "));
    println!("not compared, for want of a counterpart: {}", NOT_COMPARED.join(", "));
    let mut known: Vec<&str> = DIFFERENCES.iter().map(|(name, _)| *name).collect();
    known.sort_unstable();
    c.differences.sort_unstable();
    assert_eq!(c.differences, known, "differences found and differences known");
    assert_eq!(c.only_here, ONLY_HERE, "constants that only this crate has");
}
