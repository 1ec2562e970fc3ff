"""Tables of pages about speed, memory and reliability, from benchmarks/results/."""

from __future__ import annotations

from typing import Any

from benchmarks.clips import table
from benchmarks.report.results import result
from benchmarks.robustness.killed_workers import report as killed_workers_report
from benchmarks.speed.compare import report as compare_report
from benchmarks.speed.cpu_contention import report
from benchmarks.speed.entropy import report as entropy_report
from benchmarks.speed.many_videos import report as many_videos_report
from benchmarks.speed.parallel_clips import report as parallel_report
from benchmarks.speed.reading import report as reading_report
from benchmarks.speed.training_data import report as training_data_report


def compare() -> str:
    """Speed of two checkouts."""
    found = result("compare")
    return _checkouts(found) + compare_report(found)


def entropy() -> str:
    """Speed of the entropy coding of two checkouts."""
    found = result("entropy")
    return _checkouts(found) + entropy_report(found)


def _checkouts(found: dict[str, Any]) -> str:
    """The line above a table of two checkouts."""
    before, now = found["checkouts"]
    cpus = f", {found['cpus']} CPUs" if "cpus" in found else ""  # none where CPU time is measured
    return f"{found['processor']}{cpus}; {before} and {now}.\n\n"


def parallel_clips() -> str:
    """Speed of several clips at the same time."""
    found = result("parallel_clips")
    return f"{found['processor']}, {found['cpus']} CPUs.\n\n" + parallel_report(found)


def reading() -> str:
    """Windows of latents that training can read per second."""
    return reading_report(result("reading"))


def training_data() -> str:
    """Bytes and clips per second of training data in several files."""
    return training_data_report(result("training_data"))


def killed_workers() -> str:
    """Kills of workers on a list of videos."""
    return killed_workers_report(result("killed_workers"))


def many_videos() -> str:
    """CPU time and bytes of a million videos."""
    return many_videos_report(result("many_videos"))


def speed() -> str:
    """Return the table of frames per second and peak memory of encode and decode."""
    found = result("speed")
    rows = []
    for row in found["rows"]:
        cells = [row["model"], row["dtype"], row["size"]]
        for stage in ("encode", "decode"):
            times = row.get(f"{stage}_times_published")
            cells += [
                f"{row[f'{stage}_file_fps']:.1f}",
                f"{row[f'{stage}_network_fps']:.1f}",
                f"{times:.0f}×" if times else "",
            ]
            cells.append(f"{row[f'{stage}_peak_mb']} MB")
        rows.append(cells)
    head = ["model", "precision", "size"]
    for stage in ("encode", "decode"):
        head += [f"{stage}, frames/s", "in the network", "over dfc-170m", "peak"]
    return f"{found['processor']}, {found['threads']} threads, 8 of 32 kept.\n\n{table(head, rows)}"


def memory() -> str:
    """Peak memory by length and by picture size."""
    rows = []
    for name in ("memory", "memory_large"):
        found = result(name)
        for row in found["rows"]:
            seconds, cells = f"{row['seconds']} s", [f"{row[f'{stage}_mb']:.0f} MB" for stage in ("encode", "decode")]
            rows.append((row["size"].replace("x", "×"), seconds, row["frames"], f"`{found['options']}`", *cells))
    return table(("size", "video", "frames", "options", "encode, peak", "decode, peak"), rows)


def pipeline() -> str:
    """Return the table of the share of time that each stage of an encode and a decode takes."""
    found = result("pipeline")
    stages = ("read", "waits", "network", "motion", "entropy", "write")
    rows = [
        (r["run"], f"{r['fps']:.2f}", *(f"{r['shares'][s]:.1%}" if s in r["shares"] else "" for s in stages))
        for r in found["rows"]
    ]
    head = ("run", "frames/s", *stages)
    return f"{found['size']}, {found['frames']} frames, {found['threads']} thread(s).\n\n{table(head, rows)}"


def busy() -> str:
    """Seconds of complete processes while another program runs."""
    return report(result("busy")["rows"])
