"""Random numbers that depend on a seed and an id alone, not on the order of rows."""

import numpy as np
import numpy.typing as npt

__all__ = ["mix", "uniform"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mix(
    seed: int, ids: npt.NDArray[np.int64], stream: int = 0
) -> npt.NDArray[np.uint64]:
    """Returns 64 random bits for each id.

    Source: SplitMix64; Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
    Generators", 2014.

    Args:
        seed: another one gives other bits.
        ids: any shape.
        stream: another one gives bits that have nothing to do with these.
    """
    salt = np.random.SeedSequence([seed, stream]).generate_state(1, np.uint64)[0]
    bits: npt.NDArray[np.uint64] = ids.astype(np.uint64) * _GOLDEN + salt
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    return bits ^ (bits >> np.uint64(31))


def uniform(
    seed: int, ids: npt.NDArray[np.int64], stream: int = 0
) -> npt.NDArray[np.float64]:
    """Returns a number in [0, 1) for each id."""
    bits = mix(seed, ids, stream) >> np.uint64(11)
    numbers: npt.NDArray[np.float64] = bits * 2.0**-53
    return numbers
