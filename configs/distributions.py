"""What example sets are compared by, beside their counts: `distributions.json`.

Histograms have bins that never depend on the data, so that those of other days, or of
parts of a day, have the same ones and add up. Bin 0 holds 0; from there on each power
of two has eight bins of equal width, upwards for positive numbers and downwards for
negative ones. Positive x = m * 2**e, 1/2 <= m < 1, lies in the bin
8 * (e + 150) + floor(16 * m - 8) + 1.
"""

from pathlib import Path

from pydantic import ConfigDict, NonNegativeFloat, ValidationError

from configs.errors import DataError
from configs.section import Section

__all__ = [
    "BINS_PER_OCTAVE",
    "DISTRIBUTIONS_FILE",
    "EXPONENT_SHIFT",
    "Distributions",
    "Histogram",
    "bin_edges",
    "read_distributions",
]

DISTRIBUTIONS_FILE = "distributions.json"
BINS_PER_OCTAVE = 8
EXPONENT_SHIFT = 150
"""Makes the bins of the smallest 32-bit numbers positive."""


class Histogram(Section):
    """Of one numeric input on the training split; rows weigh 1/r if negative, else 1.

    Attributes:
        bins: numbers of the bins that hold anything, rising.
        weights: in them.
    """

    model_config = ConfigDict(strict=False)

    bins: list[int]
    weights: list[NonNegativeFloat]


class Distributions(Section):
    """Of the training split; rows weigh 1/r if negative, else 1.

    Attributes:
        weight: of all rows.
        labels: weight of the rows with label 1, by label.
        empty: weight of the rows without a value, by multi-valued feature and sequence.
        numeric: by input (`history.age` for fields of sequences).
    """

    model_config = ConfigDict(strict=False)

    weight: NonNegativeFloat
    labels: dict[str, NonNegativeFloat]
    empty: dict[str, NonNegativeFloat]
    numeric: dict[str, Histogram]


def bin_edges(number: int) -> tuple[float, float]:
    """Returns where a bin begins and ends, both 0.0 for bin 0."""
    if number == 0:
        return 0.0, 0.0
    octave, step = divmod(abs(number) - 1, BINS_PER_OCTAVE)
    unit = 2.0 ** (octave - EXPONENT_SHIFT) / (2 * BINS_PER_OCTAVE)
    low = unit * (BINS_PER_OCTAVE + step)
    return (low, low + unit) if number > 0 else (-low - unit, -low)


def read_distributions(folder: str | Path) -> Distributions | None:
    """Reads the distributions of an example set; None if it was made before they were
    written.

    Raises:
        DataError: if they are damaged.
    """
    path = Path(folder) / DISTRIBUTIONS_FILE
    try:
        return Distributions.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise DataError(f"{path} is damaged: {error}. Run preprocessing again") from (
            error
        )
