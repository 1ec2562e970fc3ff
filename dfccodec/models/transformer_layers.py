"""Layers of both published networks.

Attribute names such as `SpatialAttention` do not follow Python's conventions, because they are the names in the
published state dicts, which load strictly.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

EPSILON = 1e-6  # of all normalizations in the published networks
ROTARY_BASE = 10_000.0


def rotary_table(length: int, dim: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return cosines and sines for positions 0 … length − 1 (Su et al. 2021, RoFormer, equation 34).

    The table is computed for each call and is not a buffer. This costs far less than one Linear. The published files do
    not contain it, and after loading, a network built on the meta device has no uninitialized buffer.

    Args:
        length: number of positions.
        dim: width of a head, even.
        like: tensor with device and dtype of the result. Angles are always computed in float32.

    Returns:
        Two tensors (length, dim / 2).
    """
    index = torch.arange(0, dim, 2, dtype=torch.float32, device=like.device)
    position = torch.arange(length, dtype=torch.float32, device=like.device)
    angle = torch.outer(position, ROTARY_BASE ** (-index / dim))
    return angle.cos().to(like.dtype), angle.sin().to(like.dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the pairs (i, i + dim/2) of x (…, length, dim) by the angle of their position."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


class Attention(nn.Module):
    """Pre-norm softmax attention with normalized, rotary queries and keys; no residual.

    Args:
        dim: width of a token.
        num_heads: number of heads.
        qkv_features: total width of all heads.
    """

    def __init__(self, dim: int, num_heads: int, qkv_features: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        head = qkv_features // num_heads
        self.input_norm = nn.LayerNorm(dim, eps=EPSILON)
        self.qkv_projection = nn.Linear(dim, 3 * qkv_features)
        self.out_projection = nn.Linear(qkv_features, dim)
        self.q_norm = nn.LayerNorm(head, eps=EPSILON, bias=False)
        self.k_norm = nn.LayerNorm(head, eps=EPSILON, bias=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, L, D) → (B, L, D). `mask` is bool, broadcastable to (B, heads, L, L), False for masked keys."""
        qkv: Tensor = self.qkv_projection(self.input_norm(x))
        # The published projection contains all queries, then all keys, then all values.
        query, key, value = rearrange(qkv, "b l (three h d) -> three b h l d", three=3, h=self.num_heads)
        cos, sin = rotary_table(query.shape[-2], query.shape[-1], query)
        query, key = rotate(self.q_norm(query), cos, sin), rotate(self.k_norm(key), cos, sin)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        out: Tensor = self.out_projection(rearrange(mixed, "b h l d -> b l (h d)"))
        return out


class MLP(nn.Module):
    """LayerNorm → Linear → SiLU → Linear over the last dimension; no residual."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=EPSILON)
        self.linear1 = nn.Linear(dim, hidden)
        self.linear2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(…, D) → (…, D)."""
        out: Tensor = self.linear2(F.silu(self.linear1(self.norm(x))))
        return out


class FactoredBlock(nn.Module):
    """Attention over time for each token, then over space for each frame, each followed by an MLP."""

    def __init__(self, dim: int, mlp_dim: int, num_heads: int, qkv_features: int) -> None:
        super().__init__()
        self.SpatialAttention = Attention(dim, num_heads, qkv_features)
        self.SpatialMLP = MLP(dim, mlp_dim)
        self.TemporalAttention = Attention(dim, num_heads, qkv_features)
        self.TemporalMLP = MLP(dim, mlp_dim)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """(B, T, N, D) → (B, T, N, D). Frames with `valid` (B, T) False are masked out in attention over time."""
        batch, _, tokens, _ = x.shape
        mask = None
        if valid is not None:  # the same mask for every token of a clip
            mask = valid[:, None, :].expand(-1, tokens, -1).flatten(0, 1)[:, None, None, :]
        x = rearrange(x, "b t n d -> (b n) t d")
        x = x + self.TemporalAttention(x, mask)
        x = x + self.TemporalMLP(x)
        x = rearrange(x, "(b n) t d -> (b t) n d", b=batch)
        x = x + self.SpatialAttention(x)
        x = x + self.SpatialMLP(x)
        return rearrange(x, "(b t) n d -> b t n d", b=batch)
