"""The page of `dfc inspect --html`. Imports torch only for pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dfccodec.cli import common

if TYPE_CHECKING:
    from dfccodec.container.scan import Summary
    from dfccodec.report.page_pictures import PagePictures


@dataclass(frozen=True)
class Loading:
    """How the model of the pictures is loaded; see `dfc.load_model`. No name is that of the file."""

    model: str
    device: str
    dtype: str


def write(source: str, target: str, loading: Loading | None, quiet: bool) -> Summary:
    """Write the page of a file; return its summary.

    Args:
        source: name of the file; `-` is standard input.
        target: name of the page.
        loading: how to load the model for pictures; None for a page without pictures.
        quiet: show no progress.

    Raises:
        InputError: the file cannot be read.
        DamagedError: header, model or steps are unreadable, or pictures are wanted and a clip is damaged.
        ModelError: pictures are wanted and the model is missing.
    """
    from dfccodec.edit.random_access import DfcFile
    from dfccodec.report.html_page import write_page
    from dfccodec.report.page_data import inspect_data
    from dfccodec.report.video_facts import dfc_facts

    with common.reading(source) as stream, DfcFile(stream if source != "-" else stream.read()) as file:
        summary = file.summary
        with common.progress("bits of frames", file.frames, quiet) as advance:
            facts = dfc_facts(file, advance)
    pictures = _pictures(source, summary, loading, quiet) if loading else None
    notes = [f"damaged at byte {damage.offset}: {damage.reason}" for damage in summary.damage]
    notes += [pictures.note()] if pictures else ["no pictures: dfc inspect --html --pictures decodes them"]
    name = "standard input" if source == "-" else Path(source).name
    data = inspect_data(
        name, summary, facts, pictures.numbers if pictures else (), notes, common.command_line()
    )  # fmt: skip
    with common.writing(target) as out:
        write_page(out, data, pictures.rows if pictures else ())
    return summary


def _pictures(source: str, summary: Summary, loading: Loading, quiet: bool) -> PagePictures:
    """Decode the file and collect pictures of its frames."""
    from dfccodec.report.page_pictures import PagePictures
    from dfccodec.report.videos import ComparedVideo

    model = common.load_model_of(summary.preamble, loading.model or None, loading.device, loading.dtype, quiet)
    frames = sum(head.clip.frames for head in summary.clips)
    found = PagePictures(frames)
    with ComparedVideo(Path(source), model) as video, common.progress("decode", frames, quiet) as advance:
        for number, frame in enumerate(video):
            found.add([frame])
            advance(number + 1)
    return found
