"""Load a folder of `.dfc` files as a PyTorch dataset of latents, for example to train a generative model.

python examples/latent_dataset.py folder/

All clips must have the same size: `dfc encode *.mp4 --size 256x256 --output-dir folder/` writes such files.
"""

import sys
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset

import dfccodec as dfc


class LatentClips(Dataset[dict[str, torch.Tensor]]):
    """Dataset of all clips of all files in a folder.

    Each item has `latents` (32, N, C), `positions` (32,) (frame numbers; -1 for unused slots) and `valid` (32,) bool.
    Kept frames come first, as the published generator needs them.
    """

    def __init__(self, folder: Path, slots: int = 32) -> None:
        self.slots = slots
        self.clips = []
        sizes = set()
        for path in sorted(folder.rglob("*.dfc")):
            with dfc.open(path) as file:
                if file.summary.damage:
                    print(f"{path} is damaged, {len(file)} of its clips are intact", file=sys.stderr)
                sizes.add((file.header.width, file.header.height))
                self.clips += [(path, number) for number in range(len(file))]
        if len(sizes) != 1:
            sys.exit(f"{folder}: all files must have the same size, found {sorted(sizes) or 'no files'}")

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
