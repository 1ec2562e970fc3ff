"""The pages in headless Chromium: they load without network and errors, the divider moves, keys step."""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from chromium import Page, browser, find_chromium
from command import run
from support import moving_square, write_video

import dfccodec as dfc
from dfccodec.codec.loaded_model import LoadedModel

CHROMIUM = find_chromium()
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here: install it (apt-get install chromium) or name it in CHROMIUM"
)
FRAMES = moving_square(24, 96, 160)
PARTS = ("viewer", "time", "importance", "curves", "figures", "parts", "settings", "remarks")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, mini: LoadedModel) -> Path:
    """A page of a comparison with a coded and an inverted video, and a page of one file."""
    made = tmp_path_factory.mktemp("pages")
    write_video(made / "in.mkv", FRAMES, codec="ffv1")
    write_video(made / "inverted.mkv", 255 - FRAMES, codec="ffv1")
    dfc.encode(made / "in.mkv", made / "a.dfc", model=mini, budget="6", refine=0)
    videos = ("in.mkv", "a.dfc", "inverted.mkv")
    for command in (("compare", *videos, "--html", "compare.html"), ("inspect", "a.dfc", "--html", "inspect.html")):
        result = run(*command, *(["--metrics", "psnr"] if command[0] == "compare" else []), cwd=made)
        assert result.returncode == 0, result.stderr.decode()
    return made


@pytest.fixture(scope="module")
def chromium() -> Iterator[Page]:
    assert CHROMIUM
    with browser(CHROMIUM) as page:
        yield page


@pytest.fixture
def page(chromium: Page, folder: Path) -> Page:
    """The page of the comparison in a wide window."""
    show(chromium, folder / "compare.html", 1200, 900)
    return chromium


def show(page: Page, path: Path, width: int, height: int, dark: bool = False) -> None:
    page.errors.clear()
    page.requests.clear()
    page.open(path, width, height, dark)


def picture(page: Page) -> np.ndarray:
    """The pixels of the picture as drawn, (H, W, 3) uint8."""
    page.evaluate("drawPicture()")
    width, height, *values = page.evaluate(
        "(() => { const { width, height } = byId('picture'), copy = create('canvas', { width, height });"
        " const context = copy.getContext('2d', { willReadFrequently: true });"
        " context.drawImage(byId('picture'), 0, 0);"
        " return [width, height, ...context.getImageData(0, 0, width, height).data]; })()"
    )
    return np.array(values, np.uint8).reshape(height, width, 4)[..., :3]


def screenshot(page: Page, path: Path) -> np.ndarray:
    page.screenshot(path)
    with av.open(io.BytesIO(path.read_bytes()), format="png_pipe") as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def test_the_page_loads_offline_without_errors(page: Page, folder: Path) -> None:
    picture(page)
    addresses = [address for address in page.requests if not address.startswith("data:")]
    assert addresses == [(folder / "compare.html").resolve().as_uri()]
    assert page.errors == []
    for part in PARTS:
        assert page.evaluate(f"byId('{part}').getBoundingClientRect().height") > 40, part
    assert page.evaluate("document.querySelectorAll('#figure-table tbody tr').length") == 2
    assert page.evaluate("document.querySelectorAll('.chart canvas').length") == 2
    assert page.evaluate("byId('frame').max") == "23"
    assert "uPlot" in page.evaluate("document.querySelector('footer').textContent")


def test_the_divider_is_dragged(page: Page) -> None:
    page.evaluate("byId('video').value = 1; byId('video').dispatchEvent(new Event('change'))")
    assert page.evaluate("byId('importance').hidden")
    assert np.abs(picture(page)[:, :60].astype(int) - FRAMES[0][:, :60]).mean() < 8
    for selector, place in (("#stage", 0.25), ("#stage", 0.75)):
        page.drag(selector, (0.5, 0.5), (place, 0.5))
        assert page.evaluate("state.divider") == pytest.approx(place, abs=0.01)
        drawn, column = picture(page).astype(int), round(place * 160)
        assert np.abs(drawn[:, : column - 4] - FRAMES[0][:, : column - 4]).mean() < 8
        assert np.abs(drawn[:, column + 4 :] - (255 - FRAMES[0])[:, column + 4 :]).mean() < 8
    page.press("[")
    assert page.evaluate("byId('divider').value") == "70"
    page.evaluate("byId('divider').value = 10; byId('divider').dispatchEvent(new Event('input'))")
    assert page.evaluate("state.divider") == pytest.approx(0.1)


