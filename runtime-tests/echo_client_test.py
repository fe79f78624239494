#!/usr/bin/env python3
"""The test of echo_client.py: it must pass a good server, and notice every kind of bad one.

Without an argument runs the tests; with the name of a fault it is such a server.
"""

import asyncio
import contextlib
import os
import resource
import subprocess
import sys


async def serve(fault):
    """A small echo server that does one thing wrong after 20,000 bytes, unless `fault` is none."""

    async def talk(reader, writer):
        with contextlib.suppress(OSError):
            total = 0
            while data := bytearray(await reader.read(16384)):
                total += len(data)
                if fault == "flip" and total > 20_000:
                    data[-1] ^= 1
                if fault == "lose" and total > 20_000:
                    del data[-1]
                if fault == "hang" and total > 20_000:
                    await asyncio.sleep(3600)
                writer.write(data)
                if fault != "hoard":
                    await writer.drain()
                if fault == "cut" and total > 20_000:
                    break
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, backlog=1024)
    host, port = server.sockets[0].getsockname()[:2]
    print(f"listening on {host}:{port}", flush=True)
    await server.serve_forever()


SELF_TESTS = [
    # (fault of the server, arguments, what is to be printed)
    ("none", "--connections 100 --messages 50", "0 errors"),
    ("none", "--connections 20 --messages 20 --size-shape uniform", "0 errors"),
    ("none", "--idle 500", "0 errors"),
    ("none", "--hostile --clients 20 --bound 1000000", "0 errors"),
    ("none", "--crowd 50", "0 errors"),
    ("flip", "--connections 3", "bytes came back changed"),
    ("lose", "--connections 3", "came back')"),
    ("cut", "--connections 3", "3 errors"),
    ("hang", "--connections 3 --stall 2", "nothing for 2.0 s"),
    ("hoard", "--hostile --clients 3", "never reads"),
]


def self_test():
    here = os.path.dirname(os.path.abspath(__file__))
    client = os.path.join(here, "echo_client.py")
    failures = 0
    for fault, arguments, expected in SELF_TESTS:
        server = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), fault],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            addr = server.stdout.readline().split()[-1]
            pid = str(server.pid)
            command = [sys.executable, client, "--addr", addr, "--server-pid", pid]
            command += ["--messages", "100", *arguments.split()]
            result = subprocess.run(command, check=False, capture_output=True, text=True)
        finally:
            server.kill()
            server.wait()
        status = 0 if fault == "none" else 1
        passed = result.returncode == status and not result.stderr and expected in result.stdout
        failures += not passed
        print(f"{'ok' if passed else 'FAILED'}: server fault {fault}, {arguments}")
        if not passed:
            print(result.stdout + result.stderr)
    print(f"self-test: {len(SELF_TESTS) - failures} passed, {failures} failed")
    return failures


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(1 if self_test() else 0)
    hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(sys.argv[1]))
