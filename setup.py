"""Builds the optional extension `dfccodec.native._kernels`; everything else is in pyproject.toml.

Without a C compiler the installation succeeds, and the NumPy twins of the kernels run instead.
"""

import os
import sys

from setuptools import Extension, setup

FLAGS = "/O2" if sys.platform == "win32" else "-O3 -std=c11 -ffp-contract=off -fno-trapping-math -Wall -Wextra"
"""No fused multiply-add and no -ffast-math: the kernels must compute the same numbers on every machine. Without traps,
which nobody asks for, compilers use vector instructions for conversions; the numbers are the same."""

SOURCES = (
    "module rans mixing mixing_latents mixing_motion latents latent_vectors latent_compensation latent_motion "
    "latent_filters motion motion_decision motion_payload motion_pyramid"
)

kernels = Extension(
    "dfccodec.native._kernels",
    sources=[f"dfccodec/native/{name}.c" for name in SOURCES.split()],
    depends=[f"dfccodec/native/{name}.h" for name in ("kernels", "mixing", "motion")],
    extra_compile_args=[*FLAGS.split(), *os.environ.get("DFC_CFLAGS", "").split()],
    extra_link_args=os.environ.get("DFC_CFLAGS", "").split(),
    py_limited_api=True,
    optional=True,
)

setup(ext_modules=[kernels], options={"bdist_wheel": {"py_limited_api": "cp311"}})
