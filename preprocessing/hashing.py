"""Salted hashes of fingerprints: for buckets, split, sampling and order.

A fingerprint (see `preprocessing.encoding`) is mixed with a salt by SplitMix64
(Steele, Lea, Flood 2014), in NumPy on whole columns. Each use has a salt of its own,
so that the choice of a row in one says nothing about its choice in another.
"""

import hashlib
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Purpose", "mix", "salted", "unit_interval"]

Purpose = Literal["bucket", "split", "sampling", "order", "golden", "content"]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Returns SplitMix64's output function of each value: a bijection on 64 bits."""
    with np.errstate(over="ignore"):
        mixed = values + _STEP
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
        return mixed ^ (mixed >> np.uint64(31))


def salted(
    fingerprints: npt.NDArray[np.int64], purpose: Purpose, seed: int = 0
) -> npt.NDArray[np.uint64]:
    """Hashes fingerprints for one purpose.

    Args:
        fingerprints: any shape.
        purpose: what the hash decides; hashes of different purposes are independent.
        seed: the job's seed for that purpose.
    """
    digest = hashlib.sha256(f"{purpose}:{seed}".encode()).digest()
    salt = np.uint64(int.from_bytes(digest[:8], "little"))
    return mix(fingerprints.astype(np.uint64) ^ salt)


def unit_interval(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """Maps hashes to [0, 1), evenly, by their upper 53 bits."""
    return (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53
