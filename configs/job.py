"""A whole job: the sections together, and the rules between them."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, model_validator

from configs.canonical import CategoricalType, canonical_text
from configs.data import Data, Identifiers
from configs.export import Export
from configs.features import (
    Bucketize,
    CategoricalFeature,
    Embedding,
    Feature,
    MultiValuedFeature,
    NumericFeature,
    TimeFeature,
    embedded_features,
)
from configs.histories import history_problems
from configs.job_warnings import job_warnings
from configs.labels import Label
from configs.loss_rules import contexts_of
from configs.made_rules import made_problems
from configs.model import Correction, Model
from configs.model_rules import model_problems
from configs.preprocess import Preprocessing, SamplingSlices
from configs.section import Key, Section, suggestion
from configs.stream import Stream
from configs.stream_rules import stream_problems
from configs.table_rules import table_problems
from configs.training import Training

__all__ = ["Job"]

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$")]


class Job(Section):
    """One YAML file, read from top to bottom like the flow of data."""

    name: Name
    """Also the name under which the model is served."""
    data: Data
    features: dict[Key, Feature] = Field(min_length=1)
    ids: Identifiers
    labels: dict[Key, Label] = Field(min_length=1)
    preprocessing: Preprocessing = Preprocessing()
    model: Model
    training: Training = Training()
    export: Export = Export()
    stream: Stream | None = None
    """For logs that never end; batch runs do not look at it."""

    @model_validator(mode="after")
    def _check_rules(self) -> "Job":
        problems = [
            *self._embedding_problems(),
            *self._label_problems(),
            *self._sampling_problems(),
            *table_problems(self),
            *made_problems(self),
            *history_problems(self),
            *model_problems(self),
            *stream_problems(self),
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    # What other code asks of a job.

    @property
    def sampled_label(self) -> str:
        """The label whose negatives are dropped when sampling is active."""
        return self.preprocessing.sampling.label or next(iter(self.labels))

    def correction(self, task: str) -> Correction:
        """Returns how `task` undoes the down-sampling, with the default filled in."""
        chosen = self.model.tasks[task].correction
        if chosen is not None:
            return chosen
        sampled = self.sampled_label in self.model.factors(task)
        return "logit_shift" if sampled else "none"

    @property
    def late_labels(self) -> bool:
        """Whether a stream gives impressions before their labels are decided, and
        comes back to them: rows of several kinds (`configs.layout.EventKind`)."""
        join = None if self.stream is None else self.stream.join
        return join is not None and join.observe is not None

    @property
    def context(self) -> str | None:
        """The id within whose rows losses compare; None for the whole batch."""
        return next(iter(contexts_of(self)), None)

    @property
    def adjacent(self) -> str | None:
        """The id whose rows lie side by side in an example set; None for no id."""
        chosen = self.preprocessing.adjacent or self.context
        return chosen or ("request" if self.ids.request is not None else None)

    def table_owner(self, name: str) -> str:
        """Returns the feature whose table the input `name` (`history.item`) uses."""
        return dict(embedded_features(self.features))[name].shares or name

    def embedding_of(self, name: str) -> Embedding:
        """Returns the embedding of the input `name`, its width filled in."""
        inputs = dict(embedded_features(self.features))
        embedding = inputs[self.table_owner(name)].embedding
        if embedding is None:
            raise KeyError(f"{name} has no embedding")
        return embedding.model_copy(
            update={"dim": embedding.dim or self.model.embedding_dim}
        )

    def warnings(self) -> list[str]:
        """Returns a sentence for each accepted option that has no effect, or defeats
        itself."""
        return list(job_warnings(self))

    # The rules.

    def _embedding_problems(self) -> Iterator[str]:
        inputs = dict(embedded_features(self.features))
        for name, feature in inputs.items():
            if feature.shares is not None:
                owner = self.features.get(feature.shares)
                if not isinstance(owner, CategoricalFeature | MultiValuedFeature):
                    known = [
                        n for n, f in inputs.items() if f.embedding and "." not in n
                    ]
                    yield (
                        f"features.{name}: 'shares' names {feature.shares!r}, which is"
                        f" no categorical feature.{suggestion(feature.shares, known)}"
                    )
                elif owner.shares is not None:
                    yield (
                        f"features.{name}: 'shares' names {feature.shares!r}, which"
                        f" itself shares {owner.shares!r}: name that one"
                    )
                elif (
                    isinstance(feature, CategoricalFeature | MultiValuedFeature)
                    and feature.type != owner.type
                ):
                    yield (
                        f"features.{name}: type {feature.type!r} differs from that of"
                        f" {feature.shares!r} ({owner.type!r}), whose table it shares"
                    )
            elif feature.embedding and not (
                feature.embedding.dim or self.model.embedding_dim
            ):
                yield (
                    f"features.{name}.embedding: no 'dim': give one here, or"
                    " 'model.embedding_dim' for all"
                )
        for name, other in self.features.items():
            place = f"features.{name}"
            section: TimeFeature | Bucketize | None = None
            if isinstance(other, TimeFeature):
                section = other
            elif isinstance(other, NumericFeature) and other.bucketize:
                section, place = other.bucketize, f"{place}.bucketize"
            if section is not None and not (section.dim or self.model.embedding_dim):
                yield (
                    f"{place}: no 'dim': give one here, or 'model.embedding_dim' for"
                    " all"
                )

    def _label_problems(self) -> Iterator[str]:
        names = list(self.labels)
        for position, (name, label) in enumerate(self.labels.items()):
            if label.after is not None and label.after not in names[:position]:
                yield (
                    f"labels.{name}: 'after' names {label.after!r}, expected a label"
                    f" defined above it ({names[:position] or 'there is none'})"
                )
            if label.window is not None and name not in self.data.events:
                yield (
                    f"labels.{name} has a window but data.events has no log for it:"
                    f" add data.events.{name}, or give the label a 'column'"
                )
        for name, log in self.data.events.items():
            if name not in self.labels:
                yield (
                    f"data.events.{name}: no label of that name."
                    f"{suggestion(name, names)}"
                )
            elif self.labels[name].column is not None:
                yield (
                    f"labels.{name} has both a 'column' and the log data.events.{name}:"
                    " remove one"
                )
            if log.joins != "impression" and (
                log.joins not in self.data.events or log.joins == name
            ):
                yield (
                    f"data.events.{name}: 'joins' is {log.joins!r}, expected"
                    f" 'impression' or another label with an event log"
                )
            elif log.joins != "impression" and (
                self.data.events[log.joins].joins != "impression"
            ):
                yield (
                    f"data.events.{name}: 'joins' names {log.joins!r}, whose events do"
                    " not join impressions themselves"
                )

    def _sampling_problems(self) -> Iterator[str]:
        sampling, split = self.preprocessing.sampling, self.preprocessing.split
        if sampling.label is not None and sampling.label not in self.labels:
            yield (
                f"preprocessing.sampling.label: no label {sampling.label!r}."
                f"{suggestion(sampling.label, self.labels)}"
            )
        if sampling.slices is not None:
            name = sampling.slices.feature
            feature = self.features.get(name)
            if not isinstance(feature, CategoricalFeature):
                yield (
                    f"preprocessing.sampling.slices.feature: {name!r} is no categorical"
                    f" feature.{suggestion(name, self.features)}"
                )
            else:
                yield from _slice_problems(sampling.slices, feature.type)
        if split.by == "hash" and split.key != "event":
            if getattr(self.ids, split.key) is None:
                yield (
                    f"preprocessing.split.key is {split.key!r}, but ids.{split.key} is"
                    " absent"
                )


def _slice_problems(slices: SamplingSlices, declared: CategoricalType) -> Iterator[str]:
    place = "preprocessing.sampling.slices.rates"
    for value in slices.rates:
        try:
            canonical = canonical_text(value, declared)
        except ValueError as error:
            yield f"{place}: {error}"
        else:
            if canonical != value:
                yield f"{place}: {value!r} never occurs, write it {canonical!r}"
