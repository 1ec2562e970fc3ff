"""Letters for labels in pictures: ASCII in 5×8 pixels, so that no font and no drawing library is needed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT = 6, 8
"""Size of a letter in pixels, with the space after it."""

_COLUMNS = bytes.fromhex(
    "0000000000 00005f0000 0007000700 147f147f14 242a7f2a12 2313086462 3649562050 0008070300"  # space to '
    "001c224100 0041221c00 2a1c7f1c2a 08083e0808 0080703000 0808080808 0000606000 2010080402"  # ( to /
    "3e5149453e 00427f4000 7249494946 2141494d33 1814127f10 2745454539 3c4a494931 4121110907"  # 0 to 7
    "3649494936 464949291e 0000140000 0040340000 0008142241 1414141414 0041221408 0201590906"  # 8 to ?
    "3e415d594e 7c1211127c 7f49494936 3e41414122 7f4141413e 7f49494941 7f09090901 3e41415173"  # @ to G
    "7f0808087f 00417f4100 2040413f01 7f08142241 7f40404040 7f021c027f 7f0408107f 3e4141413e"  # H to O
    "7f09090906 3e4151215e 7f09192946 2649494932 03017f0103 3f4040403f 1f2040201f 3f4038403f"  # P to W
    "6314081463 0304780403 6159494d43 007f414141 0204081020 004141417f 0402010204 4040404040"  # X to _
    "0003070800 2054547840 7f28444438 3844444428 384444287f 3854545418 00087e0902 18a4a49c78"  # ` to g
    "7f08040478 00447d4000 2040403d00 7f10284400 00417f4000 7c04780478 7c08040478 3844444438"  # h to o
    "fc18242418 18242418fc 7c08040408 4854545424 04043f4424 3c4040207c 1c2040201c 3c4030403c"  # p to w
    "4428102844 4c9090907c 4464544c44 0008364100 0000770000 0041360800 0201020402 0000000000"  # x to ~
)
"""Columns of the letters from the space on, the lowest bit at the top."""


def draw_text(text: str, scale: int = 1) -> npt.NDArray[np.bool_]:
    """Return a line of text as a mask (8 · scale, 6 · length · scale); letters that are not ASCII become `?`."""
    codes = [ord(c) - 32 if " " <= c <= "~" else ord("?") - 32 for c in text]
    columns = np.frombuffer(_COLUMNS, np.uint8).reshape(-1, WIDTH - 1)[codes]
    columns = np.pad(columns, ((0, 0), (0, 1))).reshape(-1)
    mask = (columns[None] >> np.arange(HEIGHT, dtype=np.uint8)[:, None] & 1).astype(bool)
    return mask.repeat(scale, axis=0).repeat(scale, axis=1)
