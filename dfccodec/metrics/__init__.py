"""How far a decoded video is from its source, and how far one codec's curve is from another's.

Every metric takes two videos of one shape, the source first: (T, H, W, 3) RGB, uint8 or float in [0, 1], and gives
one number for the pair. This room knows nothing of codecs; torch is its only heavy import, and `psnr` and `bdrate` do
without it.
"""
