"""Runs stages of the benchmark and writes RESULTS.md. benches/run.sh prepares the programs and describes the stages."""

import datetime
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

from measure import ROUNDS
from stages import STAGES, TOOL

RESULTS = pathlib.Path(__file__).resolve().parent / "RESULTS.md"
BY_DEFAULT = ["vault", "synthetic", "decrypt", "prune", "start"]


def conditions():
    """Returns date, hardware and program versions, without anything that identifies the machine."""

    def first_line(*argv):
        text = subprocess.run(argv, capture_output=True, text=True).stdout
        return text.splitlines()[0] if text else ""

    def version(name, *argv):
        found = re.search(r"v?(\d+(\.\d+)+\S*)", first_line(*argv)) if shutil.which(argv[0]) else None
        return f"{name} {found[1]}" if found else None

    cpus = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    programs = [
        version("vault-backup", TOOL, "--version"),
        version("Vault", os.environ["VAULT_BIN"], "-version"),
        version("versitygw", "versitygw", "--version"),
        version("curl", "curl", "--version"),
        version("OpenSSL", "openssl", "version"),
        version("aws-cli", "aws", "--version"),
        version("age", "age", "--version"),
    ]
    machine = f"{os.cpu_count()} cores" + (f" ({cpus[1]})" if cpus else "")
    day = datetime.datetime.now(datetime.UTC).date()
    return f"{day}; {machine}; {', '.join(p for p in programs if p)}; {ROUNDS} interleaved rounds after a warm-up."


def write(name, stage, text):
    """Replaces the stage's section of RESULTS.md."""
    intro = "# Benchmark results\n\nWritten by `benches/run.sh`, which describes each stage. Ratios are\n"
    intro += "computed within each round: the median, and in brackets the smallest and the largest.\n\n"
    old = RESULTS.read_text() if RESULTS.exists() else ""
    sections = dict(re.findall(r"^## (\w+):(.*?)(?=^## |\Z)", old, re.M | re.S))
    sections[name] = f" {stage.__doc__}\n\n{text}\n\n{conditions()}\n\n"
    body = "".join(f"## {n}:{sections[n].rstrip()}\n\n" for n in STAGES if n in sections)
    RESULTS.write_text((intro + body).rstrip() + "\n")
    print(f"\n{text}\n", flush=True)


def main():
    names = sys.argv[1:] or BY_DEFAULT
    if unknown := [name for name in names if name not in STAGES]:
        sys.exit(f"bench: unknown stage {unknown[0]}; stages: {', '.join(STAGES)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for name in names:
        print(f"{name}: {STAGES[name].__doc__}", flush=True)
        with tempfile.TemporaryDirectory(prefix="vault-backup-bench-", dir=os.environ.get("BENCH_DIR")) as directory:
            write(name, STAGES[name], STAGES[name](pathlib.Path(directory)))


if __name__ == "__main__":
    main()
