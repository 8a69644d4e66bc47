"""What a job's model and its optimizers can be, one line each.

Read from the sections of the job file, from the registry of heads and from docstrings,
so that there is no list to keep. TensorFlow is not loaded: the source of what needs it
is parsed, and not run.
"""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from configs.auxiliary import Auxiliary
from configs.backbones import Backbone
from configs.experts import Expert, HeterogeneousExperts
from configs.losses import Loss
from configs.multi_task import MultiTask
from configs.own import OwnAuxiliary, OwnBackbone, OwnLoss, own_parts
from configs.section import Section
from configs.training import DenseOptimizer, EmbeddingOptimizer

__all__ = ["models", "render_models"]

_TRAINER = Path(__file__).resolve().parent


def models() -> dict[str, dict[str, str]]:
    """Returns a sentence for each name that a job file can give, by its place."""
    optimizers = _TRAINER / "optimizers"
    return {
        "model.backbone": _sections(Backbone, HeterogeneousExperts, own=OwnBackbone),
        "model.backbone.sets.N.experts, of the backbone experts": _sections(Expert),
        "model.multi_task": _sections(MultiTask),
        "model.tasks.TASK.head": _heads(_TRAINER / "heads.py"),
        "model.tasks.TASK.losses": _sections(Loss, own=OwnLoss),
        "model.auxiliary": _sections(Auxiliary, own=OwnAuxiliary),
        "training.optimizer.dense": dict.fromkeys(
            _names(DenseOptimizer), _sentence(DenseOptimizer.__doc__)
        ),
        "training.optimizer.embeddings": {
            name: _sentence(ast.get_docstring(_parsed(optimizers / f"{name}.py")))
            for name in _names(EmbeddingOptimizer)
        },
    }


def render_models() -> str:
    """Returns all of it as text, a line for each name."""
    lines: list[str] = []
    for place, entries in models().items():
        width = max(map(len, entries))
        lines += ["", place]
        lines += [f"  {name:<{width}}  {text}" for name, text in entries.items()]
    return "\n".join(lines[1:])


def _sections(*kinds: Any, own: type[Section] | None = None) -> dict[str, str]:
    """Returns the sentences of all sections of some types, and of one's own ones."""
    found = {
        _names(section)[0]: _sentence(section.__doc__)
        for kind in kinds
        for section in _classes(kind)
    }
    for path, section in own_parts(own).items() if own else ():
        found[path] = _sentence(section.__doc__)
    return found


def _classes(kind: Any) -> Iterator[type[Section]]:
    """Yields the sections that a type allows."""
    if inspect.isclass(kind) and issubclass(kind, Section):
        yield kind
    for part in get_args(kind):
        yield from _classes(part)


def _names(section: type[Section]) -> list[str]:
    """Returns what `name` can be in a section."""
    annotation = section.model_fields["name"].annotation
    if get_origin(annotation) is not Literal:
        raise TypeError(f"{section.__name__} has no fixed name")
    return list(get_args(annotation))


def _heads(path: Path) -> dict[str, str]:
    """Returns the first sentences of the classes in the dictionary `HEADS`."""
    module = _parsed(path)
    docstrings = {
        node.name: ast.get_docstring(node)
        for node in module.body
        if isinstance(node, ast.ClassDef)
    }
    registry = next(
        node.value
        for node in module.body
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "HEADS"
    )
    if not isinstance(registry, ast.Dict):
        raise TypeError(f"HEADS in {path} is no dictionary")
    return {
        ast.literal_eval(key): _sentence(docstrings[ast.unparse(value)])
        for key, value in zip(registry.keys, registry.values, strict=True)
        if key is not None
    }


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _sentence(docstring: str | None) -> str:
    """Returns the first sentence of a docstring, on one line."""
    text = " ".join(inspect.cleandoc(docstring or "").split("\n\n")[0].split())
    # What follows the abbreviation in "Guo et al. 2017" is no capital letter.
    sentence = re.split(r"\.\s+(?=[A-Z`])", text)[0].rstrip(".")
    return f"{sentence}." if sentence else ""
