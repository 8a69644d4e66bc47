"""What tasks share between the backbone and their heads: a section for each way."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from configs.backbones import Rate, Widths
from configs.section import Section

__all__ = ["PLE", "MMoE", "MultiTask", "SharedBottom"]


class SharedBottom(Section):
    """Tasks share the backbone alone; each has an MLP of its own over it."""

    name: Literal["shared_bottom"]
    tower: Widths = [64]
    """Widths of each task's own layers."""
    dropout: Rate = 0.0


class MMoE(Section):
    """Multi-gate mixture of experts (Ma et al. 2018): a gate for each task mixes what
    shared experts make of the backbone's hidden vector."""

    name: Literal["mmoe"]
    experts: Annotated[int, Field(ge=2)] = 8
    expert: Widths = [128]
    """Widths of each expert's layers."""
    tower: list[PositiveInt] = [64]
    """Widths of each task's own layers; `[]` for none between mixture and head."""
    dropout: Rate = 0.0


class PLE(Section):
    """Progressive layered extraction (Tang et al. 2020): experts of each task beside
    shared ones, mixed by gates, layer over layer. One layer is CGC."""

    name: Literal["ple"]
    layers: PositiveInt = 2
    shared_experts: PositiveInt = 2
    """In each layer."""
    task_experts: PositiveInt = 2
    """In each layer, for each task."""
    expert: Widths = [128]
    """Widths of each expert's layers."""
    tower: list[PositiveInt] = [64]
    """Widths of each task's own layers; `[]` for none between mixture and head."""
    dropout: Rate = 0.0


MultiTask = Annotated[SharedBottom | MMoE | PLE, Field(discriminator="name")]
