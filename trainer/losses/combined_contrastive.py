"""Combined-Contrastive: cross-entropy and a supervised contrastive loss together."""

from typing import Any, ClassVar

import keras
import tensorflow as tf

from trainer.collectives import Share
from trainer.losses.base import as_float32, row_mask
from trainer.losses.combined import Combined
from trainer.losses.rows import Rows, ranking_rows, weighted_mean
from trainer.losses.segments import Segments
from trainer.self_similarity import log_sums_among
from trainer.similarity import Meetings, log_sums, sum_type, unit_vectors

__all__ = ["CombinedContrastive"]


@keras.saving.register_keras_serializable(package="pairstream")
class CombinedContrastive(Combined):
    """alpha * BCE + (1 - alpha) * supervised contrastive loss on hidden vectors.

    With h the hidden vectors scaled to length 1, t the temperature, and P(i) the other
    rows of i's label (Khosla et al. 2020, L_out), the second term is the mean over i of

        mean over p in P(i) of -log( exp(h_i.h_p / t) / sum_{a != i} exp(h_i.h_a / t) )

    Both the mean over P(i) and the mean over i are weighted by w, and the denominator
    carries v_a, which is w_a over the mean weight of the rows with any weight that it
    runs over; so the scale of the weights has no effect. A row without partners counts
    in the mean over i and gives 0. A hidden vector shorter than 1e-6 has similarity 0
    with all others. With contexts, p and a are rows of i's context.

    Time grows with the square of the largest context, memory does not. Over replicas
    each computes its own rows i, against all.

    Args:
        alpha: share of the cross-entropy, from 0 to 1.
        beta: weight of positives in the cross-entropy.
        temperature: t, at least 0.003.
    """

    default_name: ClassVar[str] = "combined_contrastive"
    extras: ClassVar[tuple[str, ...]] = ("hidden",)
    takes_own: ClassVar[bool] = True

    def __init__(
        self,
        alpha: float = 0.9,
        beta: float = 1.0,
        temperature: float = 0.1,
        *,
        name: str | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(alpha, beta, name=name, **arguments)
        sum_type(temperature)
        self.temperature = temperature

    def per_example(
        self,
        logits: tf.Tensor,
        labels: tf.Tensor,
        *,
        weights: tf.Tensor | None = None,
        mask: tf.Tensor | None = None,
        contexts: tf.Tensor | None = None,
        own: Share | None = None,
        **extras: Any,
    ) -> tf.Tensor:
        """Returns the two terms of each row, mixed; of the own rows, if given."""
        losses = super().per_example(
            logits,
            labels,
            weights=weights,
            mask=mask,
            contexts=contexts,
            own=own,
            **extras,
        )
        return losses if own is None else own.of(losses)

    def ranking(
        self,
        logits: tf.Tensor,
        labels: tf.Tensor,
        *,
        weights: tf.Tensor | None,
        mask: tf.Tensor | None,
        contexts: tf.Tensor | None,
        hidden: tf.Tensor | None = None,
        own: Share | None = None,
    ) -> tf.Tensor:
        """Returns n w_i / W times the term of row i; 0 for rows that are not own.

        Raises:
            TypeError: without hidden vectors.
        """
        if hidden is None:
            raise TypeError("CombinedContrastive needs hidden vectors: give `hidden`")
        rows = ranking_rows(labels, labels, weights, mask)
        count, alone = tf.size(rows.labels), own is None
        if own is None:
            own = Share(tf.zeros_like(count), count)
        left = row_mask(labels, mask)[:, tf.newaxis]
        hidden = as_float32(hidden)
        hidden = unit_vectors(tf.where(left, hidden, tf.zeros_like(hidden)))
        segments = Segments(contexts)
        partners = _Partners(rows, hidden, segments, own)
        shares = weighted_mean(tf.ones_like(rows.labels), rows.weights, rows.count)
        shares = tf.where(partners.found, own.of(shares), 0.0)
        if alone and contexts is None:
            losses = log_sums_among(
                hidden,
                factors=shares,
                weights=rows.weights,
                temperature=self.temperature,
            )
        else:
            losses = self._normalizers(rows, hidden, segments, own, shares)
        losses -= shares * (partners.scores / self.temperature + partners.log_mean)
        return tf.pad(losses, [[own.start, count - own.stop]])

    def _normalizers(
        self,
        rows: Rows,
        hidden: tf.Tensor,
        segments: Segments,
        own: Share,
        shares: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the shares times log sum_{a != i} w_a exp(h_i.h_a / t), [own]."""
        places = tf.range(own.start, own.stop)
        indices, weights = segments.indices, rows.weights
        if indices is None:
            return log_sums(
                own.of(hidden),
                hidden,
                Meetings(places, keeps_own=False),
                factors=shares,
                weights=weights,
                temperature=self.temperature,
            )
        # Rows of a context side by side: anchors then meet a short stretch of them.
        order = tf.argsort(indices, stable=True)
        indices, weights, hidden = (
            tf.gather(x, order) for x in (indices, weights, hidden)
        )
        places = own.of(tf.math.invert_permutation(order))
        sequence = tf.argsort(places)
        places = tf.gather(places, sequence)
        losses = log_sums(
            tf.gather(hidden, places),
            hidden,
            Meetings(places, False, tf.gather(indices, places), indices, same=True),
            factors=tf.gather(shares, sequence),
            weights=weights,
            temperature=self.temperature,
        )
        return tf.gather(losses, tf.math.invert_permutation(sequence))

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "temperature": self.temperature}


class _Partners:
    """What the own rows i know of their partners P(i), in time linear in the rows.

    The sum over P(i) is that over all rows of the label, without i: in float64, for i
    may outweigh the others by far.

    Attributes:
        found: bool [own], whether there is a partner of any weight.
        scores: float32 [own], the weighted mean of h_i.h_p over P(i).
        log_mean: float32 [own], the logarithm of the mean weight of the rows with any
            weight in the context, without i.
    """

    def __init__(
        self, rows: Rows, hidden: tf.Tensor, segments: Segments, own: Share
    ) -> None:
        label = tf.cast(rows.labels > 0.5, tf.int32)
        contexts = segments.spread(tf.range(segments.count))
        groups, kinds = 2 * contexts + label, 2 * segments.count
        weights = tf.cast(rows.weights, tf.float64)
        heavy = tf.cast(weights > 0.0, tf.float64)
        vectors = tf.cast(hidden, tf.float64)

        def others(
            values: tf.Tensor, indices: tf.Tensor, count: tf.Tensor
        ) -> tf.Tensor:
            total = tf.math.unsorted_segment_sum(values, indices, count)
            return own.of(tf.gather(total, indices) - values)

        self.found = others(heavy, groups, kinds) > 0.5
        total = tf.math.unsorted_segment_sum(
            weights[:, tf.newaxis] * vectors, groups, kinds
        )
        vectors = own.of(vectors)
        scores = tf.reduce_sum(vectors * tf.gather(total, own.of(groups)), axis=1)
        scores -= own.of(weights) * tf.reduce_sum(tf.square(vectors), axis=1)
        weight = others(weights, groups, kinds)
        weight = tf.where(self.found, weight, tf.ones_like(weight))
        self.scores = tf.cast(scores / weight, tf.float32)
        around = contexts + tf.zeros_like(groups)
        mean = others(weights, around, segments.count)
        mean /= tf.maximum(others(heavy, around, segments.count), 1.0)
        mean = tf.where(self.found, mean, tf.ones_like(mean))
        self.log_mean = tf.cast(tf.math.log(mean), tf.float32)
