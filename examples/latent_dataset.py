"""Read a folder of `.dfc` files as batches of latents, for example to train a generative model.

dfc encode *.mp4 --output-dir folder/ --preset latents --size 256 --crop 256
python examples/latent_dataset.py folder/
"""

import sys

from dfccodec.data import LatentDataset, LatentLoader, channel_statistics
from dfccodec.errors import DfcError

if len(sys.argv) != 2:
    sys.exit(__doc__)
try:
    data = LatentDataset(sys.argv[1], window=8, stride=4)  # windows of 8 kept frames, (8, N, C) each
except DfcError as error:
    sys.exit(f"error: {error}")
statistics = channel_statistics(data)
print(data, f"deviation of the first channel {statistics.deviation[0]:.2f}")
for batch in LatentLoader(data, batch_size=2):
    latents = statistics.normalize(batch["latents"])  # (B, K, N, C), mean 0 and deviation 1
    print(tuple(latents.shape), batch["positions"].tolist(), batch["source"])
