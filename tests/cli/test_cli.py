"""The command line end to end: processes, pipes, exit codes."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import jsonschema
import pytest
from command import DFC, ENV, run, run_and_list_imports
from support import DATA, moving_square, write_av, write_video

import dfccodec as dfc
from dfccodec.media.input.source import VideoSource

FLOWER = DATA / "flower_96x64.mp4"


def run_for_error(*arguments: object, code: int, input: bytes = b"", cwd: Path | None = None) -> str:
    """Run a command that must fail with an exit code; return its error line."""
    result = run(*arguments, input=input, cwd=cwd)
    text = result.stderr.decode()
    assert result.returncode == code, text
    assert "Traceback" not in text
    lines = [line for line in text.splitlines() if line.startswith("dfc: error: ")]
    assert len(lines) == 1, text
    return lines[0]


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("coded") / "flower.dfc"
    result = run("encode", FLOWER, "-o", target, "--budget", "8")
    assert result.returncode == 0, result.stderr
    return target


def test_roundtrip_keeps_size_length_and_frame_rate(tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.mp4", moving_square(40, 180, 320), Fraction(25))
    assert run("encode", source, "-o", tmp_path / "a.dfc", "--budget", "4", "--refine", "0").returncode == 0
    assert run("decode", tmp_path / "a.dfc", "-o", tmp_path / "back.mp4").returncode == 0
    with VideoSource(tmp_path / "back.mp4") as decoded:
        assert (decoded.info.width, decoded.info.height, decoded.info.rate) == (320, 180, 25)
        assert sum(1 for _ in decoded) == 40


def test_reading_commands_accept_standard_input(coded: Path, tmp_path: Path) -> None:
    data = coded.read_bytes()
    assert run("inspect", "-", input=data).returncode == 0
    assert run("verify", "-", input=data).returncode == 0
    trimmed = run("trim", "-", "-o", "-", "--budget", "2", input=data)
    assert trimmed.returncode == 0
    assert len(trimmed.stdout) < len(data)
    assert run("verify", "-", input=trimmed.stdout).returncode == 0


def test_motion_fill_end_to_end(tmp_path: Path) -> None:
    file, trimmed = tmp_path / "motion.dfc", tmp_path / "small.dfc"
    assert run("encode", FLOWER, "-o", file, "--budget", "4", "--fill", "motion", "--refine", "0").returncode == 0
    bytes_by_part = json.loads(run("inspect", file, "--json").stdout)["bytes_by_part"]
    assert bytes_by_part["latents"] > bytes_by_part["fill"] > 0
    assert run("trim", file, "-o", trimmed, "--budget", "2").returncode == 0
    for path in (file, trimmed):
        assert run("verify", path).returncode == 0
        assert run("decode", path, "-o", tmp_path / "back.y4m", "-y").returncode == 0


def test_trim_searches_motion_anew(tmp_path: Path) -> None:
    file, trimmed = tmp_path / "flower.dfc", tmp_path / "small.dfc"
    assert run("encode", FLOWER, "-o", file, "--budget", "4", "--refine", "0").returncode == 0
    assert run("trim", file, "-o", trimmed, "--budget", "1", "--search").returncode == 0
    assert run("verify", trimmed).returncode == 0
    assert "--search" in dict(json.loads(run("inspect", trimmed, "--json").stdout)["tool"])["trim"]


def test_a_met_target_is_reported_in_text_and_json(tmp_path: Path) -> None:
    out = tmp_path / "a.dfc"
    result = run("encode", FLOWER, "-o", out, "--target-size", "8kB", "--fill", "token", "--refine", "0", "--json")
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["bytes"] == out.stat().st_size == record["target"]["reached"]
    assert record["target"]["met"]
    assert abs(record["target"]["error"]) <= 0.03
    assert f"--target-size 8000: {record['bytes']} bytes reached" in result.stderr.decode()


def test_invalid_targets_give_one_line_errors(tmp_path: Path) -> None:
    out = tmp_path / "a.dfc"
    options = ("encode", FLOWER, "-o", out, "--fill", "token", "--refine", "0")
    assert "--target-size 500" in run_for_error(*options, "--target-size", "500", "--strict", code=1)
    assert not list(tmp_path.iterdir())
    assert "--qp 20 and --bitrate" in run_for_error(*options, "--qp", "20", "--bitrate", "300k", code=2)
    assert "--target-size 'big'" in run_for_error(*options, "--target-size", "big", code=2)
    assert "--budget threshold:0.5" in run_for_error(*options, "--budget", "threshold", "--min-psnr", "30", code=2)


def test_inspect_is_fast_and_does_not_import_torch(coded: Path) -> None:
    assert not run_and_list_imports("inspect", coded)[1] & {
        "torch",
        "av",
        "huggingface_hub",
        "safetensors",
        "constriction",
    }
    fastest = min(_cpu_seconds("inspect", coded) for _ in range(3))
    assert fastest < 1.0  # benchmarks/speed/startup.py measures this; the test only catches an accidental import


@pytest.mark.parametrize(
    "arguments",
    [
        ["encode", FLOWER, "-o", "x.dfc", "--budget", "many"],
        ["encode", FLOWER, "-o", "x.dfc", "--target-size", "big"],
        ["encode", "none.mp4", "-o", "x.dfc"],
        ["decode", FLOWER, "-o", "x.mp4"],
        ["decode", "none.dfc", "-o", "x.mp4", "--cfr", "fast"],
        ["decode", "none.dfc", "--output-dir", "x", "--format", "a/b"],
    ],
)
def test_usage_errors_are_reported_before_torch_is_imported(arguments: list[object], tmp_path: Path) -> None:
    """Importing torch takes seconds."""
    result, imported = run_and_list_imports(*arguments, cwd=tmp_path)
    assert result.returncode in (2, 3)
    assert "torch" not in imported


def _cpu_seconds(*arguments: object) -> float:
    """Return the CPU seconds of a run, which do not include other processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*DFC, *map(str, arguments)], env=ENV, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_inspect_shows_kept_frames_and_metadata(coded: Path) -> None:
    text = run("inspect", coded).stdout.decode()
    with dfc.open(coded) as file:
        for clip in file:
            assert "".join("█" if k else "·" for k in clip.kept) in text
    for word in ("96×64", "29.970", "mini", "bits/pixel", "to raw RGB", "to its source"):
        assert word in text


