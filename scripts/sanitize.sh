#!/usr/bin/env bash
# The tests of rust/segs-core under AddressSanitizer: reads and writes outside of buffers, use after free, leaks.
#
#   scripts/sanitize.sh [--build-dir DIR] [ARGUMENT OF THE TESTS ...]
#
# Needs x86-64 Linux and a Rust toolchain; RUSTC_BOOTSTRAP lets the stable compiler take the sanitizer's option. Builds in
# DIR, by default a temporary folder. Nothing is written into the checkout.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CARGO_TARGET_DIR="$work/target"
if [ "${1:-}" = --build-dir ]; then
  CARGO_TARGET_DIR=$(realpath -m "$2")
  shift 2
fi

# The pool lives as long as its process: its threads and their queues are never freed.
echo 'leak:segs_core::parallel::pool' >"$work/suppressions"
export LSAN_OPTIONS="suppressions=$work/suppressions:print_suppressions=0"
export ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1:strict_init_order=1"
# A case that fails is printed, not noted beside the sources.
export PROPTEST_DISABLE_FAILURE_PERSISTENCE=1
# Frames of the program have names in reports; debug assertions and overflow checks stay on, as in any test build.
export RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address -Cforce-frame-pointers=yes" CARGO_PROFILE_TEST_DEBUG=line-tables-only

# A target is named so that the flags are not those of build scripts.
cargo test --locked --package segs-core --target x86_64-unknown-linux-gnu --lib -- "$@"
