#!/usr/bin/env bash
# The tests of rust/segs-core under valgrind's memcheck: use of values that were never set, which AddressSanitizer does not
# see, and reads and writes outside of buffers.
#
#   scripts/valgrind.sh [--build-dir DIR] [ARGUMENT OF THE TESTS ...]
#
# Needs Linux, valgrind and a Rust toolchain. Runs the tests twice: with the code for AVX2, which valgrind emulates, and
# with the baseline's. PROPTEST_CASES (default 16) bounds the properties. Builds in DIR, by default a temporary folder.
# Nothing is written into the checkout.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CARGO_TARGET_DIR="$work/target"
if [ "${1:-}" = --build-dir ]; then
  CARGO_TARGET_DIR=$(realpath -m "$2")
  shift 2
fi
command -v valgrind >/dev/null || { echo "valgrind is not installed" >&2; exit 1; }

export PROPTEST_CASES="${PROPTEST_CASES:-16}" PROPTEST_DISABLE_FAILURE_PERSISTENCE=1 CARGO_PROFILE_TEST_DEBUG=line-tables-only
# Two threads: valgrind runs one at a time, and a pool of many only waits.
export SEGS_DETAILER_NUM_THREADS=2

binary=$(cargo test --locked --package segs-core --lib --no-run --message-format json |
  sed -n 's/.*"executable":"\([^"]*segs_core[^"]*\)".*/\1/p' | tail -n 1)
[ -n "$binary" ] || { echo "cargo named no test binary" >&2; exit 1; }

for level in avx2 scalar; do
  printf '\n== %s\n' "$level"
  # The pool is never freed, so leaks are not asked for. --fair-sched: a thread that waits in a loop must not keep the others
  # from their turn.
  SEGS_DETAILER_CPU="$level" valgrind --quiet --error-exitcode=9 --leak-check=no --fair-sched=yes \
    "$binary" --test-threads 1 "$@"
done
