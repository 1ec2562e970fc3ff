"""All limits of the format and of this reader, with their reasons.

Limits are checked before anything is allocated or decompressed. SPEC.md section 9 lists those that bind writers.
"""

MAX_CHUNK = 1 << 28
"""Maximum bytes of a chunk's payload: the largest clip of an 8K video is under 200 MiB even when nothing compresses."""

MAX_SIDE = 65535
"""Maximum width and height in pixels: both are 16-bit fields."""

MAX_PIXELS = 1 << 27
"""Maximum pixels of a picture (16384×8192): four times 8K. It bounds what one frame can make a reader allocate."""

MAX_CLIP_FRAMES = 64
"""Maximum frames of a clip: the published model takes up to 64, and kept-frame bitmaps stay at 8 bytes."""

MAX_CHANNELS = 1024
"""Maximum channels per token: ten times that of any known model."""

MAX_CLIP_VALUES = 1 << 28
"""Maximum integers of a clip: 512 MiB as int16. An 8K clip of 21 kept frames fits; larger pictures need shorter
clips."""

MAX_CLIP_PIXELS = 1 << 31
"""Maximum pixels of all frames of a clip: dropped frames take few bytes in the file but memory in the decoder, 24 GiB
of floats at this limit. 64 frames of 8K fit."""

MAX_EXPANSION = 32768
"""Maximum ratio of decompressed to compressed bytes; in the rANS codings an integer counts as two bytes. No zstd frame
of 128 KiB blocks and no rANS stream exceeds it, so a larger declared size is false and is rejected without decoding. A
file of 1 KiB can declare 32 MiB of latents at most."""

MAX_CELLS_PER_BYTE = 4096
"""Maximum cells of a stream of context mixing per byte. Each has at least one decision, of at least 0.0028 bits."""

MAX_TEXT = 65535
"""Maximum bytes of a text field: its length is a 16-bit field."""

MAX_JSON_DEPTH = 100
"""Maximum nesting of objects and lists in a model's configuration: JSON parsers recurse."""

MAX_PAIRS = 1024
"""Maximum key/value pairs of a `tags` or `tool` chunk."""

MAX_STREAMS = 64
"""Maximum number of audio and subtitle streams."""

MAX_QP = 63
"""Maximum quantizer index: a step of 235 times the base step."""

RESYNC_BUDGET = 64 << 20
"""Maximum bytes over which a reader computes checksums of candidate chunks after damage. It bounds the work on a file
of false chunk headers."""

MAX_WINDOW = 1 << 27
"""Maximum bytes of a zstd window, which is the memory of a streaming decompressor."""
