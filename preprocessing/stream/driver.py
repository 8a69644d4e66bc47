"""The streaming label join: one micro-batch after the other.

1. What has arrived is frozen, and written down as an intent (`state.Intent`).
2. The micro-batch is made of it: set, and what goes on (`batch.make_batch`).
3. The set is published, and the commit replaces the one before.

A process that is killed leaves one of three: no intent, an intent without a commit, or
a commit. The next one makes the micro-batch of an intent without a commit again, byte
for byte, before it freezes anything new.
"""

from collections.abc import Callable
from pathlib import Path

from configs.errors import DataError, JobError
from configs.job import Job
from configs.manifest import Manifest
from configs.stream_sets import stream_sets
from preprocessing.future import now_ms
from preprocessing.stream.arrivals import Arrivals
from preprocessing.stream.batch import join_of, make_batch, stream_contract
from preprocessing.stream.folder import FolderArrivals
from preprocessing.stream.output import Output
from preprocessing.stream.retention import remove_old_sets
from preprocessing.stream.state import Commit, Intent, State

__all__ = ["StreamingJoin"]

_BUCKETS = 4


class StreamingJoin:
    """The join of a job, which goes on from where its state ends.

    The state must be locked (`State.locked`).

    Args:
        job: of the stream.
        state: of the stream.
        arrivals: the logs; those that the job names unless given.
        output: where examples go besides; what the job names unless given.
        clock: tells the time of day, ms.

    Raises:
        JobError: if the job has no streaming join.
        DataError: if the state is damaged, of another job, or not that of the sets.
    """

    def __init__(
        self,
        job: Job,
        state: State,
        *,
        arrivals: Arrivals | None = None,
        output: Output | None = None,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self.job, self.state, self._clock = _in_few_buckets(job), state, clock
        self._join = join_of(job)
        if "://" in job.data.examples:
            raise JobError(
                f"data.examples: {job.data.examples} is on no local disk. The streaming"
                " join writes to a local folder: name one"
            )
        self._arrivals = arrivals or _open_arrivals(job)
        self._output = output or _open_output(job)
        self.commit = state.read_commit()
        self.unread = 0, ""
        """How much was not read yet at the last micro-batch, and in what unit."""
        self.behind = False
        """Whether there is more to read at once."""
        self._check()

    def recover(self) -> Manifest | None:
        """Makes the micro-batch again that was begun and not committed, if there is
        one."""
        intent = self.state.read_intent()
        begun = -1 if self.commit is None else self.commit.batch
        if intent is None or intent.batch <= begun:
            return None
        if intent.batch != begun + 1 or intent.continues != self._digest():
            raise DataError(
                f"{self.state.root}: intent.json is of micro-batch {intent.batch}, and"
                f" does not go on from commit.json ({begun}): the folder was mixed with"
                " another. Restore it, or begin anew with another stream.join.state and"
                " data.examples"
            )
        return self._make(intent)

    def step(self) -> Manifest | None:
        """Makes the next micro-batch; returns None if nothing has arrived."""
        positions = {} if self.commit is None else self.commit.positions
        frozen = self._arrivals.freeze(positions, self._join.max_records)
        self.unread, self.behind = (frozen.left, frozen.unit), frozen.is_behind
        if frozen.is_empty:
            return None
        intent = Intent(
            batch=0 if self.commit is None else self.commit.batch + 1,
            clock=self._clock(),
            frozen=frozen,
            continues=self._digest(),
        )
        self.state.write_intent(intent)
        return self._make(intent)

    def _make(self, intent: Intent) -> Manifest:
        self.commit, manifest = make_batch(
            self.job, self.state, self.commit, intent, self._arrivals, self._output
        )
        remove_old_sets(self.job, self._join.keep_sets)
        return manifest

    def _digest(self) -> str | None:
        return None if self.commit is None else self.commit.digest

    def _check(self) -> None:
        root = Path(self.job.data.examples)
        sets = stream_sets(root)
        if self.commit is None:
            begun = self.state.read_intent() is not None
            if sets and not (begun and list(sets) == [0]):
                raise DataError(
                    f"{root} holds sets of a stream, and {self.state.root} nothing of"
                    " how it goes on: name the stream.join.state that they were made"
                    " with, or another data.examples"
                )
            return
        _check_contract(self.commit, self.job, self.state)
        self.state.check(self.commit)
        if sets and max(sets) not in (self.commit.batch, self.commit.batch + 1):
            raise DataError(
                f"{root} ends with set {max(sets)}, and {self.state.root} goes on from"
                f" micro-batch {self.commit.batch}: they do not belong together. Name"
                " those that do, or begin anew with another of both"
            )


def _in_few_buckets(job: Job) -> Job:
    """Returns the job with fewer buckets: each costs some files in every stage, and a
    micro-batch is small."""
    buckets = min(job.preprocessing.buckets, _BUCKETS)
    preprocessing = job.preprocessing.model_copy(update={"buckets": buckets})
    return job.model_copy(update={"preprocessing": preprocessing})


def _open_arrivals(job: Job) -> Arrivals:
    if not join_of(job).topics:
        return FolderArrivals(job)
    from preprocessing.stream.kafka_logs import KafkaLogs

    return KafkaLogs(job)


def _open_output(job: Job) -> Output | None:
    if job.stream is None or job.stream.examples_topic is None:
        return None
    from preprocessing.stream.kafka_output import KafkaOutput

    return KafkaOutput(job)


def _check_contract(commit: Commit, job: Job, state: State) -> None:
    wanted = stream_contract(job)
    changed = [key for key in wanted if commit.contract.get(key) != wanted[key]]
    if changed:
        raise DataError(
            f"{state.root} is of another job ({', '.join(changed)} differ): what is"
            " open cannot go on. Begin anew with another stream.join.state and"
            " data.examples"
        )