def test_keys_step_and_play(page: Page) -> None:
    for key, shift, frame in (
        ("ArrowRight", False, 1), ("ArrowRight", True, 11), ("ArrowLeft", False, 10), ("End", False, 23),
        ("ArrowRight", False, 23), ("Home", False, 0), ("ArrowLeft", False, 0),
    ):  # fmt: skip
        page.press(key, shift)
        assert page.evaluate("currentFrame()") == frame
    assert page.evaluate("byId('position').textContent") == "frame 0 of 0–23, 0.000 s"
    page.press(" ")
    page.wait("currentFrame() > 3")
    assert page.evaluate("byId('play').textContent") == "Pause"
    page.press(" ")
    stopped = page.evaluate("currentFrame()")
    assert not page.evaluate("state.playing")
    assert page.evaluate("new Promise((done) => setTimeout(() => done(currentFrame()), 200))") == stopped
    assert page.errors == []


def test_other_frames_and_views_are_shown(page: Page) -> None:
    page.evaluate("byId('view').value = 'coded'; byId('view').dispatchEvent(new Event('change'))")
    page.drag("#timeline", (0.7, 0.5), (0.7, 0.5))
    frame = page.evaluate("currentFrame()")
    assert frame == int(0.7 * 24)
    assert np.abs(picture(page).astype(int) - FRAMES[frame]).mean() < 12
    kept = page.evaluate("currentVideo().kept[currentFrame()]")
    assert page.evaluate("byId('caption').textContent").startswith("kept" if kept else "dropped")
    page.evaluate("byId('view').value = 'difference'; byId('view').dispatchEvent(new Event('change'))")
    assert picture(page).mean() < 60
    page.drag(".u-over", (0.5, 0.5), (0.5, 0.5))
    assert page.evaluate("currentFrame()") in (11, 12)
    page.evaluate("document.querySelector('#table-details').open = true")
    page.wait("document.querySelectorAll('#frame-table tbody tr').length === 24")
    assert page.errors == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_fits_its_window(chromium: Page, folder: Path, tmp_path: Path, width: int, dark: bool) -> None:
    show(chromium, folder / "compare.html", width, 800, dark)
    picture(chromium)
    assert chromium.evaluate("document.documentElement.scrollWidth") <= width
    shot = screenshot(chromium, tmp_path / "page.png")
    assert shot.shape[1] == width
    assert (shot[:60].mean() < 80) == dark
    # The parts are there: the picture, the bar of the bytes, a curve and a kept frame of the timeline in their colours.
    names = ("--part-0", "--part-1", "--series-0", "--kept", "--accent")
    for name in names:
        value = chromium.evaluate(f"color('{name}')").lstrip("#")
        colour = np.array([int(value[i : i + 2], 16) for i in (0, 2, 4)])
        assert (np.abs(shot.astype(int) - colour).max(axis=2) < 12).sum() > 20, name
    assert chromium.errors == []


def test_the_page_of_one_file(chromium: Page, folder: Path) -> None:
    show(chromium, folder / "inspect.html", 1000, 800)
    assert chromium.evaluate("byId('viewer').hidden && byId('quality-part').hidden")
    chromium.press("ArrowRight")
    assert "frame 1 of 0–23" in chromium.evaluate("byId('position').textContent")
    assert chromium.evaluate("byId('bits-chart').querySelectorAll('canvas').length") == 1
    assert chromium.errors == []


def test_controls_have_names_and_the_keyboard_reaches_them(page: Page) -> None:
    nameless = page.evaluate(
        "[...document.querySelectorAll('input, select, button, [role=img], [role=region]')].filter((e) => "
        "!(e.labels?.length || e.ariaLabel || e.textContent.trim())).map((e) => e.id)"
    )
    assert nameless == []
    reached = []
    for _ in range(8):
        page.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    assert reached[:3] == ["video", "view", "divider"]
    assert "play" in reached
    assert page.evaluate("document.documentElement.lang") == "en"


def test_the_source_rate_is_that_of_playing(page: Page) -> None:
    assert page.evaluate("data.frame_seconds") == pytest.approx(float(Fraction(1, 25)))
