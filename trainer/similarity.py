"""Softmax denominators over similarities of many vectors, a tile at a time.

Legend: A anchors, C candidates, d width.

Value and gradient come from one pass over tiles of anchors, so that no [A, C] matrix
is ever kept. Vectors have length 1 at most: 1 / temperature bounds the similarities,
and stands in for their maximum in the exponent.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from trainer.tiles import no_parts

__all__ = ["LOWEST_TEMPERATURE", "Meetings", "log_sums", "sum_type", "unit_vectors"]

# A vector that is shorter has no direction.
SHORTEST = 1e-6
# Similarities of a tile: 8 MiB of float32.
TILE = 2**21
# Anchors of a tile inside contexts, where wide tiles meet more contexts for nothing.
CONTEXT_TILE = 256
# exp(-2 / temperature) has to be a normal number, in float64.
LOWEST_TEMPERATURE = 0.003


class Meetings(NamedTuple):
    """Which candidates an anchor meets.

    Attributes:
        places: int32 [A], the candidate that is the anchor's own.
        keeps_own: whether it meets that one, whatever the ids say, or never does.
        anchor_ids: integers [A]; None if it meets all others.
        candidate_ids: integers [C] of the same type; None likewise.
        same: whether it meets those of its own id only, or those of other ids only.
            With `same` both kinds of ids ascend.
    """

    places: tf.Tensor
    keeps_own: bool
    anchor_ids: tf.Tensor | None = None
    candidate_ids: tf.Tensor | None = None
    same: bool = False


class _Problem(NamedTuple):
    """What the tiles are cut from; float32 or float64.

    Attributes:
        queries: anchors over the temperature, and minus the bound, [A, d + 1].
        keys: candidates, and 1, [C, d + 1].
        answers: candidates times their weights, and these, [C, d + 1].
        meetings: who meets whom.
    """

    queries: tf.Tensor
    keys: tf.Tensor
    answers: tf.Tensor
    meetings: Meetings


class _Open(NamedTuple):
    """Sums over tiles that further tiles may add to.

    Attributes:
        first: int32, the first candidate among them; those before are done.
        sums: [c, d], of the candidates from `first` on.
    """

    first: tf.Tensor
    sums: tf.Tensor


class _Results(NamedTuple):
    """Rows, and the gradients of their sum.

    Attributes:
        rows: [A].
        to_queries: [A, d], by the anchors over the temperature.
        to_candidates: [C, d].
    """

    rows: tf.Tensor
    to_queries: tf.Tensor
    to_candidates: tf.Tensor


def unit_vectors(values: tf.Tensor) -> tf.Tensor:
    """Scales vectors to length 1; those shorter than 1e-6 become zero.

    The cosine of a zero vector (an empty history) with anything is then 0, and no
    gradient flows to it, where the derivative of the cosine has a pole.

    Args:
        values: float32 [..., d].
    """
    squares = tf.reduce_sum(tf.square(values), axis=-1, keepdims=True)
    usable = squares > SHORTEST**2
    return tf.where(usable, values * tf.math.rsqrt(tf.where(usable, squares, 1.0)), 0.0)


def sum_type(temperature: float) -> tf.DType:
    """Returns the type in which exp(-2 / temperature) is a normal number.

    Raises:
        ValueError: if there is none.
    """
    if temperature < LOWEST_TEMPERATURE:
        raise ValueError(
            f"temperature must be at least {LOWEST_TEMPERATURE}, got {temperature}"
        )
    return tf.float32 if temperature >= 0.025 else tf.float64


def log_sums(
    anchors: tf.Tensor,
    candidates: tf.Tensor,
    meetings: Meetings,
    *,
    factors: tf.Tensor,
    weights: tf.Tensor,
    temperature: float,
) -> tf.Tensor:
    """Returns f_i log sum_j v_j exp(a_i . c_j / temperature) for each anchor i.

    The gradient is found on the way, for equal upstream gradients of all rows, as any
    sum or mean of them has. For others a second pass is made.

    Args:
        anchors: a, unit vectors or zeros, float32 [A, d].
        candidates: c, likewise, float32 [C, d].
        meetings: over which j the sum runs.
        factors: f, float32 [A], without a gradient.
        weights: v, float32 [C], not negative, without a gradient.
        temperature: at least `LOWEST_TEMPERATURE`.

    Returns:
        float32 [A]; 0, and no gradient, where nothing of any weight is met.
    """
    dtype = sum_type(temperature)
    weights = tf.cast(weights, dtype)[:, tf.newaxis]
    factors = tf.cast(factors, dtype)[:, tf.newaxis]

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def sums(anchors: tf.Tensor, candidates: tf.Tensor) -> tuple[tf.Tensor, Any]:
        queries = tf.cast(anchors, dtype) / temperature
        candidates = tf.cast(candidates, dtype)
        # One more column subtracts the bound from every product, and adds up.
        bound = tf.zeros_like(queries[:, :1]) - 1.0 / temperature
        problem = _Problem(
            tf.concat([queries, bound], axis=1),
            tf.concat([candidates, tf.ones_like(weights)], axis=1),
            tf.concat([candidates * weights, weights], axis=1),
            meetings,
        )
        results = _over_tiles(problem, factors)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            upstream = tf.convert_to_tensor(upstream)
            scale = tf.reduce_sum(upstream[:1])
            again = upstream[:, tf.newaxis]
            to_queries, to_candidates = tf.cond(
                tf.reduce_all(upstream == scale),
                lambda: _scaled(results, tf.cast(scale, dtype)),
                lambda: _over_tiles(problem, factors * tf.cast(again, dtype))[1:],
            )
            return (
                tf.cast(to_queries / temperature, tf.float32),
                tf.cast(to_candidates, tf.float32),
            )

        return tf.cast(results.rows, tf.float32), gradient

    return sums(anchors, candidates)


def _scaled(results: _Results, scale: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return results.to_queries * scale, results.to_candidates * scale


def _tile(
    problem: _Problem, factors: tf.Tensor, rows: slice, columns: slice
) -> _Results:
    """Returns the results for some anchors, which meet no other candidates."""
    queries, answers = problem.queries[rows], problem.answers[columns]
    powers = tf.exp(tf.matmul(queries, problem.keys[columns], transpose_b=True))
    powers = _met(powers, problem.meetings, rows, columns)
    found = tf.matmul(powers, answers)
    total = found[:, -1:]
    met = total > 0.0
    total = tf.where(met, total, tf.ones_like(total))
    pulls = tf.where(met, factors[rows], 0.0) / total
    # The bound, which was subtracted, is in the last column of the queries.
    logs = tf.where(met, tf.math.log(total) - queries[:, -1:], 0.0)
    back = tf.matmul(powers, pulls * queries[:, :-1], transpose_a=True)
    return _Results(
        (factors[rows] * logs)[:, 0], pulls * found[:, :-1], answers[:, -1:] * back
    )


def _met(
    powers: tf.Tensor, meetings: Meetings, rows: slice, columns: slice
) -> tf.Tensor:
    """Returns `powers` [a, c] with 0 for candidates that an anchor does not meet."""
    places = meetings.places[rows] - columns.start
    own = tf.stack([tf.range(tf.size(places)), places], axis=1)
    kept = tf.zeros_like(places, dtype=powers.dtype)
    if meetings.keeps_own:
        if meetings.anchor_ids is None:
            return powers
        kept = tf.gather_nd(powers, own)
    if meetings.anchor_ids is not None and meetings.candidate_ids is not None:
        anchors = meetings.anchor_ids[rows][:, tf.newaxis]
        candidates = meetings.candidate_ids[columns]
        if meetings.same:
            meet = anchors == candidates
        else:
            meet = anchors != candidates
        powers = tf.where(meet, powers, tf.zeros_like(powers))
    return tf.tensor_scatter_nd_update(powers, own, kept)


def _over_tiles(problem: _Problem, factors: tf.Tensor) -> _Results:
    """Concatenates rows and their gradients, and sums those of the candidates."""
    meetings, dtype = problem.meetings, problem.queries.dtype
    count, width = tf.shape(problem.queries)[0], problem.queries.shape[1] - 1
    most, size = tf.shape(problem.keys)[0], _tile_size(problem)
    shapes: list[tuple[int, ...]] = [(), (width,), (width,)]

    def step(tile: tf.Tensor, start: tf.Tensor, opened: _Open, *parts: Any) -> Any:
        stop = tf.minimum(start + size, count)
        rows, columns = slice(start, stop), _columns(meetings, start, stop, most)
        results = _tile(problem, factors, rows, columns)
        following = tf.where(
            stop < count, _columns(meetings, stop, stop + 1, most).start, most
        )
        closed, opened = _added(opened, results.to_candidates, columns, following)
        written = [
            part.write(tile, values)
            for part, values in zip(parts, (*results[:2], closed), strict=True)
        ]
        return tile + 1, stop, opened, *written

    empty = _Open(tf.constant(0), tf.zeros([0, width], dtype))
    _, _, _, *parts = tf.while_loop(
        # At least one tile, for an empty list of tiles has no shape.
        lambda tile, start, *_: (start < count) | (tile == 0),
        step,
        (0, 0, empty, *[no_parts(dtype, shape) for shape in shapes]),
        shape_invariants=(
            tf.TensorShape([]),
            tf.TensorShape([]),
            _Open(tf.TensorShape([]), tf.TensorShape([None, width])),
            *[tf.TensorShape(None)] * 3,
        ),
        parallel_iterations=1,
    )
    rows, to_queries, to_candidates = (
        tf.reshape(part.concat(), [length, *shape])
        for part, length, shape in zip(parts, (count, count, most), shapes, strict=True)
    )
    return _Results(rows, to_queries, to_candidates)


def _tile_size(problem: _Problem) -> tf.Tensor:
    ids = problem.meetings.candidate_ids
    most = tf.shape(problem.keys)[0]
    if not problem.meetings.same or ids is None:
        return tf.maximum(TILE // tf.maximum(most, 1), 1)
    _, _, counts = tf.unique_with_counts(ids)
    most = tf.reduce_max(tf.concat([[1], counts], axis=0))
    return tf.clip_by_value(TILE // most, 1, CONTEXT_TILE)


def _columns(
    meetings: Meetings, start: tf.Tensor, stop: tf.Tensor, most: tf.Tensor
) -> slice:
    """Returns the candidates that anchors from start to stop meet at all."""
    if not meetings.same or meetings.anchor_ids is None:
        return slice(tf.zeros_like(most), most)
    ids = meetings.anchor_ids[start:stop]
    low = tf.searchsorted(meetings.candidate_ids, ids[:1], side="left")
    high = tf.searchsorted(meetings.candidate_ids, ids[-1:], side="right")
    # No anchors meet no candidates: the sum over nothing is 0.
    return slice(tf.reduce_sum(low), tf.reduce_sum(high))


def _added(
    opened: _Open, part: tf.Tensor, columns: slice, following: tf.Tensor
) -> tuple[tf.Tensor, _Open]:
    """Adds a tile's part, and closes what no tile adds to any more.

    Args:
        opened: the sums so far.
        part: to be added at `columns`, [c, d].
        columns: ascending from tile to tile, both ends.
        following: where the next tile begins.

    Returns:
        The sums of the candidates up to `following`, and those behind.
    """
    first, sums = opened
    end = tf.maximum(columns.stop, following)
    sums = tf.pad(sums, [[0, end - first - tf.shape(sums)[0]], [0, 0]])
    part = tf.pad(part, [[columns.start - first, end - columns.stop], [0, 0]])
    sums += part
    # A copy: a slice would keep all of the sums in memory.
    closed = tf.gather(sums, tf.range(following - first))
    return closed, _Open(following, sums[following - first :])
