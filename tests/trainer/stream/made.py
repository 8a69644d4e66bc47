"""A stream's run in this process, whose compiled step serves all of its lives."""

from typing import Any

from configs import Job
from configs.layout import IDS, layout_of
from configs.manifest import read_statistics
from trainer.assembly import Assembly, assemble
from trainer.checkpoint import State
from trainer.devices import prepare_devices
from trainer.inputs.examples import Batch
from trainer.interruption import Interruption
from trainer.run import Run
from trainer.stream.reader import element_spec_of
from trainer.stream.train import learn
from trainer.vocabularies import make_vocabularies


class Made:
    """A run whose compiled step is shared by all of its continuations."""

    def __init__(self, job: Job) -> None:
        self.job = job
        prepare_devices(job.training)
        first = f"{job.data.examples}/00000000"
        statistics = read_statistics(first)
        vocabularies = make_vocabularies(job, first)
        self.run = Run.create(job, statistics=statistics, vocabularies=vocabularies)
        self.assembly: Assembly = assemble(
            job,
            statistics=statistics,
            vocabularies=vocabularies,
            base_rates={"click": 0.25},
            element_spec=element_spec_of(layout_of(job), 1),
        )
        self.ids: list[int] = []
        self._watch()

    def _watch(self) -> None:
        """Notes the ids of all rows that a step is made on."""
        step = self.assembly.step._many_steps

        def watched(batches: tuple[tuple[Batch, ...], ...], sums: Any) -> Any:
            self.ids += [int(i) for (b,) in batches for i in b[IDS][:, 0].numpy()]
            return step(batches, sums)

        self.assembly.step._many_steps = watched

    def learn(
        self,
        state: State,
        interruption: Interruption | None = None,
        *,
        until_end: bool = True,
    ) -> State:
        return learn(
            self.job,
            self.run,
            self.assembly,
            state,
            interruption or Interruption(),
            until_end=until_end,
        )
