#!/usr/bin/env bash
# Drives the echo example with a client that is not ours, and with strace.
#
#   runtime-tests/echo.sh [--full] [load] [idle] [hostile] [crowd] [syscalls]
#
# No name means all of them. --full takes the sizes the project promises: 1,000 connections with
# 1,000 messages each, and 8,000 idle connections. Needs python3; `syscalls` needs strace too.
# ECHO_SERVER names another server to drive: a program that takes `--listen ADDR` and prints the
# address it got as the last word of its first line.
set -euo pipefail
cd "$(dirname "$0")/.."

connections=200 messages=50 idle=1000
if [[ ${1-} == --full ]]; then
    connections=1000 messages=1000 idle=8000
    shift
fi
client=runtime-tests/echo_client.py
work=$(mktemp -d)
server_pid=
failures=0

end_server() {
    if [[ -n $server_pid ]]; then
        kill "$server_pid" 2>/dev/null || true
        wait "$server_pid" 2>/dev/null || true
        server_pid=
    fi
}
trap 'end_server; rm -rf "$work"' EXIT

# Starts a fresh server, so that no test sees the heap of another. $1: its limit of descriptors.
start_server() {
    # Before the server runs: what the last one wrote must not pass for its address.
    : >"$work/stdout"
    (
        ulimit -n "$1"
        exec "$server" --listen 127.0.0.1:0
    ) >"$work/stdout" 2>"$work/stderr" &
    server_pid=$!
    for _ in {1..100}; do
        addr=$(awk 'NR == 1 { print $NF }' "$work/stdout")
        [[ -z $addr ]] || return 0
        sleep 0.1
    done
    echo "error: $server printed no address"
    cat "$work/stderr"
    exit 1
}

# Runs the client against the server, and checks that the server is still there afterwards.
client() {
    python3 "$client" --addr "$addr" --server-pid "$server_pid" "$@" | tee "$work/client"
    kill -0 "$server_pid" || fail "the server has ended: $(cat "$work/stderr")"
}

fail() {
    echo "error: $1"
    return 1
}

echo_load() {
    start_server "$descriptors"
    client --connections "$connections" --messages "$messages"
    grep -q '^server threads: 1 ' "$work/client" || fail "the server has more than one thread"
}

echo_idle() {
    if ((descriptors < idle + 100)); then
        echo "skipped, because $idle connections do not fit the limit of $descriptors descriptors"
        return 0
    fi
    start_server "$descriptors"
    client --idle "$idle"
}

echo_hostile() {
    start_server "$descriptors"
    client --hostile
}

# A server out of descriptors (EMFILE, accept(2)) is to wait until a client leaves.
echo_crowd() {
    start_server 64
    client --crowd 150
}

# With one message at a time on each of 64 connections, the ring's enter is the only call of the
# hot path, and serves several echoes at once.
echo_syscalls() {
    local rounds=300 tracer echoes
    if ! command -v strace >/dev/null; then
        echo "skipped, because strace is not installed"
        return 0
    fi
    start_server "$descriptors"
    strace -c -f -o "$work/calls" -p "$server_pid" 2>"$work/strace" &
    tracer=$!
    for _ in {1..50}; do
        grep -q attached "$work/strace" && break
        if ! kill -0 "$tracer" 2>/dev/null; then
            echo "skipped, because strace may not attach: $(cat "$work/strace")"
            return 0
        fi
        sleep 0.1
    done
    client --connections 64 --messages "$rounds" --min 64 --max 64 --window 0
    kill -INT "$tracer"
    wait "$tracer" || true
    head -12 "$work/calls"
    echoes=$((64 * rounds))
    # Columns: % time, seconds, usecs/call, calls, perhaps errors, name. Opening and closing a
    # connection may take calls of its own; ten for each are allowed.
    awk -v echoes="$echoes" '
        $NF == "total" || $4 !~ /^[0-9]+$/ { next }
        $NF == "io_uring_enter" { enters += $4; next }
        { others += $4 }
        END {
            printf "%d echoes: %d io_uring_enter, %d other calls, %.3f calls per echo\n",
                echoes, enters, others, (enters + others) / echoes
            if (enters == 0 || enters + others >= echoes) { print "error: a call or more an echo"; exit 1 }
            if (others > 64 * 10 + 100) { print "error: other calls on the hot path"; exit 1 }
        }' "$work/calls"
}

descriptors=$(ulimit -Hn)
if [[ -n ${ECHO_SERVER-} ]]; then
    server=$ECHO_SERVER
else
    cargo build --release --example echo
    server=${CARGO_TARGET_DIR:-target}/release/examples/echo
fi
tests=("$@")
((${#tests[@]})) || tests=(load idle hostile crowd syscalls)
for name in "${tests[@]}"; do
    echo "== echo: $name"
    declare -F "echo_$name" >/dev/null || { echo "error: no test of this name"; exit 2; }
    # A subshell with errexit of its own: one failing test must not hide the next.
    set +e
    (set -e; trap end_server EXIT; "echo_$name")
    result=$?
    set -e
    ((result == 0)) || { echo "FAILED: $name"; failures=$((failures + 1)); }
done
echo "echo: $((${#tests[@]} - failures)) passed, $failures failed"
((failures == 0))