def test_the_coding_option_selects_the_latent_coding(coded: Path, tmp_path: Path) -> None:
    paths = [coded]
    for coding in ("range", "zstd"):
        paths.append(tmp_path / f"{coding[0]}.dfc")
        options = ["--budget", "8", "--coding", coding, "--refine", "0"]
        assert run("encode", FLOWER, "-o", paths[-1], *options).returncode == 0
    records = [json.loads(run("inspect", path, "--json").stdout) for path in paths]
    found = [{clip["coding"] for clip in record["clips"]} for record in records]
    assert found[1:] == [{"range"}, {"zstd"}]
    assert "predicted" in found[0] <= {"predicted", "inter"}  # some clips are smaller in the latter
    assert records[1]["bytes_by_part"]["latents"] < 0.95 * records[2]["bytes_by_part"]["latents"]
    assert b"coding zstd" in run("inspect", tmp_path / "z.dfc").stdout
    assert "--coding zstd" in dict(records[2]["tool"])["settings"]
    with dfc.open(paths[1]) as with_range, dfc.open(paths[2]) as with_zstd:
        for a, b in zip(with_range, with_zstd, strict=True):
            assert (a.latents == b.latents).all()
    error = run_for_error("encode", FLOWER, "-o", tmp_path / "x.dfc", "--coding", "lzma", code=2)
    assert error == "dfc: error: coding 'lzma' is unknown: give predicted, inter, range or zstd"
    assert not (tmp_path / "x.dfc").exists()


