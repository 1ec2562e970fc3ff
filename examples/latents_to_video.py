"""Write latents, for example of a generative model, to a `.dfc` file. Here, they are copied from another file.

dfc encode in.mp4 -o out.dfc --coding inter
python examples/latents_to_video.py out.dfc
dfc decode latents.dfc -o video.mp4
"""

import sys
from fractions import Fraction

import dfccodec as dfc

with dfc.open(sys.argv[1]) as file:
    header = file.header
    clips = [(clip.dequantized(), clip.kept) for clip in file]  # (K, tiles, rows, columns, C) float32, (T,) bool

report = dfc.write_latents(
    "latents.dfc",
    clips,
    size=(header.width, header.height),
    frame_rate=Fraction(header.rate.num or 25, header.rate.den),  # 0 if unknown
    qp=8,
)
print(f"latents.dfc: {report.frames} frames from latents of {report.kept}, {report.size} bytes")

pictures = [picture.rgb for picture in dfc.decode("latents.dfc")]  # (H, W, 3) uint8, all frames
print(f"{len(pictures)} pictures of {pictures[0].shape}")
