"""The rules of the features that are made of others, or of times."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from configs.features import (
    CategoricalFeature,
    CrossedFeature,
    MultiValuedFeature,
    TimeFeature,
)
from configs.section import suggestion

if TYPE_CHECKING:
    from configs.job import Job

__all__ = ["made_problems"]


def made_problems(job: "Job") -> Iterator[str]:
    """Yields what is wrong with crossed features, times and weights."""
    for name, feature in job.features.items():
        if isinstance(feature, CrossedFeature):
            yield from _crossed_problems(job, name, feature)
        elif isinstance(feature, TimeFeature):
            # Records that are numbered have no true times.
            if job.ids.time.column.startswith("$") and feature.column is None:
                yield (
                    f"features.{name}: the impressions have no true time"
                    f" ({job.ids.time.column}): name a 'column'"
                )
        elif isinstance(feature, MultiValuedFeature) and feature.weights is not None:
            if feature.weights == (feature.column or name):
                yield (
                    f"features.{name}.weights: {feature.weights!r} is the column of the"
                    " values: name that of the weights"
                )


def _crossed_problems(job: "Job", name: str, feature: CrossedFeature) -> Iterator[str]:
    fitting = [
        n
        for n, f in job.features.items()
        if isinstance(f, CategoricalFeature | TimeFeature)
    ]
    for part in feature.of:
        if part not in fitting:
            yield (
                f"features.{name}.of: {part!r} is no feature of kind categorical or"
                f" time.{suggestion(part, fitting)}"
            )
    if len(set(feature.of)) < len(feature.of):
        yield f"features.{name}.of: a feature is named twice: {feature.of}"
