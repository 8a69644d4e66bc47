"""Seeds of initial weights: a function of the job's seed and the weight's name."""

import zlib

__all__ = ["derived_seed"]


def derived_seed(seed: int, name: str) -> int:
    """Returns a seed for the weight or layer called `name`.

    Every layer draws from its own seed, so that adding or reordering layers leaves the
    initial weights of the others as they were, and no two layers draw alike.
    """
    return zlib.crc32(f"{seed}/{name}".encode()) & 0x7FFFFFFF
