"""Read a `.dfc` file without a model: header, kept frames, quantized latents.

dfc encode flower.mp4 -o flower.dfc --coding inter
python examples/read_latents.py flower.dfc
"""

import sys

import dfccodec as dfc

with dfc.open(sys.argv[1]) as file:
    print(f"{file.header.width}×{file.header.height}, {file.frames} frames, {file.kept} kept, model {file.model.name}")
    for clip in file:
        latents = clip.latents  # (kept, tiles, rows, columns, channels) int16
        print(f"from frame {clip.record.first_frame}: kept {clip.kept_indices.tolist()}, latents {latents.shape}")
