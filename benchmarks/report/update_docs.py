"""Write the figures of README.md and docs/mini.md from benchmarks/results/, between their markers.

    python -m benchmarks.report.update_docs

A page has markers `<!-- figures: NAME -->` and `<!-- end -->`; NAME is a function of `quality_tables` or
`speed_tables`. A missing result is an error, because pages state only measured figures. If a result was measured with
other weights than the package's, or with an earlier default coding, a note below the table says so until its script is
run again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from benchmarks.report import quality_tables as quality
from benchmarks.report import speed_tables as speed
from benchmarks.report.results import forget, notes

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    ROOT / "README.md",
    *(
        ROOT / "docs" / f"{name}.md"
        for name in ("mini", "mini-dit", "mini-sharp", "encoding", "performance", "latents", "many", "training")
    ),
)


def block(name: str) -> str:
    """Return the figures of a marker, with notes about weights and coding."""
    forget()
    return BLOCKS[name]() + notes()


BLOCKS: dict[str, Callable[[], str]] = {
    f.__name__: f
    for f in (
        quality.budgets,
        quality.bernoulli,
        quality.floor,
        quality.selection,
        quality.coding,
        quality.bd_rates,
        quality.large,
        quality.trim,
        quality.motion,
        quality.blend,
        quality.mtc,
        quality.ablation,
        quality.rate_control,
        quality.generate,
        quality.segments,
        quality.looks,
        quality.vae_latents,
        quality.seams,
        quality.tiles,
        quality.flow_loss,
        speed.compare,
        speed.entropy,
        speed.parallel_clips,
        speed.reading,
        speed.training_data,
        speed.killed_workers,
        speed.many_videos,
        speed.speed,
        speed.memory,
        speed.pipeline,
        speed.busy,
    )
}


def _filled(match: re.Match[str]) -> str:
    return f"<!-- figures: {match[1]} -->\n\n{block(match[1])}\n\n<!-- end -->"


def main() -> None:
    for page in PAGES:
        text = page.read_text()
        names = re.findall(r"<!-- figures: (\w+) -->", text)
        page.write_text(re.sub(r"<!-- figures: (\w+) -->.*?<!-- end -->", _filled, text, flags=re.DOTALL))
        print(f"{page.relative_to(ROOT)}: {', '.join(names)}")


if __name__ == "__main__":
    main()
