# Reads what `ctest --verbose` prints of programs that speak TAP and prints "<passed> <failed>".
# What a failed program said goes to stderr. A program that ended badly without failing a test (a
# crash), or well without running one, counts as one failed test. A skipped test counts as neither.

match($0, /^[0-9]+: /) {
  number = substr($0, 1, RLENGTH - 2) + 0
  line = substr($0, RLENGTH + 1)
  if (line ~ /^(not )?ok [0-9]+ # SKIP/) skipped[number]++
  else if (line ~ /^ok [0-9]/) passed[number]++
  else if (line ~ /^not ok [0-9]/) failed[number]++
  said[number] = said[number] line "\n"
}

# "3/10 Test  #3: unit/base/buf ......   Passed    0.01 sec"
match($0, /^ *[0-9]+\/[0-9]+ Test +#[0-9]+: /) {
  number = substr($0, 1, RLENGTH - 2)
  sub(/.*#/, "", number)
  number += 0
  ended[number] = $0
}

END {
  for (number in ended) {
    if (ended[number] !~ /   Passed /) {
      if (!failed[number]) failed[number] = 1
    } else if (!passed[number] && !skipped[number]) {
      failed[number]++
    }
    total_passed += passed[number]
    total_failed += failed[number]
    if (failed[number]) printf "%s\n%s\n", ended[number], said[number] > "/dev/stderr"
  }
  print total_passed + 0, total_failed + 0
}
