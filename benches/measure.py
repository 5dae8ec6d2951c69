"""Running, timing and comparing programs; result tables."""

import os
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
MIB = 1 << 20


@dataclass
class Run:
    """One run: wall-clock seconds; from `timed` also peak memory in MiB and CPU seconds."""

    seconds: float
    rss_mib: float = 0.0
    cpu_seconds: float = 0.0


def timed(argv, env=None, stdout=subprocess.DEVNULL):
    """Runs a program under /usr/bin/time."""
    with tempfile.NamedTemporaryFile("r") as report, tempfile.TemporaryFile("w+") as errors:
        command = ["/usr/bin/time", "-q", "-f", "%M %U %S", "-o", report.name, *argv]
        start = time.perf_counter()
        status = subprocess.run(command, env=env, stdout=stdout, stderr=errors).returncode
        seconds = time.perf_counter() - start
        if status != 0:
            errors.seek(0)
            raise SystemExit(f"bench: {argv[0]} {argv[1:]}: exit {status}:\n{errors.read()}")
        kib, user, system = report.read().split()
        return Run(seconds, int(kib) / 1024, float(user) + float(system))


def clocked(action):
    """Times a Python function."""
    start = time.perf_counter()
    action()
    return Run(time.perf_counter() - start)


def interleaved(contestants, rounds=ROUNDS):
    """Runs each of {name: function(round) -> Run} in turn, `rounds` times after one uncounted warm-up."""
    runs = {name: [] for name in contestants}
    for i in range(rounds + 1):
        for name, contestant in contestants.items():
            run = contestant(i)
            print(f"  {'warm-up' if i == 0 else f'{i}/{rounds}'}  {run.seconds:8.3f} s  {name}", flush=True)
            if i > 0:
                runs[name].append(run)
    return runs


def seconds(runs):
    """Returns min / median / max of the wall-clock time."""
    values = [run.seconds for run in runs]
    return f"{min(values):.2f} / {statistics.median(values):.2f} / {max(values):.2f}"


def rate(runs, size):
    """Returns the median rate in MB/s for `size` bytes."""
    return f"{size / statistics.median(run.seconds for run in runs) / 1e6:.0f}"


def ratio(runs, to):
    """Returns the ratio within each round, because all runs of a round see the same load on the machine."""
    values = [run.seconds / other.seconds for run, other in zip(runs, to, strict=True)]
    return f"**{statistics.median(values):.2f}** ({min(values):.2f}–{max(values):.2f})"


def peak(runs):
    """Returns the largest peak memory, in MiB."""
    return f"{max(run.rss_mib for run in runs):.1f}" if any(run.rss_mib for run in runs) else ""


def cpu(runs):
    """Returns the median CPU time, in seconds."""
    return f"{statistics.median(run.cpu_seconds for run in runs):.2f}" if any(run.cpu_seconds for run in runs) else ""


def table(header, rows):
    """Returns a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
