"""Quality metrics of decoded videos, and the comparison of rate–distortion curves.

Every metric compares two videos of equal shape, the source first, and returns one number. A video is (T, H, W, 3) RGB,
uint8 or float in [0, 1]. This package does not depend on codecs. `psnr` and `bdrate` need only NumPy, the other metrics
need torch or ffmpeg.
"""