def test_inspect_json_follows_its_schema(coded: Path) -> None:
    schema = json.loads((Path(dfc.__file__).parent / "cli" / "inspect.schema.json").read_text())
    record = json.loads(run("inspect", coded, "--json").stdout)
    jsonschema.validate(record, schema)
    assert record["frames"] == 70
    assert sum(record["bytes_by_part"].values()) == record["bytes"] == coded.stat().st_size
    assert json.loads(run("verify", coded, "--json").stdout)["valid"] is True


def test_inspect_escapes_terminal_sequences(tmp_path: Path, flat: object) -> None:
    import io

    import numpy as np

    from dfccodec.container.records import Header, ModelId, Ratio
    from dfccodec.container.writer import Writer

    out = io.BytesIO()
    header = Header(16, 16, Ratio(25, 1), Ratio(1, 25))
    Writer(out, header, ModelId("m", bytes(32)), np.ones(96), [("a", "\x1b[31mred\x07")]).finish()
    result = run("inspect", "-", input=out.getvalue())
    assert b"\x1b" not in result.stdout
    assert b"\\x1b[31mred" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["encode", "none.mp4", "-o", "x.dfc"], 3, "none.mp4"),
        (["encode", FLOWER, "-o", "x.dfc", "--budget", "many"], 2, "many"),
        (["encode", FLOWER, "-o", "x.dfc", "--qp", "99"], 2, "99"),
        (["encode", FLOWER, "-o", "x.dfc", "--fill", "magic"], 2, "magic"),
        (["encode", FLOWER, "-o", "x.dfc", "--model", "dfc-170m"], 5, "dfc models pull dfc-170m"),
        (["encode", FLOWER, "-o", "x.dfc", "--device", "tpu"], 2, "tpu"),
        (["encode", FLOWER, "-o", "none/x.dfc"], 1, "none"),
        (["decode", FLOWER, "-o", "x.mp4"], 3, "not a .dfc file"),
        (["decode", "none.dfc", "-o", "x.mp4"], 3, "none.dfc"),
        (["decode", "none.dfc", "-o", "x.mp4", "--audio-codec", "nope"], 2, "nope is not an audio encoder"),
        (
            ["decode", "none.dfc", "-o", "x.png", "--format", "mp4"],
            2,
            "the suffix of x.png is not that of --format mp4",
        ),
        (["encode", FLOWER, "-o", "x/"], 2, "output x/ is a folder"),
        (["inspect", FLOWER], 3, "not a .dfc file"),
        (["trim", "none.dfc", "-o", "x.dfc"], 2, "--budget"),
        (["trim", "none.dfc", "-o", "x.dfc", "--frames", "9:3"], 2, "9:3"),
        (["trim", "none.dfc", "-o", "x.dfc", "--coding", "zstd", "--search"], 2, "--budget or --frames"),
        (["generate", "-o", "x.dfc", "--generator", "dfc-dit-504m"], 5, "dfc models pull dfc-dit-504m"),
    ],
)
def test_errors_are_one_line_with_the_documented_exit_code(
    arguments: list[object], code: int, message: str, tmp_path: Path
) -> None:
    assert message in run_for_error(*arguments, code=code, cwd=tmp_path)
    assert not list(tmp_path.iterdir())  # no output, not even a partial one


def test_unknown_options_are_usage_errors() -> None:
    result = run("encode", "--nonsense")
    assert result.returncode == 2
    assert b"Traceback" not in result.stderr


def test_existing_files_folders_and_pipes_are_protected(coded: Path, tmp_path: Path) -> None:
    existing = tmp_path / "there.dfc"
    existing.write_bytes(b"precious")
    assert "-y" in run_for_error("encode", FLOWER, "-o", existing, code=6)
    assert existing.read_bytes() == b"precious"
    assert "is the input" in run_for_error("trim", coded, "-o", coded, "--budget", "1", "-y", code=2)
    assert "folder" in run_for_error("encode", FLOWER, "-o", tmp_path, "-y", code=2)
    os.mkfifo(tmp_path / "pipe")
    for verb, *options in (["trim", "--budget", "1"], ["decode"], ["recover"]):
        assert "-o - >" in run_for_error(verb, coded, "-o", tmp_path / "pipe", "-y", *options, code=2)
    assert (tmp_path / "pipe").is_fifo()
    assert run("trim", coded, "-o", existing, "--budget", "1", "-y").returncode == 0
    assert existing.read_bytes()[1:4] == b"DFC"


