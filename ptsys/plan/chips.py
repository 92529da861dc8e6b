"""Published figures of TPU chips.

Sources: Google's pages of each generation, docs.cloud.google.com/tpu/docs/{v4,v5e,v5p,v6e}, «key
chip specifications», read in November 2026. HBM is what the compiler of libtpu 0.0.42 lets a
program use on a chip, as its out-of-memory error tells; the pages' rounder capacity stands beside.
"""

from __future__ import annotations

import dataclasses

GIB = 1 << 30
TERA, GIGA = 1e12, 1e9


@dataclasses.dataclass(frozen=True)
class Chip:
    """One chip. `hbm_bytes` can be used by a program; `flops` are bfloat16 a second; `hbm_rate`
    and `ici_rate` are bytes a second, the latter what a chip can send over all of its links
    together (half of the published bidirectional figure)."""

    name: str
    hbm_bytes: int
    flops: float
    hbm_rate: float
    ici_rate: float


CHIPS = {
    chip.name: chip
    for chip in (
        # 32 GB HBM2 at 1228 GB/s, 275 TFLOP/s, 2400 Gbit/s of ICI (six links)
        Chip("v4", int(31.25 * GIB), 275 * TERA, 1228 * GIGA, 300 * GIGA),
        # 16 GB HBM2 at 819 GB/s, 197 TFLOP/s, 400 GB/s of ICI in both directions (four links)
        Chip("v5e", int(15.75 * GIB), 197 * TERA, 819 * GIGA, 200 * GIGA),
        # 95 GB HBM2e at 2765 GB/s, 459 TFLOP/s, 1200 GB/s of ICI in both directions (six links)
        Chip("v5p", int(95.74 * GIB), 459 * TERA, 2765 * GIGA, 600 * GIGA),
        # 32 GB HBM at 1638 GB/s, 918 TFLOP/s, 800 GB/s of ICI in both directions (four links)
        Chip("v6e", int(31.25 * GIB), 918 * TERA, 1638 * GIGA, 400 * GIGA),
    )
}
