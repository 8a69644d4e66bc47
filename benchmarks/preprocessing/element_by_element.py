"""The ordinary Beam job: one record at a time, for comparison.

ReadFromText, json, GroupByKey for duplicates, CoGroupByKey for labels, the protobuf
library, WriteToTFRecord. It knows the log form of the job in `job.yaml` and does the
same to it: duplicates, windows, conversion by click, open windows, split by time,
sampling, fingerprints.
"""

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions

from configs.durations import duration_ms
from configs.features import (
    CategoricalFeature,
    MultiValuedFeature,
    NumericFeature,
    SequenceFeature,
)
from configs.job import Job
from configs.layout import FINGERPRINT_RANGE

Record = dict[str, Any]

_MASK = 2**64 - 1


def fingerprint_function() -> Callable[[str], int]:
    """Returns the fingerprint of one text: pyfarmhash if installed, else TensorFlow."""
    try:
        from farmhash import fingerprint64
    except ImportError:

        def one(text: str) -> int:
            return int(tf.strings.to_hash_bucket_fast(text, FINGERPRINT_RANGE))

    else:

        def one(text: str) -> int:
            return int(fingerprint64(text)) % FINGERPRINT_RANGE

    return functools.lru_cache(maxsize=1 << 20)(one)


def mixed(value: int) -> int:
    """SplitMix64's output function."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def run(job: Job, output: str, runner: str) -> None:
    """Runs the job; writes `output`/<split>-*.tfrecord."""
    pipeline = beam.Pipeline(options=PipelineOptions([f"--runner={runner}"]))
    data = job.data
    shown = _read(pipeline, "Impressions", data.impressions.path)
    clicks = _read(pipeline, "Clicks", data.events["click"].path)
    bought = _read(pipeline, "Conversions", data.events["conversion"].path)
    times = (
        (shown, clicks, bought)
        | beam.Flatten()
        | beam.Map(lambda record: record["timestamp_ms"])
    )
    last = beam.pvalue.AsSingleton(times | beam.CombineGlobally(_latest))
    shown = _first(shown, "impression_id")
    clicks = _first(clicks, "click_id")
    bought = _first(bought, "conversion_id")
    found = (
        {
            "click": clicks | beam.Map(lambda r: (r["click_id"], r)),
            "bought": bought | beam.Map(lambda r: (r["click_id"], r)),
        }
        | "ByClick" >> beam.CoGroupByKey()
        | beam.FlatMap(_resolve)
    )
    labeled = (
        {
            "shown": shown | beam.Map(lambda r: (r["impression_id"], r)),
            "clicks": clicks | beam.Map(lambda r: (r["impression_id"], r)),
            "bought": found,
        }
        | "ByImpression" >> beam.CoGroupByKey()
        | beam.FlatMap(_label, job, last)
    )
    examples = labeled | beam.ParDo(_Encode(job))
    for split in ("train", "validation", "test"):
        _ = (
            examples
            | f"Only{split}" >> beam.Filter(lambda item, name=split: item[0] == name)
            | f"Bytes{split}" >> beam.Map(lambda item: item[1])
            | f"Write{split}"
            >> beam.io.WriteToTFRecord(
                f"{output}/{split}", file_name_suffix=".tfrecord"
            )
        )
    pipeline.run().wait_until_finish()


def _read(pipeline: Any, name: str, path: str) -> Any:
    return (
        pipeline
        | f"Read{name}" >> beam.io.ReadFromText(path)
        | f"Parse{name}" >> beam.Map(json.loads)
    )


def _latest(times: Iterable[int]) -> int:
    return max(times, default=0)


def _first(records: Any, key: str) -> Any:
    return (
        records
        | f"Key{key}" >> beam.Map(lambda record: (record[key], record))
        | f"Group{key}" >> beam.GroupByKey()
        | f"First{key}"
        >> beam.Map(
            lambda group: min(
                group[1], key=lambda r: (r["timestamp_ms"], r["impression_id"])
            )
        )
    )


def _resolve(
    group: tuple[str, dict[str, list[Record]]],
) -> Iterator[tuple[str, Record]]:
    for click in group[1]["click"]:
        for bought in group[1]["bought"]:
            yield click["impression_id"], bought


def _label(
    group: tuple[str, dict[str, list[Record]]], job: Job, last: int
) -> Iterator[tuple[Record, int, int]]:
    windows = {n: duration_ms(label.window) for n, label in job.labels.items()}
    for shown in group[1]["shown"]:
        start = shown["timestamp_ms"]
        if start + max(windows.values()) > last:
            continue
        clicks = [
            click["timestamp_ms"]
            for click in group[1]["clicks"]
            if 0 <= click["timestamp_ms"] - start <= windows["click"]
        ]
        first = min(clicks, default=None)
        bought = first is not None and any(
            0 <= b["timestamp_ms"] - start <= windows["conversion"]
            and b["timestamp_ms"] >= first
            for b in group[1]["bought"]
        )
        yield shown, int(first is not None), int(bought)


class _Encode(beam.DoFn):
    def __init__(self, job: Job) -> None:
        self.job = job

    def setup(self) -> None:
        self.fingerprint = fingerprint_function()
        seed = self.job.preprocessing.sampling.seed
        digest = hashlib.sha256(f"sampling:{seed}".encode()).digest()
        self.salt = int.from_bytes(digest[:8], "little")
        intervals = self.job.preprocessing.split.intervals()
        self.intervals = {name: span.bounds for name, span in intervals.items()}

    def process(self, item: tuple[Record, int, int]) -> Iterator[tuple[str, bytes]]:
        record, click, conversion = item
        time = record["timestamp_ms"]
        split = next((n for n, (a, b) in self.intervals.items() if a <= time < b), None)
        if split is None:
            return
        rate = self._rate(record, split)
        if split == "train" and not click and not self._kept(record, rate):
            return
        yield split, self._example(record, click, conversion, rate)

    def _rate(self, record: Record, split: str) -> float:
        if split != "train":
            return 1.0
        sampling = self.job.preprocessing.sampling
        rate = sampling.negative_keep_rate
        if sampling.slices is not None:
            value = record[sampling.slices.feature]
            rate = sampling.slices.rates.get(value, rate)
        return float(np.float32(rate))

    def _kept(self, record: Record, rate: float) -> bool:
        hashed = mixed(self.fingerprint(record["impression_id"]) ^ self.salt)
        return (hashed >> 11) * 2.0**-53 < rate

    def _example(
        self, record: Record, click: int, conversion: int, rate: float
    ) -> bytes:
        fingerprint = self.fingerprint
        example = tf.train.Example()
        feature = example.features.feature
        feature["labels"].float_list.value.extend([click, conversion])
        truths = [record["click_truth"], record["conversion_truth"]]
        feature["truth"].float_list.value.extend(truths)
        ids = ("impression_id", "user_id", "item_id", "request_id")
        feature["ids"].int64_list.value.extend([fingerprint(record[i]) for i in ids])
        feature["event_time"].int64_list.value.append(record["timestamp_ms"])
        feature["event_kind"].int64_list.value.append(0)
        feature["negative_keep_rate"].float_list.value.append(rate)
        for name, definition in self.job.features.items():
            if isinstance(definition, CategoricalFeature):
                value = record[name]
                text = "" if value is None else str(value)
                feature["categorical"].int64_list.value.append(fingerprint(text))
            elif isinstance(definition, NumericFeature):
                value = float("nan") if record[name] is None else record[name]
                feature["numeric"].float_list.value.append(value)
            elif isinstance(definition, MultiValuedFeature):
                values = [v for v in record[name] or [] if v][: definition.max_length]
                hashed = [fingerprint(value) for value in values]
                feature[f"multi_valued/{name}"].int64_list.value.extend(hashed)
            elif isinstance(definition, SequenceFeature):
                self._sequence(feature, record, name, definition)
        return bytes(example.SerializeToString())

    def _sequence(
        self, feature: Any, record: Record, name: str, definition: SequenceFeature
    ) -> None:
        fields = list(definition.fields)
        lists = [record[definition.column_of(name, field)] or [] for field in fields]
        behaviours = [b for b in zip(*lists, strict=True) if b[0]]
        for position, field in enumerate(fields):
            recent = behaviours[-definition.max_length :]
            values = [behaviour[position] for behaviour in recent]
            target = feature[f"sequence/{name}/{field}"]
            if definition.fields[field].kind == "categorical":
                target.int64_list.value.extend([self.fingerprint(v) for v in values])
            else:
                target.float_list.value.extend(values)
