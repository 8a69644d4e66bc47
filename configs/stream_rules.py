"""The rules between `stream` and the rest of a job."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from configs.data import ROW_NUMBER
from configs.durations import duration_ms
from configs.features import CategoricalFeature
from configs.section import suggestion
from configs.stream import Stream, StreamJoin

if TYPE_CHECKING:
    from configs.job import Job

__all__ = ["stream_logs", "stream_problems", "stream_warnings"]


def stream_logs(job: "Job") -> list[str]:
    """Returns the logs that a stream brings, by the names of their topics."""
    return ["impressions", *job.data.events, *job.data.behaviours]


def stream_problems(job: "Job") -> Iterator[str]:
    """Yields what is wrong between `stream` and the rest of the job."""
    stream = job.stream
    if stream is None:
        return
    yield from _kafka_problems(stream)
    if stream.join is not None:
        yield from _topic_problems(job, stream.join)
        yield from _join_problems(job, stream.join)
    if stream.train.item_ages and job.ids.item is None:
        yield "stream.train.item_ages: there are no items: add ids.item"
    for name in stream.train.slices:
        if not isinstance(job.features.get(name), CategoricalFeature):
            yield (
                f"stream.train.slices: {name!r} is no categorical feature."
                f"{suggestion(name, job.features)}"
            )


def stream_warnings(job: "Job") -> Iterator[str]:
    """Yields a sentence for each choice that leaves rows of a stream aside."""
    split = job.preprocessing.split
    if job.stream is None or split.by == "time":
        return
    aside = split.validation + split.test
    if aside:
        yield (
            f"preprocessing.split: a stream is scored before it is learned, and yet"
            f" {aside:.0%} of its rows go to validation and test, which"
            " `python -m trainer stream` does not read: set both to 0.0"
        )


def _kafka_problems(stream: Stream) -> Iterator[str]:
    topics = bool(stream.join and stream.join.topics) or bool(stream.examples_topic)
    if topics and stream.kafka is None:
        yield "stream: topics are named, and no broker: add stream.kafka.servers"
    if stream.kafka is not None and not topics:
        yield (
            "stream.kafka: nothing uses it: name stream.join.topics or"
            " stream.examples_topic, or remove it"
        )
    if stream.train.engine == "tensorflow_io" and stream.examples_topic is None:
        yield (
            "stream.train.engine: tensorflow_io reads Kafka: name"
            " stream.examples_topic, or leave the engine out"
        )


def _topic_problems(job: "Job", join: StreamJoin) -> Iterator[str]:
    logs = stream_logs(job)
    for name in join.topics:
        if name not in logs:
            yield (
                f"stream.join.topics: no log {name!r}.{suggestion(name, logs)} Expected"
                f" {', '.join(logs)}"
            )
    if len(set(join.topics.values())) < len(join.topics):
        yield (
            "stream.join.topics: two logs name one topic, expected one of its own for"
            " each"
        )
    missing = [name for name in logs if name not in join.topics]
    if join.topics and missing:
        yield (
            f"stream.join.topics: no topic for {', '.join(missing)}: either all logs"
            " come from topics, or none"
        )


def _join_problems(job: "Job", join: StreamJoin) -> Iterator[str]:
    columns = [job.ids.event, job.ids.time.column]
    columns += [log.event for log in job.data.events.values()]
    if ROW_NUMBER in columns:
        yield (
            f"stream.join: {ROW_NUMBER} stands for an id or a time, and a stream has no"
            " row numbers: name columns of the logs"
        )
    if join.observe is None:
        return
    windows = [duration_ms(o.window) for o in job.labels.values() if o.window]
    if not windows or duration_ms(join.observe) >= max(windows):
        yield (
            f"stream.join.observe is {join.observe}, which no label's window exceeds:"
            " leave it out, and each row leaves when its labels are decided"
        )
