"""Train a small generator of kept frames on a folder of `.dfc` files, by flow matching, in five minutes.

python examples/train_on_latents.py folder/ [--minutes 5] [--checkpoint generator.pt]

Run it again to continue: the checkpoint has the position within the epoch, so every window is seen once per epoch.
"""

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from dfccodec.data import LatentDataset, LatentLoader, channel_statistics

FRAMES, SIDE, WIDTH = 8, 4, 128


class Generator(nn.Module):
    """Velocity of latents (B, K, N, C) at time t (B,), given the gaps between kept frames (B, K)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = nn.Linear(channels, WIDTH)
        self.place = nn.Parameter(0.02 * torch.randn(FRAMES, SIDE * SIDE, WIDTH))
        self.condition = nn.Sequential(nn.Linear(2, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH))
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 2 * WIDTH, 0.0, "gelu", batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.leave = nn.Linear(WIDTH, channels)

    def forward(self, latents: Tensor, time: Tensor, gaps: Tensor) -> Tensor:
        given = torch.stack([time[:, None].expand_as(gaps), gaps / 8], dim=-1)
        x = self.enter(latents) + self.place + self.condition(given)[:, :, None]
        out: Tensor = self.leave(self.body(x.flatten(1, 2)).reshape(x.shape))
        return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--checkpoint", type=Path, default=Path("generator.pt"))
    options = parser.parse_args()
    torch.manual_seed(0)
    data = LatentDataset(options.folder, window=FRAMES, stride=2, crop=(SIDE, SIDE), crop_at="random", mixed_qp=True)
    loader = LatentLoader(data, batch_size=8, seed=1)
    statistics = channel_statistics(data)
    model = Generator(len(statistics.mean))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    step = 0
    if options.checkpoint.exists():
        state = torch.load(options.checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        loader.load_state_dict(state["loader"])
        step = state["step"]
    end, shown, mean = time.monotonic() + 60 * options.minutes, 0.0, 0.0
    while time.monotonic() < end:
        for batch in loader:
            clean = statistics.normalize(batch["latents"])
            noise, moment = torch.randn_like(clean), torch.rand(len(clean))
            point = torch.lerp(noise, clean, moment[:, None, None, None])
            loss = (model(point, moment, batch["gaps"].float()) - (clean - noise)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step, mean = step + 1, loss.item() if not mean else 0.98 * mean + 0.02 * loss.item()
            if time.monotonic() > shown + 10:
                shown = time.monotonic()
                print(f"step {step}, epoch {loader.sampler.epoch}, loss {mean:.3f}", flush=True)
            if time.monotonic() >= end:
                break
        position = loader.state_dict()
    torch.save(
        {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "loader": position, "step": step},
        options.checkpoint,
    )
    print(f"{step} steps, loss {mean:.3f}, in {options.checkpoint}")


if __name__ == "__main__":
    main()
