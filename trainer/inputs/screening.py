"""Tells which messages of a stream are examples that can be trained on."""

from collections.abc import Sequence

import tensorflow as tf

from configs.layout import (
    CATEGORICAL,
    DENSE,
    EVENT_KIND,
    EVENT_TIME,
    IDS,
    LABELS,
    NEGATIVE_KEEP_RATE,
    NUMERIC,
    ExampleLayout,
    sequence_key,
    weights_key,
)
from trainer.inputs.diagnosis import plain_message
from trainer.inputs.examples import Batch, parse_examples
from trainer.inputs.parts import parse_parts

__all__ = ["Problem", "Screen"]

Problem = tuple[str, str]
"""A reason, by which messages are counted, and the details in words."""

_VALUES = (
    ("bad_label", "a label is not between 0 and 1"),
    ("bad_keep_rate", "negative_keep_rate is not above 0 and at most 1"),
    ("infinite_value", "a number is infinite, or a weight is none"),
)
"""What is wrong with values of examples that can be parsed; code 0 is nothing."""

_LOOKED_AT = 256
"""Messages that are looked at one by one where the parser refuses them together."""


class Screen:
    """Finds messages that are no examples of a layout.

    TensorFlow's parser decides, block by block. It refuses a block as a whole, so where
    it does, a slower look guesses which messages are to blame; those are parsed alone.

    Args:
        layout: of the examples.
        batch_size: rows of a batch over all devices.
        shares: devices.
    """

    def __init__(
        self, layout: ExampleLayout, *, batch_size: int = 4096, shares: int = 1
    ) -> None:
        self._layout = layout
        self._batch_size = batch_size
        self._shares = shares
        self._fixed = {
            LABELS: ("float_list", len(layout.labels)),
            EVENT_TIME: ("int64_list", 1),
            EVENT_KIND: ("int64_list", 1),
            NEGATIVE_KEEP_RATE: ("float_list", 1),
            IDS: ("int64_list", len(layout.ids)),
            CATEGORICAL: ("int64_list", len(layout.categorical)),
            NUMERIC: ("float_list", len(layout.numeric)),
            DENSE: ("float_list", sum(layout.dense.values())),
        }
        self._codes = tf.function(
            self._code_of_rows,
            input_signature=[tf.TensorSpec([None], tf.string)],
            autograph=False,
        )
        self._parts = tf.function(
            self._parts_of_batch,
            input_signature=[tf.TensorSpec([None], tf.string)],
            autograph=False,
        )

    def batches(self, serialized: tf.Tensor) -> list[tuple[Batch, ...]] | None:
        """Returns the batches of a window, each with a part for each device; None if a
        row is no example that can be trained on.

        Args:
            serialized: string [rows].
        """
        made = []
        for start in range(0, int(serialized.shape[0]), self._batch_size):
            try:
                good, *parts = self._parts(serialized[start : start + self._batch_size])
            except (tf.errors.InvalidArgumentError, UnicodeDecodeError):
                return None
            if not good:
                return None
            made.append(tuple(parts))
        return made

    def problems(self, values: Sequence[bytes | None]) -> dict[int, Problem]:
        """Returns what is wrong, by place in `values`; nothing for good examples."""
        found: dict[int, Problem] = {
            place: ("empty", "the message has no value")
            for place, value in enumerate(values)
            if not value
        }
        rest = [place for place in range(len(values)) if place not in found]
        self._look(values, rest, found)
        return found

    def _look(
        self,
        values: Sequence[bytes | None],
        places: list[int],
        found: dict[int, Problem],
    ) -> None:
        """Adds the problems among the messages at `places`."""
        if not places:
            return
        try:
            chosen = values
            if len(places) < len(values):
                chosen = [values[place] for place in places]
            codes = self._codes(tf.constant(chosen, tf.string))
        except (tf.errors.InvalidArgumentError, UnicodeDecodeError) as error:
            if len(places) == 1:
                found[places[0]] = ("unreadable", plain_message(error))
                return
        else:
            bad = codes.numpy()
            for number in bad.nonzero()[0].tolist():
                found[places[number]] = _VALUES[bad[number] - 1]
            return
        if len(places) > _LOOKED_AT:  # leave most of them to the parser
            for start in range(0, len(places), _LOOKED_AT):
                self._look(values, places[start : start + _LOOKED_AT], found)
            return
        suspects = {p for p in places if not self._looks_right(values[p] or b"")}
        for place in sorted(suspects):
            self._look(values, [place], found)
        others = [place for place in places if place not in suspects]
        if suspects:
            self._look(values, others, found)
        else:  # nothing to be seen from outside: halve
            half = len(others) // 2
            self._look(values, others[:half], found)
            self._look(values, others[half:], found)

    def _looks_right(self, value: bytes) -> bool:
        """Guesses whether a message can be parsed."""
        try:
            features = tf.train.Example.FromString(value).features.feature
        except Exception:  # protobuf's own, which TensorFlow does not hand on
            return False
        for key, (kind, width) in self._fixed.items():
            if not width:
                continue
            if key not in features or features[key].WhichOneof("kind") != kind:
                return False
            if len(getattr(features[key], kind).value) != width:
                return False
        ids = features[CATEGORICAL].int64_list.value
        return not ids or min(ids) >= 0

    def _code_of_rows(self, serialized: tf.Tensor) -> tf.Tensor:
        """Returns 0, or 1 + the place in `_VALUES` of what is wrong, int32 [B]."""
        return self._code_of_batch(parse_examples(serialized, self._layout))

    def _parts_of_batch(self, serialized: tf.Tensor) -> tuple[tf.Tensor | Batch, ...]:
        """Returns whether all rows are good, then the parts."""
        parts = parse_parts(serialized, self._layout, self._shares)
        codes = tf.concat([self._code_of_batch(part) for part in parts], axis=0)
        return tf.reduce_all(codes == 0), *parts

    def _code_of_batch(self, batch: Batch) -> tf.Tensor:
        labels, rate = batch[LABELS], batch[NEGATIVE_KEEP_RATE]
        good = (
            tf.reduce_all((labels >= 0.0) & (labels <= 1.0), axis=1),
            (rate > 0.0) & (rate <= 1.0),
            self._finite(batch),
        )
        code = tf.zeros_like(batch[EVENT_KIND], tf.int32)
        for number in reversed(range(len(good))):
            code = tf.where(good[number], code, number + 1)
        return code

    def _finite(self, batch: Batch) -> tf.Tensor:
        """Returns which rows have no number that would spoil a whole step; a missing
        one is NaN, and a model knows how to take it. bool [B]."""
        layout = self._layout
        numbers = [batch[key] for key in (NUMERIC, DENSE)]
        for name, sequence in layout.sequences.items():
            numbers += [batch[sequence_key(name, f)] for f in sorted(sequence.numeric)]
        finite = [~tf.reduce_any(tf.math.is_inf(values), axis=1) for values in numbers]
        for name in layout.weighted:
            weights = batch[weights_key(name)]
            finite.append(tf.reduce_all(tf.math.is_finite(weights), axis=1))
        return tf.reduce_all(
            tf.stack([tf.ones_like(batch[EVENT_KIND], tf.bool), *finite]), axis=0
        )
