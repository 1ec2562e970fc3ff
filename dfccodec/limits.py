"""Every limit of the format and of this reader, with its reason.

Limits are checked before anything is allocated or decompressed. SPEC.md section 9 repeats those that bind writers.
"""

MAX_CHUNK = 1 << 28
"""Bytes of a chunk's payload: the largest clip of an 8K video is under 200 MiB even when nothing compresses."""

MAX_SIDE = 65535
"""Pixels: width and height are 16-bit fields."""

MAX_PIXELS = 1 << 27
"""Pixels of a picture (16384×8192): four times 8K, and a ceiling on what one frame can make a reader allocate."""

MAX_CLIP_FRAMES = 64
"""Frames of a clip: the published model sees 64 at the most, and kept-frame bitmaps stay at 8 bytes."""

MAX_CHANNELS = 1024
"""Numbers per token: ten times what any known model uses."""

MAX_CLIP_VALUES = 1 << 28
"""Integers of a clip: 512 MiB as int16. An 8K clip of 21 kept frames fits; larger pictures take shorter clips."""

MAX_CLIP_PIXELS = 1 << 31
"""Pixels of a clip, all its frames: dropped frames take no bytes in the file but memory in the decoder, 24 GiB of
floats at this limit. 64 frames of 8K fit."""

MAX_EXPANSION = 32768
"""Decompressed over compressed bytes, in the range coding integers of two bytes: no zstd frame of 128 KiB blocks
exceeds it and no range coder can, so a larger claim is a lie that needs no decoder to refuse. With it a file of 1 KiB
can claim 32 MiB of latents and no more."""

MAX_TEXT = 65535
"""Bytes of a text field: its length is a 16-bit field."""

MAX_JSON_DEPTH = 100
"""Objects and lists inside one another in a model's configuration: readers of JSON call themselves for each."""

MAX_PAIRS = 1024
"""Key/value pairs of a `tags` or `tool` chunk."""

MAX_STREAMS = 64
"""Sound and subtitle streams."""

MAX_QP = 63
"""Quantizer index: 63 is a step 235 times the base step."""

RESYNC_BUDGET = 64 << 20
"""Bytes of checksums a reader computes at candidate chunks after damage: bounds a file made of false chunk headers."""

MAX_WINDOW = 1 << 27
"""Bytes of a zstd window, or the content where that is larger: the memory of a streaming decompressor."""
