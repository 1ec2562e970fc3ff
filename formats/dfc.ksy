meta:
  id: dfc
  title: Dynamic frame compression video (.dfc)
  file-extension: dfc
  license: Apache-2.0
  encoding: UTF-8
  endian: le
doc: |
  Video as the quantized latents of its kept frames. SPEC.md, in the folder above, is normative. Checksums,
  ranges across chunks and the content of latents are beyond this description; read_dfc.py checks them.
seq:
  - id: signature
    contents: [0xdf, DFC, 0x0d, 0x0a, 0x1a, 0x0a]
  - id: chunks
    type: chunk
    repeat: eos
enums:
  fill:
    0: token
    1: hold
    2: lerp
    3: motion
    4: blend
    5: generate
    6: direct
  coding:
    0: zstd
    1: range
    2: inter
    3: predicted
  colour_range:
    0: unknown
    1: limited
    2: full
  stream_kind:
    0: audio
    1: subtitles
    2: data
types:
  chunk:
    seq:
      - id: type
        type: str
        size: 4
        encoding: ASCII
      - id: len_payload
        type: u4
        valid:
          max: 268435456
      - id: payload
        size: len_payload
        type:
          switch-on: type
          cases:
            '"HEAD"': head
            '"MODL"': modl
            '"STEP"': step
            '"tool"': pairs
            '"tags"': pairs
            '"strm"': strm
            '"pkts"': pkts
            '"CLIP"': clip
            '"indx"': indx
            '"foot"': foot
      - id: crc
        type: u4
        doc: CRC-32 of type and payload
  text:
    seq:
      - id: len_value
        type: u2
      - id: value
        type: str
        size: len_value
  ratio:
    seq:
      - id: num
        type: u4
      - id: den
        type: u4
        valid:
          min: 1
  head:
    seq:
      - id: version
        type: u1
      - id: needs
        type: u1
        valid: 1
      - id: flags
        type: u2
        valid: 0
      - id: width
        type: u2
        valid:
          min: 1
      - id: height
        type: u2
        valid:
          min: 1
      - id: patch
        type: u1
        valid:
          any-of: [1, 2, 4, 8, 16, 32, 64]
      - id: clip_frames
        type: u1
        valid:
          min: 1
          max: 64
      - id: channels
        type: u2
        valid:
          min: 1
          max: 1024
      - id: tile
        type: u2
      - id: overlap
        type: u2
      - id: rate
        type: ratio
      - id: time_base
        type: ratio
      - id: pixel_aspect
        type: ratio
      - id: rotation
        type: u1
        valid:
          max: 3
      - id: colour_range
        type: u1
        enum: colour_range
      - id: colour_primaries
        type: u1
      - id: transfer_characteristics
        type: u1
      - id: matrix_coefficients
        type: u1
      - id: bits
        type: u1
      - id: reserved
        type: u2
        valid: 0
    instances:
      high:
        value: (height + patch - 1) / patch * patch
        doc: height padded to whole patches
      wide:
        value: (width + patch - 1) / patch * patch
      tile_rows:
        value: 'tile == 0 or high <= tile ? 1 : 1 + (high - tile + tile - overlap - 1) / (tile - overlap)'
      tile_columns:
        value: 'tile == 0 or wide <= tile ? 1 : 1 + (wide - tile + tile - overlap - 1) / (tile - overlap)'
      tiles:
        value: tile_rows * tile_columns
      rows:
        value: '(tile == 0 ? high : tile) / patch'
      columns:
        value: '(tile == 0 ? wide : tile) / patch'
  modl:
    seq:
      - id: name
        type: text
      - id: fingerprint
        size: 32
      - id: configuration
        type: text
  step:
    seq:
      - id: num_steps
        type: u2
      - id: steps
        type: f4
        repeat: expr
        repeat-expr: num_steps
  pair:
    seq:
      - id: key
        type: text
      - id: value
        type: text
  pairs:
    seq:
      - id: num_pairs
        type: u2
        valid:
          max: 1024
      - id: pairs
        type: pair
        repeat: expr
        repeat-expr: num_pairs
  strm:
    seq:
      - id: stream_id
        type: u2
      - id: kind
        type: u1
        enum: stream_kind
      - id: reserved
        type: u1
        valid: 0
      - id: time_base
        type: ratio
      - id: sample_rate
        type: u4
      - id: channels
        type: u2
      - id: disposition
        type: u2
      - id: codec
        type: text
      - id: layout
        type: text
      - id: language
        type: text
      - id: len_extradata
        type: u4
      - id: extradata
        size: len_extradata
  pkts:
    seq:
      - id: stream_id
        type: u2
      - id: reserved
        type: u2
        valid: 0
      - id: num_packets
        type: u4
      - id: table
        type: packet
        repeat: expr
        repeat-expr: num_packets
      - id: data
        size-eos: true
  packet:
    seq:
      - id: pts
        type: s8
      - id: dts
        type: s8
      - id: duration
        type: u4
      - id: len_data
        type: u4
      - id: key
        type: u1
        valid:
          max: 1
  clip:
    seq:
      - id: first_frame
        type: u4
      - id: num_frames
        type: u1
        valid:
          min: 1
          max: 64
      - id: qp
        type: u1
        valid:
          max: 63
      - id: fill
        type: u1
        enum: fill
      - id: coding
        type: u1
        enum: coding
      - id: first_pts
        type: s8
      - id: timing
        type: u1
        valid:
          max: 1
      - id: planes
        type: u1
        valid:
          min: 1
          max: 2
      - id: reserved
        type: u2
        valid: 0
      - id: len_fill_payload
        type: u4
      - id: len_latents
        type: u4
      - id: kept
        size: (num_frames + 7) / 8
        doc: bitmap, least significant bit first
      - id: importance
        size: num_frames
      - id: durations
        type: u4
        repeat: expr
        repeat-expr: 'timing == 1 ? num_frames : 1'
      - id: fill_payload
        size: len_fill_payload
        doc: in fill policies motion and blend a rANS stream of 32-bit words, or empty; in direct a byte and such a stream, if a frame is kept; in generate four bytes and such a stream, or empty; empty in other policies
      - id: latents
        size: len_latents
        doc: one zstd frame; in codings 1 and 2 a rANS stream of 32-bit words; in coding 3 tools u1, motion_bytes u4, intra_bytes u4, one u1 for each kept frame, then three such streams (with bit 4 of tools they and the details are coded by context mixing, SPEC.md 7.11); empty if no frame is kept
  indx:
    seq:
      - id: num_clips
        type: u4
      - id: num_frames
        type: u8
      - id: num_kept
        type: u8
      - id: latent_hash
        size: 32
      - id: clips
        type: index_entry
        repeat: expr
        repeat-expr: num_clips
  index_entry:
    seq:
      - id: offset
        type: u8
      - id: len_chunk
        type: u4
      - id: first_frame
        type: u4
      - id: first_pts
        type: s8
      - id: num_frames
        type: u1
      - id: num_kept
        type: u1
      - id: reserved
        type: u2
        valid: 0
  foot:
    seq:
      - id: index_offset
        type: u8
