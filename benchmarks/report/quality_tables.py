"""Tables of pages about quality and bits, from benchmarks/results/."""

from __future__ import annotations

import numpy as np

from benchmarks.clips import RESULTS, table
from benchmarks.quality.blend import report as blend_report
from benchmarks.quality.flow_loss import report as flow_loss_report
from benchmarks.quality.large import table_of as large_table
from benchmarks.quality.looks import report as looks_report
from benchmarks.quality.vae_latents import report as vae_latents_report
from benchmarks.report.rd_report import LABELS
from benchmarks.report.results import result


def budgets() -> str:
    """DFC-32 by number of kept frames."""
    rows = {(row["code"], row["kept"]): row for row in result("dfc32")["budgets"]}
    lines = []
    for kept in (32, 16, 8, 6, 4, 2, 1):
        ours, lerp, hold = (rows[code, kept] for code in ("mini", "PCA-96, lerp", "PCA-96, hold"))
        lines.append((
            kept, f"{ours['mse']:.5f}", f"{ours['psnr']:.2f} dB", f"{ours['bpp']:.3f}",
            f"{lerp['mse']:.5f}", f"{lerp['psnr']:.2f} dB", f"{lerp['bpp']:.3f}", f"{hold['psnr']:.2f} dB",
        ))  # fmt: skip
    head = ("kept of 32", "`mini` MSE", "PSNR", "bits/pixel", "PCA-96, lerp MSE", "PSNR", "bits/pixel", "hold PSNR")
    return table(head, lines)


def bernoulli() -> str:
    """The table of the publication, for `mini`."""
    rows = [
        (
            r["budget"], r["motion"], f"{r['kept']:.1f} ± {r['kept_std']:.1f}", f"{r['rate']:.1%}",
            f"{r['compression']:.0f}", f"{r['mse']:.5f}",
        )
        for r in result("dfc32")["bernoulli"]
    ]  # fmt: skip
    return table(("budget", "motion", "kept frames", "keep rate", "times smaller", "MSE"), rows)


def floor() -> str:
    """Gain over the PCA baseline at equal bits with the same coder."""
    found = {
        (coding, refined): result(path.stem)["rows"]
        for path in RESULTS.glob("floor_*.json")
        for coding, _, refined in [path.stem.removeprefix("floor_").partition("_refine")]
    }
    qps = sorted({r["qp"] for rows in found.values() for r in rows if "over_linear_db" in r})
    lines = []
    for (coding, refined), rows in sorted(found.items()):
        mean = np.mean([list(r["all_kept_gains"].values()) for r in rows if "all_kept_gains" in r])
        gains = {(r["kept"], r["qp"]): f"{r['over_linear_db']:+.2f}" for r in rows if "over_linear_db" in r}
        for kept in sorted({kept for kept, _ in gains}, reverse=True):
            cells = [gains.get((kept, qp), "") for qp in qps]
            name = f"{coding}, `--refine {refined}`" if refined else coding
            lines.append((name, kept, *cells, f"{mean:+.2f}" if kept == 32 else ""))
    return table(("coder", "kept of 32", *(f"QP {qp}" for qp in qps), "mean, 0.2…0.6 bits/pixel"), lines)


def selection() -> str:
    """Selections of kept frames."""
    rows = [
        (r["fill"], r["kept"], r["choice"], f"{r['mse']:.5f}", f"{r['psnr']:.2f} dB", f"{r['bytes'] / 1000:.1f}")
        for r in result("selection")["rows"]
    ]
    return table(("`--fill`", "kept of 32", "choice", "MSE", "PSNR", "kB a clip"), rows)


def coding() -> str:
    """Bytes of the latents with each coder, and speeds of the latent codings."""
    found = result("latent_coding")
    kept, qps = ("6", "8", "32"), ("16", "24", "32")
    rows = [
        (name, *(f"{by[k][q] / 1000:.1f}" if q in by.get(k, ()) else "" for k in kept for q in qps))
        for name, by in found["bytes"].items()
    ]
    speeds = found["integers_per_second"]
    coders = next(iter(speeds.values()))
    lines = [(name, *(f"{by[name] / 1e6:.1f}" for by in speeds.values())) for name in coders]
    sizes = table(("kB a clip", *(f"{k} kept, QP {q}" for k in kept for q in qps)), rows)
    return sizes + "\n\n" + table(("million integers/s, one thread", *speeds), lines)


def bd_rates() -> str:
    """BD-rate against x264 medium, mean over clips."""
    found = result("rd")["bd_rate_vs_x264"]
    metrics = {"psnr": "RGB-PSNR", "ms_ssim": "MS-SSIM", "vmaf": "VMAF", "lpips": "LPIPS"}
    rows = [
        (LABELS[name], *(f"{values[m]['mean_over_clips']:+z.0f} %" for m in metrics)) for name, values in found.items()
    ]
    return table(("bits at equal quality, x264 medium = 0", *metrics.values()), rows)


def large() -> str:
    """BD-rate against x264 medium at larger pictures."""
    return large_table(result("large"))


def trim() -> str:
    """Clips trimmed to fewer kept frames, compared with encodes."""
    rows = [
        (
            kept, f"{plain / 1000:.1f} kB", f"{a:.2f} dB", f"{again / 1000:.1f} kB", f"{b:.2f} dB",
            f"{fresh / 1000:.1f} kB", f"{c:.2f} dB", f"{worst:.2f} dB",
        )
        for kept, (plain, a, again, b, fresh, c, worst) in result("predicted")["trim"].items()
    ]  # fmt: skip
    head = (
        "kept of 32",
        "trimmed",
        "PSNR",
        "with `--search`",
        "PSNR",
        "encoded anew",
        "PSNR",
        "most that a search loses",
    )
    return table(head, rows)


