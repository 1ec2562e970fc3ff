"""Do two checkouts of dfc write the same bytes and decode the same frames?

    git worktree add ../before COMMIT
    python -m benchmarks.robustness.compare_checkouts ../before . [--clips 24] [--vectors formats/vectors]

For every eval clip (DFC-32) and every set of options below, each checkout encodes, decodes, trims and recovers in its
own process. For every vector, each checkout reads integers, the errors' exit codes and the decoded frames. The script
compares SHA-256 sums and lists every difference; its exit code is the number of differences, at most 100. The two
checkouts work side by side, and one line follows each clip, so that a run that is stopped has shown what it compared.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.clips import EVAL, dfc32_clips

CHILD = r"""
import hashlib, io, json, sys, warnings
from pathlib import Path
import numpy as np
import dfccodec as dfc

warnings.simplefilter("ignore")  # old names of arguments, which both checkouts understand
OPTIONS = {
    "default": {}, "all": {"budget": "all", "qp": 16, "refine": 0},
    "token": {"fill": "token", "coding": "zstd", "refine": 0},
    "hold": {"fill": "hold", "coding": "range", "budget": "25%", "refine": 0},
    "lerp": {"fill": "lerp", "snap": 0.3, "select": "dp", "refine": 1},
    "bernoulli": {"budget": "bernoulli:0.2", "effort": "fast", "refine": 0}, "best": {"preset": "best", "qp": 30},
}
SLOW = {"auto": {"budget": "auto", "refine": 0}, "bitrate": {"bitrate": "300k", "refine": 0}}


def digest(data):
    return hashlib.sha256(data).hexdigest()[:24]


def frames(data, **options):
    found = hashlib.sha256()
    for picture in dfc.decode(data, model=MODEL, **options):
        found.update(picture.rgb.tobytes() + str((picture.pts, picture.duration)).encode())
    return found.hexdigest()[:24]


def attempt(work):
    try:
        return work()
    except dfc.DfcError as error:
        return f"{type(error).__name__} {error.exit_code}"


MODEL = dfc.load_model(device="cpu", dtype="float32")
for number, path in json.loads(sys.argv[1]):
    clip = np.load(path)
    for name, options in (OPTIONS | (SLOW if number % 8 == 0 else {})).items():
        out = io.BytesIO()
        dfc.encode(clip, out, model=MODEL, **options)
        data = out.getvalue()
        row = {"file": digest(data), "frames": frames(data)}
        if name in ("default", "token"):
            small, saved = io.BytesIO(), io.BytesIO()
            dfc.trim(data, small, budget="4")
            broken = data[: len(data) // 2] + b"x" + data[len(data) // 2 + 1 :]
            row["trim"] = digest(small.getvalue())
            row["recover"] = attempt(lambda: dfc.recover(broken, saved) and digest(saved.getvalue()))
        print(json.dumps({"what": f"{Path(path).stem} {name}", **row}), flush=True)
for path in json.loads(sys.argv[2]):
    data, row = Path(path).read_bytes(), {}
    def integers():
        with dfc.open(data) as file:
            return digest(b"".join(view.latents.tobytes() for view in file))
    row["integers"] = attempt(integers)
    row["verify"] = attempt(lambda: f"{bool(dfc.verify(data))}")
    if "/pictures/" in path:
        row["frames"] = attempt(lambda: frames(data))
    print(json.dumps({"what": path.split("vectors/")[-1], **row}), flush=True)
"""


def run(checkout: Path, clips: list[tuple[int, str]], vectors: list[str]) -> dict[str, dict[str, str]]:
    """Results of one checkout: name of a clip or vector -> what was done -> digest or error."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CHILD, json.dumps(clips), json.dumps(vectors)]
    done = subprocess.run(command, env=environment, cwd=checkout, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{checkout}: {done.stderr[-2000:]}")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {row.pop("what"): row for row in rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--clips", type=int, default=24, help="number of eval clips")
    parser.add_argument("--vectors", type=Path, default=Path("formats/vectors"), help="those of the old checkout")
    parser.add_argument("--scratch", type=Path, default=Path("/tmp/compare_checkouts"))
    options = parser.parse_args()
    options.scratch.mkdir(parents=True, exist_ok=True)
    clips = []
    for name, frames in list(dfc32_clips(EVAL))[: options.clips]:
        path = options.scratch / f"{name}.npy"
        with path.open("wb") as stream:
            np.save(stream, frames)
        clips.append(str(path.resolve()))
    vectors = [str(path.resolve()) for path in sorted((options.old / options.vectors).rglob("*.dfc"))]
    checks = differences = 0
    with ThreadPoolExecutor(2) as pool:
        for what, batch in [
            ("vectors", ([], vectors)),
            *((Path(clip).stem, ([(i, clip)], [])) for i, clip in enumerate(clips)),
        ]:
            old, new = pool.map(lambda path, batch=batch: run(path.resolve(), *batch), (options.old, options.new))
            different = [f"{name}: {old[name]} became {new.get(name)}" for name in old if old[name] != new.get(name)]
            checks, differences = checks + sum(map(len, old.values())), differences + len(different)
            print("\n".join([f"{what}: {checks} checks so far, {differences} differences", *different]), flush=True)
    print(f"{len(clips)} clips, {len(vectors)} vectors, {checks} checks, {differences} differences")
    sys.exit(min(differences, 100))


if __name__ == "__main__":
    main()
