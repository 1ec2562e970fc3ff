"""A folder of `.dfc` files as a PyTorch dataset of latents, to train a generative model on.

python examples/latent_dataset.py folder/

Clips of one batch must be of one size: `dfc encode *.mp4 --size 256x256 --output-dir folder/` makes such files.
"""

import sys
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset

import dfccodec as dfc


class LatentClips(Dataset[dict[str, torch.Tensor]]):
    """Every clip of every file: latents (32, N, C), and which of the 32 slots hold a kept frame and where it stood.

    Slots are packed to the left, as the published generator wants them.
    """

    def __init__(self, folder: Path, slots: int = 32) -> None:
        self.slots = slots
        self.clips = []
        sizes = set()
        for path in sorted(folder.rglob("*.dfc")):
            with dfc.open(path) as file:
                if file.summary.damage:
                    print(f"{path} is damaged, {len(file)} clips of it are whole", file=sys.stderr)
                sizes.add((file.header.width, file.header.height))
                self.clips += [(path, number) for number in range(len(file))]
        if len(sizes) != 1:
            sys.exit(f"{folder}: files of one size are wanted, there are {sorted(sizes) or 'none'}")

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        path, number = self.clips[index]
        with dfc.open(path) as file:
            clip = file[number]
            z = torch.from_numpy(clip.dequantized())
        kept = z.shape[0]
        latents = torch.zeros(self.slots, z.shape[1:-1].numel(), z.shape[-1])
        latents[:kept] = z.flatten(1, -2)
        positions = torch.full((self.slots,), -1)
        positions[:kept] = torch.from_numpy(clip.kept_indices)
        return {"latents": latents, "positions": positions, "valid": positions >= 0}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for batch in DataLoader(LatentClips(Path(sys.argv[1])), batch_size=2):
        print({name: tuple(value.shape) for name, value in batch.items()}, batch["valid"].sum(dim=1).tolist())
