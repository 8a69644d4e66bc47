"""Where a stream goes on behind a run over example sets: right behind its last one."""

from configs.errors import CheckpointError, DataError
from configs.job import Job
from configs.manifest import MANIFEST_FILE
from trainer.checkpoint import State
from trainer.inputs.example_set import open_one
from trainer.inputs.filesystems import join, read_text
from trainer.inputs.stream_source import StreamPosition
from trainer.stream.sets import StreamSets
from trainer.stream.state import SetMark

__all__ = ["position_behind"]


def position_behind(job: Job, state: State, topic: str | None) -> StreamPosition:
    """Returns the position of the first row that a batch run has not learned from.

    Args:
        job: the job.
        state: of the last checkpoint of that run.
        topic: of Kafka that the stream is read from; None for the folder.

    Raises:
        CheckpointError: if the run has not ended its epoch, or does not say what it
            was trained on.
        DataError: if the last set does not say where it ends in the topic.
    """
    if state.row:
        raise CheckpointError(
            f"the run {job.data.run} stands at row {state.row:,} of epoch"
            f" {state.epoch + 1}, in an order of its own: a stream can only go on"
            " behind whole sets. End the epoch first: `python -m trainer train JOB"
            " --resume`"
        )
    if not state.step:
        return {}
    if state.last_set is None:
        raise CheckpointError(
            f"the run {job.data.run} does not say on which example sets it was trained"
            " (an older version made it): train again, or start a new run"
        )
    if topic is None:
        return StreamSets(job).behind(state.last_set)
    return _behind_in_topic(job, state.last_set, topic)


def _behind_in_topic(job: Job, mark: SetMark, topic: str) -> StreamPosition:
    root = job.data.examples
    if not mark.name and read_text(join(root, MANIFEST_FILE)) is None:
        # A set of another folder: the stream goes on with its own first row.
        return {}
    manifest = open_one(join(root, mark.name) if mark.name else root)
    offsets = {} if manifest.stream is None else manifest.stream.topics.get(topic, {})
    if not offsets:
        if mark.name:
            raise DataError(
                f"{join(root, mark.name)}, the last set that the model was trained on,"
                f" does not say where its rows end in the topic {topic!r}: they would"
                " be learned twice. Let the streaming join write both"
                " (stream.examples_topic), or read the stream from the folder"
            )
        return {}
    return {topic: {str(partition): offset for partition, offset in offsets.items()}}