def test_binary_output_to_a_terminal_is_rejected(coded: Path) -> None:
    import pty

    _, slave = pty.openpty()
    result = subprocess.run(
        [*DFC, "trim", str(coded), "-o", "-", "--budget", "1"], stdout=slave, stderr=subprocess.PIPE, env=ENV
    )
    os.close(slave)
    assert result.returncode == 2
    assert b"terminal" in result.stderr


def test_damage_is_exit_code_4_and_concealed_on_request(coded: Path, tmp_path: Path) -> None:
    with dfc.open(coded) as file:
        offset = file.summary.clips[1].offset
    data = bytearray(coded.read_bytes())
    data[offset + 200 : offset + 208] = bytes(8)
    damaged = tmp_path / "bad.dfc"
    damaged.write_bytes(data)
    assert "checksum" in run_for_error("decode", damaged, "-o", tmp_path / "a.mp4", code=4)
    assert not (tmp_path / "a.mp4").exists()
    assert "32 to 63" in run_for_error("decode", damaged, "-o", tmp_path / "b.mp4", "--conceal", code=4)
    with VideoSource(tmp_path / "b.mp4") as decoded:
        assert sum(1 for _ in decoded) == 70
    report = run("verify", damaged, "--json")
    assert report.returncode == 4
    assert json.loads(report.stdout)["faults"][0]["offset"] == offset


