"""The state of the served version, from loading to unloading."""

from dataclasses import dataclass
from typing import Any, Literal

from serving.saved_model import LoadedModel

__all__ = ["ServedVersion", "State"]

State = Literal["LOADING", "AVAILABLE", "UNLOADING", "END"]
"""As TensorFlow Serving names them. `END` with an error: the version failed to load."""


@dataclass
class ServedVersion:
    """One version of one model.

    Attributes:
        name: of the model.
        number: of the version.
        state: requests are answered while it is `AVAILABLE`.
        model: set before the state becomes `AVAILABLE`.
        error: why loading failed, else empty.
    """

    name: str
    number: int
    state: State = "LOADING"
    model: LoadedModel | None = None
    error: str = ""

    @property
    def ready(self) -> bool:
        """Whether requests can be answered."""
        return self.state == "AVAILABLE"

    def status(self) -> dict[str, Any]:
        """Returns the answer of TensorFlow Serving's model status API."""
        return {
            "model_version_status": [
                {
                    "version": str(self.number),
                    "state": self.state,
                    "status": {
                        "error_code": "UNKNOWN" if self.error else "OK",
                        "error_message": self.error,
                    },
                }
            ]
        }
