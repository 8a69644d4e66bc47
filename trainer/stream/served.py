"""The model that is served now, beside the one that learns.

The publisher leaves the checkpoint of what it published in the run, and says which:

    published/<version>/     a copy of the checkpoint
    published/served.json    {"version": 3, "step": 1200}, replaced atomically
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from configs.errors import CheckpointError
from configs.job import Job
from configs.layout import layout_of
from trainer.checkpoint import Variables, restore
from trainer.inference import build_inference_model
from trainer.run import INFERENCE_PREFIX, Run
from trainer.scoring import Scorer
from trainer.variables import named_variables, one_row

__all__ = ["PUBLISHED_FOLDER", "Served", "ServedModel"]

PUBLISHED_FOLDER = "published"
SERVED_FILE = "served.json"


@dataclass(frozen=True, kw_only=True)
class Served:
    """What is served.

    Attributes:
        version: its number.
        step: steps that it had made.
    """

    version: int
    step: int


class ServedModel:
    """Follows `published/served.json`, and scores with the weights that it names.

    Its tables take as much memory as those of the model that learns. They are made when
    the first version is served.

    Args:
        job: the job.
        run: its run.
        element_spec: of the shares of a batch.
        warn: prints a line.
    """

    def __init__(
        self,
        job: Job,
        run: Run,
        element_spec: tuple[dict[str, tf.TensorSpec], ...],
        warn: Callable[[str], None],
    ) -> None:
        self._job = job
        self._run = run
        self._element_spec = element_spec
        self._warn = warn
        self._folder = run.folder / PUBLISHED_FOLDER
        self._seen: str | None = None
        self._served: Served | None = None
        self._made: tuple[Scorer, Variables] | None = None

    def current(self) -> tuple[Served, Scorer] | None:
        """Returns what is served now and its scorer; None if nothing is, or if it
        cannot be read: scoring it is no reason to stop learning."""
        text = self._text()
        if text != self._seen:
            self._seen, self._served = text, None
            if text is not None:
                self._load(text)
        if self._served is None or self._made is None:
            return None
        return self._served, self._made[0]

    def _load(self, text: str) -> None:
        try:
            said = json.loads(text)
            served = Served(version=int(said["version"]), step=int(said["step"]))
            scorer, variables = self._made or self._build()
            self._made = scorer, variables
            restore(self._folder / str(served.version), variables)
        except (CheckpointError, ValueError, KeyError, TypeError) as error:
            self._warn(
                f"warning: {self._folder / SERVED_FILE} names a version that cannot be"
                f" scored beside the model that learns: {error}"
            )
            return
        self._served = served

    def _build(self) -> tuple[Scorer, Variables]:
        model = build_inference_model(
            self._job,
            statistics=self._run.statistics(),
            vocabularies=self._run.vocabularies(),
        )
        model(one_row(layout_of(self._job)))
        names = named_variables(model)
        variables = {INFERENCE_PREFIX + name: v for name, v in names.items()}
        return Scorer(model, self._element_spec), variables

    def _text(self) -> str | None:
        try:
            return Path(self._folder / SERVED_FILE).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return None