def test_a_killed_encode_keeps_the_existing_target(tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.mp4", moving_square(600, 96, 128))
    target = tmp_path / "a.dfc"
    target.write_bytes(b"old")
    part = tmp_path / ".a.dfc.part"
    for signum, delay in ((signal.SIGKILL, 1.5), (signal.SIGKILL, 2.5), (signal.SIGTERM, 0.5), (signal.SIGINT, 0.5)):
        part.unlink(missing_ok=True)
        with subprocess.Popen(
            [*DFC, "encode", str(source), "-o", str(target), "-y"], env=ENV, stderr=subprocess.PIPE
        ) as p:
            while signum != signal.SIGKILL and not part.exists() and p.poll() is None:
                time.sleep(0.02)  # the signal handlers must be installed first
            time.sleep(delay)
            p.send_signal(signum)
            p.wait(60)
            if target.read_bytes() != b"old":  # the encode finished before the signal: the file is complete
                assert run("verify", target).returncode == 0
                target.write_bytes(b"old")
            elif signum != signal.SIGKILL:
                assert p.returncode == 130, p.stderr and p.stderr.read()
    for partial_output in tmp_path.glob(".*.part*"):  # the partial output for --resume
        partial_output.unlink()


def test_a_closed_output_pipe_gives_no_traceback(coded: Path) -> None:
    command = f"{sys.executable} -m dfccodec decode {coded} -o - -q | head -c 100 | wc -c"
    result = subprocess.run(["bash", "-c", command], capture_output=True, env=ENV)
    assert result.stdout.strip() == b"100"
    assert b"Traceback" not in result.stderr


def test_version_and_help() -> None:
    assert run("--version").stdout.decode().strip() == f"dfc {dfc.__version__}"
    text = run("--help").stdout.decode()
    for verb in ("encode", "decode", "inspect", "verify", "trim", "generate", "models"):
        assert re.search(rf"\b{verb}\b", text)


def test_audio_roundtrip_and_discarded_audio(tmp_path: Path) -> None:
    source, file = write_av(tmp_path / "in.mp4", moving_square(8), ["aac"], rate=Fraction(8)), tmp_path / "a.dfc"
    assert b"note" not in run("encode", source, "-o", file, "--fill", "token", "--refine", "0").stderr
    assert json.loads(run("inspect", file, "--json").stdout)["bytes_by_part"]
    assert run("decode", file, "-o", tmp_path / "out.mp4").returncode == 0
    with av.open(str(source)) as a, av.open(str(tmp_path / "out.mp4")) as b:
        packets = [[bytes(p) for p in x.demux(audio=0) if p.size] for x in (a, b)]
    assert packets[0] == packets[1]
    result = run("decode", file, "-o", tmp_path / "out.y4m")
    assert b"note: audio track 1 (aac, eng) is discarded: yuv4mpegpipe stores video only" in result.stderr
    error = run_for_error("decode", file, "-o", tmp_path / "x.webm", code=2)
    assert "--audio-codec libopus or --no-audio" in error
    assert not (tmp_path / "x.webm").exists()
    assert run("decode", file, "-o", tmp_path / "x.webm", "--no-audio").returncode == 0


def test_ranges_sizes_and_frame_rates(tmp_path: Path) -> None:
    file, out = tmp_path / "a.dfc", tmp_path / "a.mkv"
    options = ("--start", "#10", "--duration", "0.5", "--size", "48", "--fill", "token", "--refine", "0")
    assert b"15 frames" in run("encode", FLOWER, "-o", file, *options).stderr
    assert b"96" in run("inspect", file).stdout
    result = run("decode", file, "-o", out, "--size", "source", "--cfr", "15", "--end", "0:00.4")
    assert result.returncode == 0, result.stderr
    with VideoSource(out) as decoded:
        assert (decoded.info.width, decoded.info.height, decoded.info.rate) == (96, 64, 15)
        assert sum(1 for _ in decoded) == 6
    before = out.read_bytes()
    assert "the range contains no frame" in run_for_error("decode", file, "-o", out, "-y", "--start", "9", code=2)
    assert out.read_bytes() == before
    assert run("decode", file, "-o", tmp_path / "b.mkv", "--cfr", "1/10").stderr == b"1 frame\n"
    both_limits = ("--end", "1", "--duration", "2")
    assert "--end 1 and --duration 2" in run_for_error("decode", file, "-o", out, "-y", *both_limits, code=2)
    assert "'soon'" in run_for_error("encode", FLOWER, "-o", file, "-y", "--start", "soon", code=2)
    assert "'big'" in run_for_error("encode", FLOWER, "-o", file, "-y", "--size", "big", code=2)
    assert "'fast'" in run_for_error("decode", file, "-o", out, "-y", "--cfr", "fast", code=2)
    assert "the range" in run_for_error("encode", FLOWER, "-o", file, "-y", "--start", "1:00:00", code=2)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("inspect {coded} >&-", 0),
        ("trim {coded} -o - --budget 1 >&-", 0),
        ("encode {flower} -o {out} --end '#2' 2>&-", 0),
        ("inspect {coded} --json <&- >&- 2>&-", 0),
        ("encode - -o {out} <&-", 3),
    ],
)
def test_closed_standard_streams_are_handled(line: str, code: int, coded: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.dfc"
    command = shlex.join(DFC) + " " + line.format(coded=coded, flower=FLOWER, out=out)
    result = subprocess.run(["sh", "-c", command], capture_output=True, env=ENV, timeout=120)
    assert (result.returncode, b"Traceback" in result.stderr) == (code, False), result.stderr
    assert out.exists() == ("{out}" in line and code == 0)
    if out.exists():
        assert run("verify", out).returncode == 0


def test_a_negative_seed_is_a_usage_error(coded: Path, tmp_path: Path) -> None:
    result = run("trim", coded, "-o", tmp_path / "x.dfc", "--budget", "bernoulli", "--seed", "-1")
    assert result.returncode == 2
    assert b"--seed" in result.stderr


def test_wrong_file_types_give_helpful_errors(coded: Path, tmp_path: Path) -> None:
    text = run_for_error("encode", coded, "-o", tmp_path / "x.dfc", code=3)
    assert f"{coded} is already a .dfc file: make a video with dfc decode" in text
    assert f"{FLOWER} is not a .dfc file: begins with" in run_for_error("inspect", FLOWER, code=3)
    assert "standard input is not a .dfc file" in run_for_error("verify", "-", input=b"hello, you", code=3)
