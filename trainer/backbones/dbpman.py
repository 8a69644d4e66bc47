"""DBPMaN: matches behaviour paths (Dong et al. 2023, arXiv:2302.00302).

Legend: B batch, S slots, P paths, W behaviours of a path, D width of a behaviour, d of
its fields that are shared with the item.
"""

from typing import NamedTuple

import keras
import tensorflow as tf

from configs.backbones import PathMatching as Config
from trainer.backbones.interests import InterestNetwork
from trainer.layers.attention import TargetAttention, masked_softmax
from trainer.layers.groups import (
    EmbeddedSequence,
    GroupsLayout,
    SequenceWidths,
    mean_pool,
)
from trainer.layers.meeting import Meeting, meeting_width, met_sequences, recent
from trainer.layers.paths import PathRouter, Windows

__all__ = ["PathMatching", "PathMatchingUnit"]


class PathMatching(InterestNetwork):
    """Deep Behavior Path Matching Network: what the matched paths of all sequences tell
    in an MLP, beside all groups and numbers.

    A sequence that shares no table with an item feature is mean-pooled.

    Args:
        config: its section of the job.
        layout: of the embedded groups.
        seed: of the initial weights.

    Raises:
        JobError: if no sequence shares a table with an item feature.
    """

    def __init__(self, config: Config, layout: GroupsLayout, *, seed: int) -> None:
        interests = {
            name: PathMatchingUnit(
                config,
                layout.sequences[name],
                name=f"backbone_paths_{name}",
                seed=seed,
            )
            for name in met_sequences("dbpman", layout)
        }
        super().__init__(
            layout, interests, hidden=config.hidden, dropout=config.dropout, seed=seed
        )


class Paths(NamedTuple):
    """The past paths of a sequence.

    Attributes:
        vectors: float32 [B, P, D], zeros where there is no path.
        mask: bool [B, P].
    """

    vectors: tf.Tensor
    mask: tf.Tensor


class PathMatchingUnit(keras.layers.Layer):  # type: ignore[misc]
    """Matches the path that a user is on with those of the past.

    The vector of a path is the sum of its behaviours, each times its activation by what
    followed the path (of the current path: by the item), that a `PathRouter` keeps.
    Then, x being the current path, p_k a past one, f_k what followed it, e the item:

        matched = sum_k softmax_k(unit(p_k, x)) p_k
        followed = sum_k softmax_k(unit(f_k, e) + p_k . x) f_k
        result = [matched, followed, mean_k p_k, x]

    `unit` is DIN's activation unit; f and e meet in the fields that they share. No
    gradient flows from the activations inside a path to what followed it, or the item.

    Args:
        config: of the backbone.
        widths: of the sequence.
    """

    def __init__(
        self, config: Config, widths: SequenceWidths, *, name: str, seed: int
    ) -> None:
        super().__init__(name=name)
        self.windows = Windows.within(
            widths.max_length,
            length=config.path_length,
            stride=config.stride,
            most=config.max_paths,
        )
        shared = meeting_width(widths)
        self._sizes = (config.path_length, shared, widths.total)
        self.width = 4 * widths.total
        units = {
            "past": shared,
            "current": shared,
            "matching": widths.total,
            "following": shared,
        }
        self._units = {
            part: TargetAttention(
                width, config.attention_hidden, name=f"{name}_{part}_unit", seed=seed
            )
            for part, width in units.items()
        }
        self._routers = {
            part: PathRouter(
                config.path_length,
                widths.total,
                hidden=config.router_hidden,
                kept=config.kept,
                name=f"{name}_{part}_router",
                seed=seed,
            )
            for part in ("past", "current")
        }
        self.built = True

    def call(self, sequence: EmbeddedSequence, met: Meeting) -> tf.Tensor:
        """Returns float32 [B, 4 D]."""
        last = recent(sequence, self.windows.slots)
        values, behaviours = last.of(sequence.values), last.of(met.behaviours)
        past = self._past(values, behaviours, behaviours, last.mask)
        now = self.windows.current
        current = self._path_vectors(
            "current", now(values), now(behaviours), met.target, now(last.mask)
        )
        likeness = tf.einsum("bpd,bd->bp", past.vectors, current)
        unit = self._units["matching"](past.vectors, current, past.mask)
        matched = _weighted(unit, past.vectors, past.mask)
        following = self.windows.following
        unit = self._units["following"](following(behaviours), met.target, past.mask)
        followed = _weighted(unit + likeness, following(values), past.mask)
        mean = mean_pool(past.vectors, past.mask)
        return tf.concat([matched, followed, mean, current], axis=1)

    def past(
        self, seen: EmbeddedSequence, seen_met: tf.Tensor, met: tf.Tensor
    ) -> Paths:
        """Returns the past paths of a sequence of which only a part is seen.

        Args:
            seen: the sequence.
            seen_met: its fields that are shared with the item, float32 [B, L, d].
            met: the same of the whole sequence, for what follows the paths.
        """
        last = recent(seen, self.windows.slots)
        return self._past(
            last.of(seen.values), last.of(seen_met), last.of(met), last.mask
        )

    def _past(
        self,
        values: tf.Tensor,
        behaviours: tf.Tensor,
        following: tf.Tensor,
        mask: tf.Tensor,
    ) -> Paths:
        """Returns the paths among [B, S, ...], and what follows them in `following`."""
        length, shared, total = self._sizes
        paths, count = self.windows.paths, self.windows.count
        there = paths(mask)
        vectors = self._path_vectors(
            "past",
            tf.reshape(paths(values), (-1, length, total)),
            tf.reshape(paths(behaviours), (-1, length, shared)),
            tf.reshape(self.windows.following(following), (-1, shared)),
            tf.reshape(there, (-1, length)),
        )
        # Behaviours fill the slots from the end: a path has one if its last place has.
        return Paths(tf.reshape(vectors, (-1, count, total)), there[:, :, -1])

    def _path_vectors(
        self,
        part: str,
        values: tf.Tensor,
        behaviours: tf.Tensor,
        target: tf.Tensor,
        mask: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the vectors [N, D] of paths [N, W, ...], by their targets [N, d]."""
        unit = self._units[part]
        weights = unit(behaviours, tf.stop_gradient(target), mask)
        return self._routers[part](values * weights[:, :, tf.newaxis], mask)


def _weighted(scores: tf.Tensor, values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Returns the sum [B, D] of [B, P, D] with softmax weights; 0 without any."""
    weights = tf.cast(masked_softmax(scores, mask), values.dtype)
    return tf.einsum("bp,bpd->bd", weights, values)
