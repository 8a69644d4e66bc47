"""What auxiliary tasks need of a job."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from configs.auxiliary import DMR, DeepMCPCorrelation
from configs.features import (
    CategoricalFeature,
    CrossedFeature,
    MultiValuedFeature,
    NumericFeature,
    SequenceFeature,
    TimeFeature,
)
from configs.section import suggestion

if TYPE_CHECKING:
    from configs.job import Job

__all__ = ["auxiliary_problems", "field_tables"]


def auxiliary_problems(job: "Job") -> Iterator[str]:
    """Yields what auxiliary tasks miss, and how to mend it."""
    for auxiliary in job.model.auxiliary:
        place = f"model.auxiliary.{auxiliary.name}"
        match auxiliary.name:
            case "uim" | "deepmcp_matching":
                yield from _match_problems(job, place, auxiliary.task)
            case "nip":
                yield from _sequence_problems(job, place, auxiliary.sequence)
            case "dmr" | "deepmcp_correlation":
                yield from _sequence_problems(job, place, auxiliary.sequence)
                yield from _behaviour_problems(job, place, auxiliary)
            case "cl4ctr_contrastive":
                yield from _contrast_problems(job, place)
            case "cl4ctr_alignment" | "cl4ctr_uniformity":
                yield from _field_problems(job, place, auxiliary.name)


def field_tables(job: "Job") -> dict[str, list[str]]:
    """Returns the fields of CL4CTR: the features with one value (crossed ones and times
    among them), and those in stated buckets, by the table that they use."""
    tables: dict[str, list[str]] = {}
    for name, feature in job.features.items():
        if isinstance(feature, CategoricalFeature | CrossedFeature):
            tables.setdefault(job.table_owner(name), []).append(name)
        elif isinstance(feature, TimeFeature):
            tables[name] = [name]
        elif isinstance(feature, NumericFeature) and feature.bucketize:
            # Where quantiles lie is known to the model alone.
            if feature.bucketize.quantiles is None:
                tables[name] = [name]
    return tables


def _sequences(job: "Job") -> list[str]:
    return [n for n, f in job.features.items() if isinstance(f, SequenceFeature)]


def _sequence_problems(job: "Job", place: str, sequence: str | None) -> Iterator[str]:
    sequences = _sequences(job)
    if sequence is not None and sequence not in sequences:
        yield f"{place}.sequence: no sequence feature {sequence!r}"
    elif sequence is None and len(sequences) != 1:
        yield f"{place}: name its 'sequence': the job has {sequences or 'none'}"


def _behaviour_problems(
    job: "Job", place: str, auxiliary: DMR | DeepMCPCorrelation
) -> Iterator[str]:
    """What is wrong with the sequence itself, if it is known which one it is."""
    sequences = _sequences(job)
    name = auxiliary.sequence or next(iter(sequences), "")
    sequence = job.features.get(name)
    if not isinstance(sequence, SequenceFeature):
        return
    if sequence.max_length < 2:
        yield (
            f"{place}: it compares behaviours of a sequence, and {name!r} keeps one:"
            f" set 'features.{name}.max_length' to 2 or more"
        )
    if auxiliary.name != "dmr":
        return
    if auxiliary.targets == "shared" and auxiliary.target_buckets is not None:
        yield f"{place}.target_buckets has no use with 'targets: shared': remove it"
    owner = f"{name}.{next(iter(sequence.fields))}"
    try:
        buckets = job.embedding_of(owner).buckets
    except KeyError:
        return  # Said where the features are checked.
    own = auxiliary.targets == "own" and auxiliary.target_buckets is None
    if own and buckets is None:
        yield (
            f"{place}: {owner} has a vocabulary and no buckets, so give the rows of the"
            " task's own table: 'target_buckets', or 'targets: shared'"
        )


def _match_problems(job: "Job", place: str, label: str) -> Iterator[str]:
    if label not in job.labels:
        yield f"{place}.task: no label {label!r}.{suggestion(label, job.labels)}"
    categorical = [
        f.group
        for f in job.features.values()
        if isinstance(f, CategoricalFeature | MultiValuedFeature)
    ]
    if "item" not in categorical:
        yield f"{place}: no categorical feature has 'group: item'"
    behaviours = any(isinstance(f, SequenceFeature) for f in job.features.values())
    if "user" not in categorical and not behaviours:
        yield f"{place}: no feature has 'group: user' and there is no sequence"


def _contrast_problems(job: "Job", place: str) -> Iterator[str]:
    widths = {name: _width(job, name) for name in _embedded(job)}
    yield from _equal_width_problems(place, widths, "attends over features")
    if len(widths) < 2:
        yield (
            f"{place}: its representation is of several embedded features, and the job"
            f" has {sorted(widths) or 'none'}"
        )
    if 1 in widths.values():
        yield (
            f"{place}: it normalizes each embedding, which leaves nothing of one"
            " number: set 'model.embedding_dim' to 2 or more"
        )


def _field_problems(job: "Job", place: str, name: str) -> Iterator[str]:
    tables = field_tables(job)
    if not tables:
        yield (
            f"{place}: it compares embeddings of single values, and no feature is"
            " categorical or bucketized"
        )
    if name != "cl4ctr_uniformity":
        return
    if len(tables) == 1:
        yield (
            f"{place}: it compares different fields, and there is but one table:"
            f" {sorted(tables)}"
        )
    widths = {name: _width(job, name) for names in tables.values() for name in names}
    yield from _equal_width_problems(place, widths, "compares different fields")


def _equal_width_problems(
    place: str, widths: dict[str, int | None], reason: str
) -> Iterator[str]:
    if len(set(widths.values())) > 1:
        yield (
            f"{place}: it {reason}, so all embeddings must have one width, got"
            f" {widths}: set 'model.embedding_dim' and no 'dim' at these features"
        )


def _embedded(job: "Job") -> Iterator[str]:
    for name, feature in job.features.items():
        bucketized = isinstance(feature, NumericFeature) and feature.bucketize
        if bucketized or isinstance(feature, CategoricalFeature | MultiValuedFeature):
            yield name


def _width(job: "Job", name: str) -> int | None:
    feature = job.features[name]
    if isinstance(feature, NumericFeature):
        dim = feature.bucketize.dim if feature.bucketize else None
        return dim or job.model.embedding_dim
    try:
        return job.embedding_of(name).dim
    except KeyError:
        return None  # Said where the features are checked.