def motion() -> str:
    """Fill policy `motion` compared with `token`."""
    rows = [
        (
            r["kept"], r["qp"], r["fill"], f"{r['mse']:.5f}", f"{r['psnr']:.2f} dB", f"{r['bpp']:.4f}",
            f"{r['latents']:.4f}", f"{r['motion']:.4f}",
        )
        for r in result("motion")["rows"]
    ]  # fmt: skip
    return table(("kept of 32", "QP", "`--fill`", "MSE", "PSNR", "bits/pixel", "of it latents", "motion"), rows)


def blend() -> str:
    """Fill policy blend compared with motion."""
    return blend_report(result("blend"))


def mtc() -> str:
    """Content-adaptive budgets compared with fixed budgets."""
    found = result("mtc")["rates"]
    names = ("fixed 4", "fixed 8", "fixed 16", *(n for n in found if n.startswith("rule w") and "to" not in n))
    rows = [
        (n, f"{found[n]['kept']:.2f}", f"{found[n]['vcpr']:.0f}", f"{found[n]['psnr']:.2f} dB",
         f"{found[n]['gain']:+.2f} dB", f"{found[n]['gain_by_bytes']:+.2f} dB", f"{found[n]['ssim']:.4f}",
         f"{found[n]['lpips']:.4f}")
        for n in (*names, "rule w = 1.5, 2 to 16", "H.264 size", "random")
    ]  # fmt: skip
    gains = ("over one rate at equal frames kept", "at equal bytes")
    return table(("rates of the segments", "mean kept of 32", "VCPR", "PSNR", *gains, "SSIM", "LPIPS"), rows)


def ablation() -> str:
    """Ablation of the encoder."""
    found = result("ablation")
    rows = [
        (f"`{r['change']}`" if r["change"].startswith("-") else r["change"],
         "" if r["bd_rate"] is None else f"{r['bd_rate']:+.1f} %", r["clips"], f"{r['seconds']:.1f}")
        for r in found["rows"]
    ]  # fmt: skip
    what = f"{found['kept']} of 32 kept, {len(found['clips'])} eval clips"
    head = (what, "bits at equal PSNR", "clips whose curves overlap", "CPU seconds per clip")
    return table(head, rows)


def rate_control() -> str:
    """Accuracy of rate control over clips."""
    clips = result("rate_control")["clips"].values()
    rows = []
    for target, unit, scale in (("size", "%", 100), ("bitrate", "%", 100), ("psnr", "dB", 1)):
        off = [scale * clip[target]["off"] for clip in clips if target in clip]
        if off:
            rows.append((target, len(off), *(f"{x:+.2f} {unit}" for x in (min(off), float(np.mean(off)), max(off)))))
    return table(("target", "clips", "least", "mean", "most"), rows)


def generate() -> str:
    """Fréchet distances of generated clips, baselines and real ones."""
    found = result("generate")
    rows = [[name, *(round(value, 1) for value in row.values())] for name, row in found["frechet"].items()]
    near = found["nearest"]
    return (
        f"{found['count']} clips of 8 kept frames of 256×256 for each row, {found['steps']} steps ({found['method']}), "
        f"against {found['reference']} real clips:\n\n"
        + table(["Fréchet distance", "appearance", "motion"], rows)
        + "\n\nMedian squared error per sample to the nearest training clip: "
        + f"generated {near['generated']:.3f}, held-out clips {near['held out']:.3f}."
    )


def segments() -> str:
    """What the place of the segment embedding is worth."""
    rows = [
        [
            place, f"{row['frames']:.1%}", f"{row['segments']:.1%}", f"{row['psnr']:.2f} dB", f"{row['ssim']:.4f}",
            f"{row['lpips']:.4f}",
        ]
        for place, row in result("segments")["places"].items()
    ]  # fmt: skip
    return table(["embedding", "frames classified correctly", "segments found", "PSNR", "SSIM", "LPIPS"], rows)


def looks() -> str:
    """Looks beside the decoded pictures."""
    return looks_report(result("looks"))


def vae_latents() -> str:
    """Latents of another VAE: bytes and errors."""
    return vae_latents_report(result("vae_latents"))


def seams() -> str:
    """PSNR at clip boundaries."""
    found = result("seams")
    ends, between = (np.array([row[key] for row in found["rows"].values()]) for key in ("ends", "between"))
    cells = (f"{ends.mean():.2f} dB", f"{between.mean():.2f} dB", f"{(ends - between).min():+.2f} dB")
    head = ("kept of 32", "first and last two frames of clips", "others", "worst video of all")
    return table(head, [(found["budget"], *cells)])


def tiles() -> str:
    """Error in the overlap of tiles."""
    found = result("tiles")
    names = ("seams", "elsewhere", "whole_seams", "whole_elsewhere")
    mean = {name: float(np.mean([row[name] for row in found["rows"].values()])) for name in names}
    ratios = mean["seams"] / mean["elsewhere"], mean["whole_seams"] / mean["whole_elsewhere"]
    cells = (f"{mean['seams']:.5f}", f"{mean['elsewhere']:.5f}", f"{ratios[0]:.3f}", f"{ratios[1]:.3f}")
    return table(("MSE along seams", "elsewhere", "ratio", "ratio in one piece, same pixels"), [cells])


def flow_loss() -> str:
    """Weights without and with the flow-guided consistency loss."""
    return flow_loss_report(result("flow_loss"))
