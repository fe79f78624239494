#!/usr/bin/env python3
"""A client for echo servers that shares no code with the server it judges.

Python 3.11, standard library only. Every mode exits with 1 on any mismatch or error.

  load (default)  many connections send random messages and compare what comes back
  --idle N        N connections that do nothing: the server's memory for each of them
  --hostile       clients that vanish, half-close or never read, beside ones that behave
  --crowd N       more clients than the server may have descriptors: all are served in turn
  --self-test     all of these against small servers in Python, some of which lie
"""

import argparse
import asyncio
import collections
import contextlib
import hashlib
import math
import os
import random
import resource
import socket
import struct
import sys
import time

POOL_BYTES = 1 << 20  # messages are slices of one random pool: making bytes must cost little
READ_BYTES = 32 << 10
WINDOW_BYTES = 256 << 10  # how far a writer may run ahead of its reader, when not told
CONNECTS_AT_ONCE = 128  # fewer than the usual listen backlog: an overflowing one costs seconds
FLOOD_CAP_BYTES = 64 << 20  # a server that takes more than this without an answer never pushes back


class EchoError(Exception):
    """The server did something an echo server must not do."""


# ---- Sockets


async def connect(addr, gate):
    """Connects one non-blocking socket; `gate` bounds how many try at once."""
    family = socket.AF_INET6 if ":" in addr[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        async with gate:
            await asyncio.get_running_loop().sock_connect(sock, addr)
    except BaseException:
        sock.close()
        raise
    return sock


def reset(sock):
    """Closes with RST instead of FIN: what a peer sees of a crashed host (socket(7), SO_LINGER)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


async def ping(sock, message):
    """One message there and back."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, message)
    got = bytearray()
    while len(got) < len(message):
        part = await loop.sock_recv(sock, len(message) - len(got))
        if not part:
            raise EchoError(f"end of stream after {len(got)} of {len(message)} bytes")
        got += part
    if got != message:
        raise EchoError(f"{len(message)} bytes came back changed")


# ---- Load


class Messages:
    """Seeded random messages: sizes of a given shape, contents from a random place of the pool."""

    def __init__(self, seed, smallest, largest, shape):
        self.pool = memoryview(random.Random(seed).randbytes(POOL_BYTES + largest))
        self.seed, self.smallest, self.largest, self.shape = seed, smallest, largest, shape

    def of(self, connection, count):
        rng = random.Random(self.seed * 1_000_003 + connection)
        low, high = math.log(self.smallest), math.log(self.largest + 1)
        for _ in range(count):
            if self.shape == "log":
                size = min(self.largest, int(math.exp(rng.uniform(low, high))))
            else:
                size = rng.randint(self.smallest, self.largest)
            start = rng.randrange(POOL_BYTES)
            yield self.pool[start : start + size]


class Conversation:
    """One connection: a writer and a reader at once, with the hashes of both directions."""

    def __init__(self, sock, window=WINDOW_BYTES):
        self.sock, self.window = sock, window
        self.loop = asyncio.get_running_loop()
        self.sent, self.received = 0, 0
        self.sent_hash, self.received_hash = hashlib.blake2b(), hashlib.blake2b()
        self.room = asyncio.Event()
        self.room.set()

    async def write(self, messages):
        for message in messages:
            while self.sent - self.received > self.window:
                self.room.clear()
                await self.room.wait()
            # Counted first: the reader may get the front back before the tail has been sent.
            self.sent += len(message)
            self.sent_hash.update(message)
            await self.loop.sock_sendall(self.sock, message)
        # Half-closing makes the end of the stream part of the test: no byte less, no byte more.
        self.sock.shutdown(socket.SHUT_WR)

    async def read(self):
        buffer = bytearray(READ_BYTES)
        view = memoryview(buffer)
        while count := await self.loop.sock_recv_into(self.sock, buffer):
            self.received += count
            self.received_hash.update(view[:count])
            self.room.set()

    async def run(self, messages):
        writing = asyncio.ensure_future(self.write(messages))
        reading = asyncio.ensure_future(self.read())
        try:
            # Whoever fails first, and a stream that ends before the writer has, ends both.
            await asyncio.wait({writing, reading}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done() and not writing.done() and reading.exception() is None:
                raise EchoError(f"end of stream after {self.received} bytes, still sending")
            await asyncio.gather(writing, reading)
        finally:
            for task in (writing, reading):
                task.cancel()
            await asyncio.gather(writing, reading, return_exceptions=True)
            self.sock.close()
        if self.sent != self.received:
            raise EchoError(f"sent {self.sent} bytes, {self.received} came back")
        if self.sent_hash.digest() != self.received_hash.digest():
            raise EchoError(f"{self.sent} bytes came back changed")


async def load(opts):
    """`connections` conversations at once. Returns the number of errors."""
    messages = Messages(opts.seed, opts.min, opts.max, opts.size_shape)
    gate = asyncio.Semaphore(CONNECTS_AT_ONCE)
    conversations, errors = [], []

    async def one(number):
        conversation = Conversation(await connect(opts.addr, gate), opts.window)
        conversations.append(conversation)
        await conversation.run(messages.of(number, opts.messages))

    started = time.monotonic()
    tasks = {asyncio.create_task(one(n), name=f"connection {n}") for n in range(opts.connections)}
    before = -1
    while tasks:
        done, tasks = await asyncio.wait(tasks, timeout=opts.stall)
        errors += [f"{t.get_name()}: {t.exception()!r}" for t in done if t.exception()]
        received = sum(c.received for c in conversations)
        if not done and received == before:
            errors += [f"{t.get_name()}: nothing for {opts.stall} s" for t in tasks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            break
        before = received
    took = time.monotonic() - started
    sent, received = (sum(getattr(c, way) for c in conversations) for way in ("sent", "received"))
    for line in sorted(errors)[:10]:
        print(f"error: {line}")
    print(
        f"load: {opts.connections} connections x {opts.messages} messages of "
        f"{opts.min}-{opts.max} B ({opts.size_shape}), seed {opts.seed}: sent {sent} B, "
        f"received {received} B, {len(errors)} errors, {took:.1f} s, "
        f"{received / took / 1e6:.0f} MB/s"
    )
    return len(errors)


# ---- What the server costs, from /proc (proc_pid_status(5))


def rss_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    raise EchoError(f"no VmRSS for process {pid}")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def threads(pid):
    """Threads by name: io_uring's workers (`iou-wrk-…`) are listed here too."""
    names = collections.Counter()
    for tid in os.listdir(f"/proc/{pid}/task"):
        # A thread may end while it is being looked at.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            with open(f"/proc/{pid}/task/{tid}/comm", encoding="utf-8", errors="replace") as comm:
                names[comm.read().strip()] += 1
    return names


class ThreadWatch:
    """The most threads that the server had at once while this was entered."""

    def __init__(self, pid):
        self.pid, self.most, self.watching = pid, collections.Counter(), None

    async def watch(self):
        while True:
            self.most = max(self.most, threads(self.pid), key=lambda names: names.total())
            await asyncio.sleep(0.05)

    async def __aenter__(self):
        if self.pid:
            self.watching = asyncio.create_task(self.watch())

    async def __aexit__(self, *_):
        if self.watching:
            self.watching.cancel()
            await asyncio.wait({self.watching})
            if not self.watching.cancelled():
                self.watching.result()
            names = ", ".join(f"{name} x {count}" for name, count in self.most.items())
            print(f"server threads: {self.most.total()} ({names})")


async def settled_rss(pid):
    """The resident size once it has stopped moving for half a second (at most ten)."""
    last = rss_bytes(pid)
    for _ in range(20):
        await asyncio.sleep(0.5)
        now = rss_bytes(pid)
        if now == last:
            break
        last = now
    return last


async def descriptors_return(pid, expected):
    """A closed client must cost no descriptor. Returns the number of errors."""
    if pid is None:
        return 0
    for _ in range(100):
        if descriptors(pid) <= expected:
            print(f"server descriptors: {expected} before, {descriptors(pid)} after")
            return 0
        await asyncio.sleep(0.1)
    print(f"error: server descriptors: {expected} before, {descriptors(pid)} after")
    return 1


# ---- Idle


async def idle(opts):
    pid, gate = opts.server_pid, asyncio.Semaphore(CONNECTS_AT_ONCE)
    # One client first: what the first connection sets up for good is not a cost of each.
    first = await connect(opts.addr, gate)
    await ping(first, b"first")
    fds = descriptors(pid) if pid else 0
    before = await settled_rss(pid) if pid else 0

    def report(when, rss):
        if pid:
            print(f"{when}: {rss} B resident, {(rss - before) / opts.idle:.0f} B per connection")

    report("before", before)
    started = time.monotonic()
    socks = await asyncio.gather(*(connect(opts.addr, gate) for _ in range(opts.idle)))
    print(f"idle: {len(socks)} connections after {time.monotonic() - started:.1f} s")
    if pid:
        # The kernel completes connections that the server has not accepted yet.
        for _ in range(100):
            if descriptors(pid) >= fds + opts.idle:
                break
            await asyncio.sleep(0.1)
        report("silent so far", await settled_rss(pid))
    errors = await pings(socks)
    if pid:
        report("after one echo each", await settled_rss(pid))
    errors += await pings(random.Random(opts.seed).sample(socks, min(100, len(socks))))
    errors += await pings([first])
    for sock in socks:
        sock.close()
    errors += await descriptors_return(pid, fds)
    if pid:
        report("after closing", await settled_rss(pid))
    first.close()
    print(f"idle: {errors} errors")
    return errors


async def pings(socks):
    """One echo on each socket, a hundred at a time. Returns the number of errors."""
    gate = asyncio.Semaphore(100)

    async def one(number, sock):
        async with gate, asyncio.timeout(30):
            await ping(sock, b"message %d" % number)

    results = await asyncio.gather(
        *(one(n, s) for n, s in enumerate(socks)), return_exceptions=True
    )
    bad = [r for r in results if r is not None]
    for error in bad[:5]:
        print(f"error: {error!r}")
    return len(bad)


# ---- Hostile


async def vanish(opts, gate, number):
    """Sends something, perhaps reads a little, and resets the connection."""
    sock = await connect(opts.addr, gate)
    loop = asyncio.get_running_loop()
    with contextlib.suppress(BlockingIOError):
        sock.send(random.Random(number).randbytes(1 + number * 997))
    if number % 3:
        await asyncio.sleep(0.005 * (number % 3))
    if number % 2:
        await loop.sock_recv(sock, 1)
    reset(sock)


async def half_close(opts, gate, size):
    """Sends `size` bytes, shuts its side down, and must still get all of them back."""
    conversation = Conversation(await connect(opts.addr, gate))
    data = memoryview(random.Random(size).randbytes(size))
    if size > WINDOW_BYTES:
        async with asyncio.timeout(30):
            await conversation.run(data[i : i + 65536] for i in range(0, size, 65536))
        return
    # Small enough to lie in socket buffers: read nothing before the half-close.
    async with asyncio.timeout(30):
        await conversation.write([data])
        await conversation.read()
    conversation.sock.close()
    if conversation.sent_hash.digest() != conversation.received_hash.digest():
        raise EchoError(f"half-close: {conversation.received} of {size} bytes came back right")


async def never_read(opts, gate):
    """Sends until the server has pushed back for half a second. Returns (socket, bytes)."""
    sock = await connect(opts.addr, gate)
    loop, chunk, sent = asyncio.get_running_loop(), bytes(65536), 0
    with contextlib.suppress(TimeoutError):
        while sent < FLOOD_CAP_BYTES:
            async with asyncio.timeout(0.5):
                await loop.sock_sendall(sock, chunk)
            sent += len(chunk)
    if sent >= FLOOD_CAP_BYTES:
        sock.close()
        raise EchoError(f"the server took {sent} bytes from a client that never reads")
    return sock, sent


async def hostile(opts):
    pid, count, gate = opts.server_pid, opts.clients, asyncio.Semaphore(CONNECTS_AT_ONCE)
    errors = 0

    async def part(name, coroutines):
        nonlocal errors
        results = await asyncio.gather(*coroutines, return_exceptions=True)
        bad = [r for r in results if isinstance(r, BaseException)]
        for error in bad[:5]:
            print(f"error: {name}: {error!r}")
        errors += len(bad)
        print(f"hostile: {name}: {len(results)} clients, {len(bad)} errors")
        return [r for r in results if not isinstance(r, BaseException)]

    async def behaves(number):
        messages = Messages(opts.seed, 1, 65536, "log").of(number, 50)
        async with asyncio.timeout(60):
            await Conversation(await connect(opts.addr, gate)).run(messages)

    await part("well-behaved, before", [behaves(n) for n in range(10)])
    fds = descriptors(pid) if pid else 0
    await part("vanish with a reset", [vanish(opts, gate, n) for n in range(count)])
    sizes = [0, 1, 1000, 65536, 200_000, 4_000_000]
    await part("half-close", [half_close(opts, gate, s) for s in sizes for _ in range(count // 6)])
    before = await settled_rss(pid) if pid else 0
    # A few at a time: a single-threaded client that floods with all starves its own timeouts.
    floods = []
    for start in range(0, count, 10):
        clients = range(start, min(start + 10, count))
        floods += await part("never read", [never_read(opts, gate) for _ in clients])
    print(f"hostile: never read: {sum(n for _, n in floods)} B taken before they were held")
    await part("well-behaved, meanwhile", [behaves(n) for n in range(10)])
    if pid and floods:
        growth = (await settled_rss(pid) - before) / len(floods)
        print(f"hostile: never read: the server grew {growth:.0f} B for each")
        if growth > opts.bound:
            print(f"error: more than the {opts.bound} B allowed for each")
            errors += 1
    for sock, _ in floods:
        sock.close()
    await part("well-behaved, after", [behaves(n) for n in range(10)])
    errors += await descriptors_return(pid, fds)
    print(f"hostile: {errors} errors")
    return errors


# ---- Crowd


async def crowd(opts):
    """Clients that each want one echo and stay for a while; the server cannot have all at once."""
    pid, gate = opts.server_pid, asyncio.Semaphore(CONNECTS_AT_ONCE)
    at_once, most = 0, 0

    async def one(number):
        nonlocal at_once, most
        sock = await connect(opts.addr, gate)
        async with asyncio.timeout(opts.stall):
            await ping(sock, b"client %d" % number)
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(1)
        at_once -= 1
        sock.close()

    cpu, started = cpu_seconds(pid) if pid else 0, time.monotonic()
    results = await asyncio.gather(*(one(n) for n in range(opts.crowd)), return_exceptions=True)
    bad = [r for r in results if r is not None]
    for error in bad[:5]:
        print(f"error: {error!r}")
    took = time.monotonic() - started
    busy = f", server busy for {cpu_seconds(pid) - cpu:.2f} s" if pid else ""
    print(f"crowd: {opts.crowd} clients, {most} at once, {len(bad)} errors, {took:.1f} s{busy}")
    return len(bad)


# ---- Command line


def address(text):
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT")
    return (host.strip("[]"), int(port))


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--addr", type=address, default=("127.0.0.1", 7000), metavar="HOST:PORT")
    parser.add_argument("--server-pid", type=int, metavar="PID", help="also read /proc/PID")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--messages", type=int, default=1000, help="of each connection")
    parser.add_argument("--min", type=int, default=1, help="smallest message, bytes")
    parser.add_argument("--max", type=int, default=65536, help="largest message, bytes")
    parser.add_argument("--size-shape", choices=["log", "uniform"], default="log")
    parser.add_argument(
        "--window",
        type=int,
        default=WINDOW_BYTES,
        help="bytes of a connection under way at once; with 0, one message at a time",
    )
    parser.add_argument("--stall", type=float, default=60, help="seconds without progress")
    parser.add_argument("--clients", type=int, default=60, help="of each hostile kind")
    parser.add_argument(
        "--bound", type=int, default=131_072, help="server's bytes for a client that never reads"
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--idle", type=int, metavar="N")
    mode.add_argument("--hostile", action="store_true")
    mode.add_argument("--crowd", type=int, metavar="N")
    mode.add_argument("--self-test", action="store_true")
    opts = parser.parse_args()
    if not 1 <= opts.min <= opts.max:
        parser.error("--min must be at least 1 and at most --max")
    return opts


def main():
    opts = arguments()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if opts.self_test:
        test = os.path.join(os.path.dirname(os.path.abspath(__file__)), "echo_client_test.py")
        os.execv(sys.executable, [sys.executable, test])
    mode = idle if opts.idle else hostile if opts.hostile else crowd if opts.crowd else load

    async def watched():
        async with ThreadWatch(opts.server_pid):
            return await mode(opts)

    try:
        return 1 if asyncio.run(watched()) else 0
    except (OSError, EchoError) as error:
        print(f"error: {error!r}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
