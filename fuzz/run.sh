#!/usr/bin/env bash
# Fuzzes every target of fuzz/corpus with the stable toolchain, as many at a time as there are cores.
#
# usage: fuzz/run.sh [SECONDSs | EXECUTIONS]
#
#   fuzz/run.sh 30s         30 seconds for each target, as in .ci/run (the default)
#   fuzz/run.sh 10000000    10 million executions in all
#
# New inputs go to target/fuzz/corpus, and inputs that crash to target/fuzz/crashes. To repeat a crash, give its file:
#   FUZZ_TARGET=<target> target/fuzz/release/fuzz <file>
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mapfile -t targets < <(ls fuzz/corpus)
amount=${1:-30s}
case $amount in
*s) limit=-max_total_time=${amount%s} ;;
*) limit=-runs=$(((amount + ${#targets[@]} - 1) / ${#targets[@]})) ;;
esac

# The flags of cargo-fuzz without a sanitizer, which would need the nightly toolchain. With --target they are not used
# for build scripts and macros.
host=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR=target/fuzz CARGO_INCREMENTAL=0
RUSTFLAGS="-Cpasses=sancov-module -Ccodegen-units=1 -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares" \
    cargo build --quiet --release --locked --manifest-path fuzz/Cargo.toml --target "$host"
ln -sf "../$host/release/fuzz" target/fuzz/release/fuzz

mkdir -p target/fuzz/logs target/fuzz/crashes
fuzz() {
    mkdir -p "target/fuzz/corpus/$1"
    FUZZ_TARGET=$1 target/fuzz/release/fuzz "$2" -timeout=10 -rss_limit_mb=1024 -max_len=8192 -print_final_stats=1 \
        -artifact_prefix="target/fuzz/crashes/$1-" "target/fuzz/corpus/$1" "fuzz/corpus/$1" \
        >"target/fuzz/logs/$1" 2>&1 || { tail -n 40 "target/fuzz/logs/$1" >&2; return 255; }
}
export -f fuzz
printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I{} bash -c 'fuzz "$@"' bash {} "$limit"

total=0
for target in "${targets[@]}"; do
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "target/fuzz/logs/$target")
    [ "$runs" -gt 0 ] || { echo "fuzz/run.sh: $target: no executions" >&2; exit 1; }
    printf '%-20s %10d\n' "$target" "$runs"
    total=$((total + runs))
done
printf '%-20s %10d executions, 0 crashes\n' all "$total"
