"""Parts of a model from outside the project, named by their import paths.

@register(MyTowerSettings)
class MyTower(keras.layers.Layer): ...

makes `backbone: {name: "my_package.towers:MyTower", ...}` a line of a job file. That
line imports nothing: a job can name what is registered already, and whoever runs the
command says which modules to import (`configs.imports`).
"""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeVar

from pydantic import PositiveFloat, ValidatorFunctionWrapHandler, WrapValidator

from configs.backbones import BackboneSection
from configs.section import Section, suggestion

__all__ = [
    "OwnAuxiliary",
    "OwnBackbone",
    "OwnLoss",
    "implementation_of",
    "own",
    "own_parts",
    "register",
]

Implementation = TypeVar("Implementation", bound=type)


class OwnBackbone(BackboneSection):
    """Base of the settings of a backbone of one's own."""


class OwnLoss(Section):
    """Base of the settings of a loss of one's own.

    Attributes:
        name: import path of the loss.
        weight: of the loss in its task; all other fields are arguments of the loss.
        cross_entropy: how much binary cross-entropy the loss contains: a task takes it
            from one of its losses at most.
    """

    cross_entropy: ClassVar[float] = 0.0

    name: str
    weight: PositiveFloat = 1.0


class OwnAuxiliary(Section):
    """Base of the settings of an auxiliary task of one's own.

    Attributes:
        name: import path of the layer.
        weight: of its value in the total loss.
    """

    name: str
    weight: PositiveFloat = 0.1


class _Part(NamedTuple):
    settings: type[Section]
    implementation: Any


_BASES: dict[type[Section], str] = {
    OwnBackbone: "backbone",
    OwnLoss: "loss",
    OwnAuxiliary: "auxiliary task",
}

_PARTS: dict[type[Section], dict[str, _Part]] = {base: {} for base in _BASES}


def register(settings: type[Section]) -> Callable[[Implementation], Implementation]:
    """Makes a class known to job files, under `module:Class`.

    Args:
        settings: of the class, a section derived from `OwnBackbone`, `OwnLoss` or
            `OwnAuxiliary`, which says what the class is.

    Returns:
        A decorator that returns the class as it is.

    Raises:
        TypeError: if `settings` is none of these, or the class lies inside a function.
    """
    base = next((base for base in _BASES if issubclass(settings, base)), None)
    if base is None:
        raise TypeError(
            f"{settings.__name__} says not what it is the settings of: derive it from"
            f" {', '.join(known.__name__ for known in _BASES)}"
        )

    def registered(implementation: Implementation) -> Implementation:
        if "<locals>" in implementation.__qualname__:
            raise TypeError(
                f"{implementation.__qualname__} lies inside a function, where no import"
                " path leads: define it in the module itself"
            )
        path = f"{implementation.__module__}:{implementation.__qualname__}"
        _PARTS[base][path] = _Part(settings, implementation)
        return implementation

    return registered


def own(base: type[Section]) -> WrapValidator:
    """Returns the mark of a field that takes registered parts, beside the built-in ones
    that its type lists."""

    def validate(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        if isinstance(value, base):
            return value
        name = value.get("name") if isinstance(value, dict) else None
        if not isinstance(name, str) or ":" not in name:
            return handler(value)
        return _known(base, name).settings.model_validate(value)

    return WrapValidator(validate)


def own_parts(base: type[Section]) -> dict[str, type[Section]]:
    """Returns the settings of all registered parts of a kind, by their paths."""
    return {path: part.settings for path, part in _PARTS[base].items()}


def implementation_of(section: Section) -> Any:
    """Returns the class that a section with the path of one is for."""
    base = next(base for base in _BASES if isinstance(section, base))
    name: str = section.model_dump()["name"]
    return _known(base, name).implementation


def _known(base: type[Section], name: str) -> _Part:
    part = _PARTS[base].get(name)
    if part is None:
        module = name.partition(":")[0]
        raise ValueError(
            f"no {_BASES[base]} is registered as {name!r}."
            f"{suggestion(name, _PARTS[base])} A job file imports nothing by itself:"
            f" give the command '--import {module}', or set PAIRSTREAM_IMPORT={module},"
            " and put '@register(...)' on the class"
        )
    return part
