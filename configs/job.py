"""A whole job: the sections together, and the rules between them."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, model_validator

from configs.canonical import CategoricalType, canonical_text
from configs.data import Data, Identifiers
from configs.durations import duration_ms
from configs.export import Export
from configs.features import (
    CategoricalFeature,
    Embedding,
    Feature,
    MultiValuedFeature,
    NumericFeature,
    SequenceFeature,
    embedded_features,
)
from configs.labels import Label
from configs.model import Correction, Model, Task
from configs.preprocess import Preprocessing, SamplingSlices
from configs.section import Key, Section, suggestion
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

    @model_validator(mode="after")
    def _check_rules(self) -> "Job":
        problems = [
            *self._embedding_problems(),
            *self._label_problems(),
            *self._sampling_problems(),
            *self._task_problems(),
            *self._model_problems(),
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
        return "logit_shift" if task == self.sampled_label else "none"

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
        return list(self._warnings())

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
            if isinstance(other, NumericFeature) and other.bucketize:
                if not (other.bucketize.dim or self.model.embedding_dim):
                    yield (
                        f"features.{name}.bucketize: no 'dim': give one here, or"
                        " 'model.embedding_dim' for all"
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

    def _task_problems(self) -> Iterator[str]:
        for name, task in self.model.tasks.items():
            if name not in self.labels:
                yield (
                    f"model.tasks.{name}: no label of that name."
                    f"{suggestion(name, self.labels)}"
                )
            if task.given is not None and (
                task.given not in self.labels or task.given == name
            ):
                yield (
                    f"model.tasks.{name}.given: expected another label, got"
                    f" {task.given!r}"
                )
            yield from self._correction_problems(name, task)

    def _correction_problems(self, name: str, task: Task) -> Iterator[str]:
        if not self.preprocessing.sampling.active or name == self.sampled_label:
            return
        if task.given == self.sampled_label:
            if task.correction in ("logit_shift", "weights"):
                yield (
                    f"model.tasks.{name}.correction: rows with {task.given} = 1 are all"
                    f" kept, so there is nothing to correct: remove it"
                )
        elif task.correction == "logit_shift":
            yield (
                f"model.tasks.{name}.correction: no logit shift is right for"
                f" {name!r}, because its negatives are a mixture of kept and dropped"
                f" ones: use 'weights', or 'given: {self.sampled_label}'"
            )
        elif task.correction is None:
            yield (
                f"model.tasks.{name}: negatives of {self.sampled_label!r} are"
                f" dropped, so say how this task is corrected:"
                f" 'given: {self.sampled_label}', or 'correction: weights'"
            )

    def _model_problems(self) -> Iterator[str]:
        sequences = [
            name for name, f in self.features.items() if isinstance(f, SequenceFeature)
        ]
        backbone = self.model.backbone
        if backbone.name == "din" and not sequences:
            yield "model.backbone: din needs behaviours, and no feature is a sequence"
        if backbone.name == "logistic_regression":
            wide = {
                name: width
                for name, width in self._embedding_widths()
                if width is not None and width != 1
            }
            if wide:
                yield (
                    "model.backbone: logistic_regression needs embeddings of dim 1, got"
                    f" {wide}: set 'model.embedding_dim: 1' and no other 'dim'"
                )
        for auxiliary in self.model.auxiliary:
            place = f"model.auxiliary.{auxiliary.name}"
            if auxiliary.name == "uim":
                yield from self._match_problems(place, auxiliary.task)
            elif auxiliary.sequence is not None and auxiliary.sequence not in sequences:
                yield f"{place}.sequence: no sequence feature {auxiliary.sequence!r}"
            elif auxiliary.sequence is None and len(sequences) != 1:
                yield f"{place}: name its 'sequence': the job has {sequences or 'none'}"

    def _match_problems(self, place: str, label: str) -> Iterator[str]:
        if label not in self.labels:
            yield f"{place}.task: no label {label!r}.{suggestion(label, self.labels)}"
        categorical = [
            f.group
            for f in self.features.values()
            if isinstance(f, CategoricalFeature | MultiValuedFeature)
        ]
        if "item" not in categorical:
            yield f"{place}: no categorical feature has 'group: item'"
        behaviours = any(isinstance(f, SequenceFeature) for f in self.features.values())
        if "user" not in categorical and not behaviours:
            yield f"{place}: no feature has 'group: user' and there is no sequence"

    def _embedding_widths(self) -> Iterator[tuple[str, int | None]]:
        for name, feature in embedded_features(self.features):
            if feature.embedding is not None:
                yield name, feature.embedding.dim or self.model.embedding_dim
        for name, other in self.features.items():
            if isinstance(other, NumericFeature) and other.bucketize:
                yield name, other.bucketize.dim or self.model.embedding_dim

    def _warnings(self) -> Iterator[str]:
        sampling, split = self.preprocessing.sampling, self.preprocessing.split
        if sampling.seed and not sampling.active:
            yield "preprocessing.sampling.seed has no effect: every negative is kept"
        no_validation = (
            split.validation == 0.0 if split.by == "hash" else split.validation is None
        )
        if self.training.early_stopping and no_validation:
            yield "training.early_stopping has no effect: there is no validation split"
        dense = self.training.optimizer.dense
        if dense.weight_decay and dense.name != "adamw":
            yield (
                "training.optimizer.dense.weight_decay has no effect with"
                f" {dense.name!r}: use 'adamw'"
            )
        embeddings = self.training.optimizer.embeddings
        start = type(embeddings).model_fields["initial_accumulator"].default
        if "adagrad" not in embeddings.name and embeddings.initial_accumulator != start:
            yield (
                "training.optimizer.embeddings.initial_accumulator has no effect with"
                f" {embeddings.name!r}"
            )
        if self.training.evaluate_every and no_validation:
            yield "training.evaluate_every has no effect: there is no validation split"
        if self.training.logical_devices and self.training.strategy != "mirrored":
            yield "training.logical_devices has no effect without 'strategy: mirrored'"
        for name, task in self.model.tasks.items():
            if sampling.active and task.correction == "none" and task.given is None:
                yield (
                    f"model.tasks.{name}.correction is 'none' although negatives are"
                    " dropped: its predictions will be too high"
                )
            if not sampling.active and task.correction in ("logit_shift", "weights"):
                yield (
                    f"model.tasks.{name}.correction has no effect: every negative is"
                    " kept"
                )
        if sampling.active:
            for name, label in self.labels.items():
                if name != self.sampled_label and label.after != self.sampled_label:
                    yield (
                        f"labels.{name}: rows are dropped by {self.sampled_label!r}"
                        f" alone, positives of {name!r} among them"
                    )
        for name, label in self.labels.items():
            if label.window is not None and label.after is not None:
                first = self.labels[label.after].window
                if first and duration_ms(label.window) < duration_ms(first):
                    yield (
                        f"labels.{name}: its window is shorter than that of"
                        f" {label.after}"
                    )
        if self.model.backbone.name == "logistic_regression":
            if self.model.auxiliary:
                yield "model.auxiliary: embeddings of dim 1 can hardly match anything"


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
