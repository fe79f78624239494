//! The operations.

numbers! {
    /// `IORING_OP_*`: an operation.
    ///
    /// ```
    /// use uring::ring::Opcode;
    ///
    /// assert_eq!(Opcode::SEND_ZC.name(), Some("SEND_ZC"));
    /// assert_eq!(Opcode::SEND_ZC.since(), Some("6.0"));
    /// assert_eq!(Opcode(200).name(), None);
    /// ```
    Opcode: u8 {
        /// Does nothing.
        NOP = 0, "5.1";
        /// `preadv2(2)`.
        READV = 1, "5.1";
        /// `pwritev2(2)`.
        WRITEV = 2, "5.1";
        /// `fsync(2)`, `fdatasync(2)`.
        FSYNC = 3, "5.1";
        /// `pread(2)` into a registered buffer.
        READ_FIXED = 4, "5.1";
        /// `pwrite(2)` from a registered buffer.
        WRITE_FIXED = 5, "5.1";
        /// Waits for readiness, `poll(2)`.
        POLL_ADD = 6, "5.1";
        /// Ends or changes a wait for readiness.
        POLL_REMOVE = 7, "5.1";
        /// `sync_file_range(2)`.
        SYNC_FILE_RANGE = 8, "5.2";
        /// `sendmsg(2)`.
        SENDMSG = 9, "5.3";
        /// `recvmsg(2)`.
        RECVMSG = 10, "5.3";
        /// Waits for time, or for a number of completions.
        TIMEOUT = 11, "5.4";
        /// Ends or changes a timeout.
        TIMEOUT_REMOVE = 12, "5.5";
        /// `accept4(2)`.
        ACCEPT = 13, "5.5";
        /// Cancels requests.
        ASYNC_CANCEL = 14, "5.5";
        /// Limits the time of the submission it is linked to.
        LINK_TIMEOUT = 15, "5.5";
        /// `connect(2)`.
        CONNECT = 16, "5.5";
        /// `fallocate(2)`.
        FALLOCATE = 17, "5.6";
        /// `openat(2)`.
        OPENAT = 18, "5.6";
        /// `close(2)`.
        CLOSE = 19, "5.6";
        /// Updates registered files.
        FILES_UPDATE = 20, "5.6";
        /// `statx(2)`.
        STATX = 21, "5.6";
        /// `pread(2)`.
        READ = 22, "5.6";
        /// `pwrite(2)`.
        WRITE = 23, "5.6";
        /// `posix_fadvise(2)`.
        FADVISE = 24, "5.6";
        /// `madvise(2)`.
        MADVISE = 25, "5.6";
        /// `send(2)`, and `sendto(2)` since 5.17.
        SEND = 26, "5.6";
        /// `recv(2)`.
        RECV = 27, "5.6";
        /// `openat2(2)`.
        OPENAT2 = 28, "5.6";
        /// `epoll_ctl(2)`.
        EPOLL_CTL = 29, "5.6";
        /// `splice(2)`.
        SPLICE = 30, "5.7";
        /// Lends buffers to a group.
        PROVIDE_BUFFERS = 31, "5.7";
        /// Takes buffers back from a group.
        REMOVE_BUFFERS = 32, "5.7";
        /// `tee(2)`.
        TEE = 33, "5.8";
        /// `shutdown(2)`.
        SHUTDOWN = 34, "5.11";
        /// `renameat2(2)`.
        RENAMEAT = 35, "5.11";
        /// `unlinkat(2)`.
        UNLINKAT = 36, "5.11";
        /// `mkdirat(2)`.
        MKDIRAT = 37, "5.15";
        /// `symlinkat(2)`.
        SYMLINKAT = 38, "5.15";
        /// `linkat(2)`.
        LINKAT = 39, "5.15";
        /// Posts a completion to another ring, or sends it a registered file.
        MSG_RING = 40, "5.18";
        /// `fsetxattr(2)`.
        FSETXATTR = 41, "5.19";
        /// `setxattr(2)`.
        SETXATTR = 42, "5.19";
        /// `fgetxattr(2)`.
        FGETXATTR = 43, "5.19";
        /// `getxattr(2)`.
        GETXATTR = 44, "5.19";
        /// `socket(2)`.
        SOCKET = 45, "5.19";
        /// A command of a driver, or of sockets ([`SocketCommand`](super::SocketCommand)).
        URING_CMD = 46, "5.19";
        /// `send(2)` without a copy of the data; a notification says when the buffer is free.
        SEND_ZC = 47, "6.0";
        /// `sendmsg(2)` without a copy of the data; a notification says when the buffers are free.
        SENDMSG_ZC = 48, "6.1";
        /// Reads into provided buffers, again and again.
        READ_MULTISHOT = 49, "6.7";
        /// `waitid(2)`.
        WAITID = 50, "6.7";
        /// `futex(2)`: waits.
        FUTEX_WAIT = 51, "6.7";
        /// `futex(2)`: wakes.
        FUTEX_WAKE = 52, "6.7";
        /// `futex_waitv(2)`: waits for one of several.
        FUTEX_WAITV = 53, "6.7";
        /// Makes a descriptor of a registered file.
        FIXED_FD_INSTALL = 54, "6.8";
        /// `ftruncate(2)`.
        FTRUNCATE = 55, "6.9";
        /// `bind(2)`.
        BIND = 56, "6.11";
        /// `listen(2)`.
        LISTEN = 57, "6.11";
        /// Receives without a copy, from a registered receive queue.
        RECV_ZC = 58, "6.15";
        /// `epoll_wait(2)`.
        EPOLL_WAIT = 59, "6.15";
        /// `preadv2(2)` into a registered buffer.
        READV_FIXED = 60, "6.15";
        /// `pwritev2(2)` from a registered buffer.
        WRITEV_FIXED = 61, "6.15";
        /// `pipe2(2)`.
        PIPE = 62, "6.16";
        /// Does nothing, with a submission of 128 bytes.
        NOP128 = 63, "6.19";
        /// As `URING_CMD`, with a submission of 128 bytes.
        URING_CMD128 = 64, "6.19";
    }
}
