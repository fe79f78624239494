# Reads what a kernel said while .ci/kernels-init ran the tests, and says how they went. Fails if a
# test failed, a program ended in another way than by passing, or the kernel did not come to the end.
#
# Our lines begin with "=== "; the kernel may have written something before that in the same line.

{ sub(/\r$/, ""); sub(/.*=== /, "=== ") }
/=== kernel / { kernel = $NF }
/=== begin / { program = $NF; test = ""; began++; passed_here = failed_here = ignored_here = 0 }

# libtest prints what a passed test wrote under its name.
/^---- .* stdout ----$/ { test = $2 }
/skipped, because / {
    reason = $0
    sub(/.*skipped, because /, "", reason)
    if (!skips[reason]++) reasons[++reason_count] = reason
    if (!said[program, test]++) tests_with_skips++
}

# The last one of a program is its own; a test may run the program again.
/test result: / {
    passed_here = failed_here = ignored_here = 0
    for (i = 2; i < NF; i++) {
        if ($(i + 1) ~ /^passed/) passed_here = $i
        if ($(i + 1) ~ /^failed/) failed_here = $i
        if ($(i + 1) ~ /^ignored/) ignored_here = $i
    }
    results[program] = 1
}
/^test .* \.\.\. FAILED/ { problem(program ": " $2 " failed") }
/has been running for over/ { slow[program] = slow[program] " " $2 }

# What a failed test wrote stands between these two, and the list of names after them.
/^failures:$/ {
    within = !within
    if (within) detail[++detail_count] = "--- " program
}
within { detail[++detail_count] = $0 }
/=== end / {
    ended++
    within = 0
    if ($4 == 0 || $4 == 101) {
        passed += passed_here
        failed += failed_here
        ignored += ignored_here
    }
    if ($4 == 137) problem(program ": killed after " $5 " s; long at it:" slow[program])
    else if ($4 != 0 && !(program in results)) problem(program ": ended with status " $4)
    times = times sprintf(" %s %d,", program, $5)
}
/=== complaint / { sub(/.*=== complaint /, ""); problem("the kernel said: " $0) }
/=== done/ { done = 1 }
{ last[NR % 20] = $0 }

function problem(text) { problems[++problem_count] = text }

END {
    if (!done) {
        if (took >= limit) problem("not done after " limit " s" (began > ended ? ", at " program : ""))
        else problem("ended early, QEMU with status " qemu (began > ended ? ", at " program : ""))
    } else if (ended != expected) problem(ended + 0 " of " expected " test programs ran")
    if (done && passed + failed == 0) problem("no test ran")

    for (i = 1; i <= detail_count; i++) print detail[i]
    if (!done) for (i = NR + 1; i <= NR + 20; i++) if (i % 20 in last) print "  | " last[i % 20]
    for (i = 1; i <= problem_count; i++) print "PROBLEM: " problems[i]
    for (i = 1; i <= reason_count; i++)
        print "skipped, because " reasons[i] " (" skips[reasons[i]] (skips[reasons[i]] == 1 ? " time)" : " times)")
    sub(/,$/, "", times)
    print "seconds in each:" times
    printf "=== %s (%s): %d passed, %d of them with something skipped, %d failed, %d ignored, %d s\n",
        version, kernel ? kernel : "never came up", passed, tests_with_skips, failed, ignored, took
    exit problem_count > 0 || failed > 0
}
