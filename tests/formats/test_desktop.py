"""formats/desktop: type, icon and thumbnailer of .dfc files; the desktop's own tools where they are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from dfccodec.container.chunks import SIGNATURE

FOLDER = Path(__file__).resolve().parents[2] / "formats" / "desktop"
VECTORS = FOLDER.parent / "vectors" / "valid"
MIME = "{http://www.freedesktop.org/standards/shared-mime-info}"


def mime_type() -> ElementTree.Element:
    found = ElementTree.parse(FOLDER / "dfc.xml").getroot().find(f"{MIME}mime-type")
    assert found is not None
    return found


def test_the_type_has_the_signature_and_the_suffix() -> None:
    kind = mime_type()
    assert kind.get("type") == "video/x-dfc"
    match, glob = kind.find(f"{MIME}magic/{MIME}match"), kind.find(f"{MIME}glob")
    assert match is not None
    assert glob is not None
    value = (match.get("value") or "").encode().decode("unicode_escape").encode("latin-1")
    assert value == SIGNATURE
    assert glob.get("pattern") == "*.dfc"


def test_thumbnailer_and_icon_are_of_that_type() -> None:
    kind = str(mime_type().get("type"))
    assert f"MimeType={kind};" in (FOLDER / "dfc.thumbnailer").read_text()
    icon = ElementTree.parse(FOLDER / f"{kind.replace('/', '-')}.svg").getroot()
    assert icon.get("viewBox") == "0 0 64 64"
    assert f"!:mime\t{kind}" in (FOLDER.parent / "dfc.magic").read_text()


@pytest.mark.skipif(
    not (shutil.which("update-mime-database") and shutil.which("gio")), reason="shared-mime-info or gio is missing"
)
def test_the_desktop_knows_a_file_by_name_and_by_content(tmp_path: Path) -> None:
    packages = tmp_path / "share" / "mime" / "packages"
    packages.mkdir(parents=True)
    shutil.copy(FOLDER / "dfc.xml", packages)
    built = subprocess.run(["update-mime-database", packages.parent], capture_output=True, text=True, check=True)
    assert "dfc" not in built.stderr
    source = next(VECTORS.glob("*.dfc")).read_bytes()
    (tmp_path / "named.dfc").write_bytes(source[:4])  # too short for its content to be recognized
    (tmp_path / "unnamed").write_bytes(source)
    env = {**os.environ, "XDG_DATA_HOME": str(tmp_path / "share"), "HOME": str(tmp_path)}
    for name in ("named.dfc", "unnamed"):
        command = ["gio", "info", "-a", "standard::content-type,standard::icon", str(tmp_path / name)]
        told = subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout
        assert "standard::content-type: video/x-dfc" in told
        assert "video-x-dfc" in told


@pytest.mark.skipif(not shutil.which("file"), reason="file(1) is missing")
def test_file_knows_the_signature() -> None:
    command = ["file", "-m", str(FOLDER.parent / "dfc.magic"), str(next(VECTORS.glob("*.dfc")))]
    assert "DFC learned video, version" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
