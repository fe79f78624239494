#!/usr/bin/env bash
# Judges the copy example from outside: what it copies, how it fails, what it leaves behind.
#
#   runtime-tests/copy.sh [--full] [equal] [refuses] [killed] [full] [time]
#
# No name means all of them. --full copies 2 GiB where otherwise 64 MiB do. `full` needs the right
# to mount a small tmpfs. TMPDIR says where the files go; COPY names another program to judge.
set -euo pipefail
cd "$(dirname "$0")/.."

mebibytes=64
if [[ ${1-} == --full ]]; then
    mebibytes=2048
    shift
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

fail() {
    echo "error: $1"
    return 1
}

# The big source, made once.
source_file() {
    [[ -e $work/source ]] || head -c "${mebibytes}M" /dev/urandom >"$work/source"
}

# $1: a folder; the rest: the names that it must hold and no others, in order of the alphabet.
holds() {
    local folder=$1
    shift
    [[ $(ls -A "$folder") == "$(printf '%s\n' "$@")" ]] ||
        fail "$folder holds $(ls -A "$folder" | tr '\n' ' ')and not: $*"
}

copy_equal() {
    local size from=$work/equal/from to=$work/equal/to
    mkdir "$work/equal"
    for size in 0 1 4095 4096 1048577; do
        head -c "$size" /dev/urandom >"$from"
        "$copy" "$from" "$to" >"$work/stdout"
        cmp "$from" "$to"
    done
    source_file
    ln -f "$work/source" "$from"
    chmod 640 "$from"
    touch -d '2001-02-03 04:05:06.789' "$from"
    "$copy" "$from" "$to" >"$work/stdout"
    cmp "$from" "$to"
    [[ $(stat -c '%a %y' "$from") == "$(stat -c '%a %y' "$to")" ]] ||
        fail "mode or time differ: $(stat -c '%a %y' "$from" "$to" | tr '\n' ' ')"
    holds "$work/equal" from to
    echo "6 sizes up to $mebibytes MiB: equal, with mode and time of modification"
}

# $1: what it is about; the rest: arguments that must be refused with a reason and status 1.
refused() {
    local about=$1 result=0
    shift
    "$copy" "$@" >"$work/stdout" 2>"$work/stderr" || result=$?
    ((result == 1)) || fail "$about: exit status $result, $(cat "$work/stderr")"
    [[ -s $work/stderr ]] || fail "$about: no reason on stderr"
    ! grep -q panicked "$work/stderr" || fail "$about: a panic, $(cat "$work/stderr")"
    echo "$about: $(head -1 "$work/stderr")"
}

copy_refuses() {
    local folder=$work/refuses
    mkdir -p "$folder/directory"
    echo content >"$folder/file"
    ln "$folder/file" "$folder/hard-link"
    ln -s file "$folder/link"
    refused "no such source" "$folder/absent" "$folder/to"
    refused "a directory as source" "$folder/directory" "$folder/to"
    refused "no such folder" "$folder/file" "$folder/absent/to"
    refused "a file as folder" "$folder/file" "$folder/hard-link/to"
    refused "onto itself" "$folder/file" "$folder/file"
    refused "onto itself, through a hard link" "$folder/file" "$folder/hard-link"
    refused "onto itself, through a symbolic link" "$folder/file" "$folder/link"
    if ((EUID != 0)); then
        (umask 777 && : >"$folder/secret")
        refused "an unreadable source" "$folder/secret" "$folder/to"
        rm -f "$folder/secret"
    fi
    [[ $(cat "$folder/file") == content ]] || fail "the source has changed"
    holds "$folder" directory file hard-link link
    holds "$folder/directory"
}

# Killed at many moments: the destination is the old one or complete, never a part.
copy_killed() {
    local folder=$work/killed pid midway=0 result
    source_file
    mkdir "$folder"
    for moment in 01 02 03 05 08 12 20 30 50 80; do
        echo old >"$folder/to"
        "$copy" "$work/source" "$folder/to" >"$work/stdout" 2>&1 &
        pid=$!
        sleep "0.$moment"
        kill -KILL "$pid" 2>/dev/null || true
        result=0
        wait "$pid" 2>/dev/null || result=$?
        if [[ $(head -c 4 "$folder/to") == old && $(stat -c %s "$folder/to") == 4 ]]; then
            ((result == 0)) || midway=$((midway + 1))
        else
            cmp "$work/source" "$folder/to"
        fi
    done
    "$copy" "$work/source" "$folder/to" >"$work/stdout"
    cmp "$work/source" "$folder/to"
    holds "$folder" to
    ((midway > 0)) || echo "skipped, because it was always done before the signal came"
    echo "killed before the end $midway times of 10; the next run left only the destination"
}

# A destination without room: status 1, the old destination kept, nothing left.
copy_full() {
    local mount=$work/mount
    mkdir "$mount"
    if ! unshare --mount mount -t tmpfs -o size=8m none "$mount" 2>"$work/stderr"; then
        echo "skipped, because a tmpfs cannot be mounted here: $(cat "$work/stderr")"
        return 0
    fi
    source_file
    # The mount lives and dies with this shell's namespace. What it needs of this script comes along.
    export copy work mount
    export -f refused holds fail
    unshare --mount bash -euo pipefail -c '
        mount -t tmpfs -o size=8m none "$mount"
        refused "no room" "$work/source" "$mount/to"
        holds "$mount"
        echo old >"$mount/to"
        refused "no room, over an old file" "$work/source" "$mount/to"
        holds "$mount" to
        [[ $(cat "$mount/to") == old ]] || fail "the old file has changed"
    '
}

# Prints the best of five each, in turns; asserts nothing.
copy_time() {
    local folder=$work/time round start took best_own=999999999 best_cp=999999999
    source_file
    mkdir "$folder"
    for round in 1 2 3 4 5; do
        rm -f "$folder"/*
        start=$(date +%s%N)
        "$copy" "$work/source" "$folder/own" >"$work/stdout"
        took=$((($(date +%s%N) - start) / 1000))
        ((took >= best_own)) || best_own=$took
        rm -f "$folder"/*
        start=$(date +%s%N)
        cp "$work/source" "$folder/cp"
        took=$((($(date +%s%N) - start) / 1000))
        ((took >= best_cp)) || best_cp=$took
    done
    awk -v own="$best_own" -v cp="$best_cp" -v size="$mebibytes" 'BEGIN {
        printf "%d MiB, best of 5: %.3f s, cp %.3f s, ratio %.2f\n", size, own / 1e6, cp / 1e6, own / cp
    }'
}

if [[ -n ${COPY-} ]]; then
    copy=$COPY
else
    cargo build --release --example copy
    copy=${CARGO_TARGET_DIR:-target}/release/examples/copy
fi
tests=("$@")
((${#tests[@]})) || tests=(equal refuses killed full time)
for name in "${tests[@]}"; do
    echo "== copy: $name"
    declare -F "copy_$name" >/dev/null || { echo "error: no test of this name"; exit 2; }
    # A subshell with errexit of its own: one failing test must not hide the next.
    set +e
    (set -e; "copy_$name")
    result=$?
    set -e
    ((result == 0)) || { echo "FAILED: $name"; failures=$((failures + 1)); }
done
echo "copy: $((${#tests[@]} - failures)) passed, $failures failed"
((failures == 0))
