"""A small client of the REST form, for any server that speaks it."""

import http.client
import json
import math
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from configs.errors import RequestError

__all__ = ["Client"]


class Client:
    """Asks one model on one server.

    Args:
        address: of the server, such as `http://127.0.0.1:8501`.
        name: of the model.
        timeout: in seconds, of one request.
    """

    def __init__(self, address: str, name: str, *, timeout: float = 10.0) -> None:
        if urllib.parse.urlsplit(address).scheme not in ("http", "https"):
            raise RequestError(
                f"the address is {address!r}; expected one such as"
                " http://127.0.0.1:8501"
            )
        self._base = f"{address.rstrip('/')}/v1/models/{urllib.parse.quote(name)}"
        self._timeout = timeout

    def predict(
        self, instances: Sequence[Mapping[str, Any]], *, version: int | None = None
    ) -> list[Any]:
        """Returns a prediction for each instance: a probability, or with several tasks
        a mapping from task to probability.

        Raises:
            RequestError: if the server refuses the request or gives no answer.
        """
        chosen = "" if version is None else f"/versions/{version}"
        body = json.dumps({"instances": [_with_nulls(row) for row in instances]})
        answer = self._ask(f"{self._base}{chosen}:predict", body.encode())
        return list(answer["predictions"])

    def status(self) -> dict[str, Any]:
        """Returns the status of the model's versions."""
        return self._ask(self._base)

    def metadata(self) -> dict[str, Any]:
        """Returns the signature of the model."""
        return self._ask(f"{self._base}/metadata")

    def wait_until_available(self, seconds: float = 60.0) -> None:
        """Waits until a version is available.

        Raises:
            RequestError: if that takes longer than `seconds`.
        """
        last = "no answer"
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                versions = self.status()["model_version_status"]
            except RequestError as error:
                last = str(error)
            else:
                last = str(versions)
                if any(version["state"] == "AVAILABLE" for version in versions):
                    return
            time.sleep(0.05)
        raise RequestError(
            f"{self._base} is not available after {seconds} s; the last answer: {last}"
        )

    def _ask(self, url: str, body: bytes | None = None) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 (the scheme is checked above)
            url, data=body, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(  # noqa: S310
                request, timeout=self._timeout
            ) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            text = error.read().decode("utf-8", "replace")
            raise RequestError(
                f"{url} answers {error.code}: {_message(text)}"
            ) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise RequestError(
                f"{url} gives no answer: {error}. Is the server running?"
            ) from error
        if not isinstance(answer, dict):
            raise RequestError(f"{url} answers {answer!r}, expected an object")
        return answer


def _with_nulls(row: Mapping[str, Any]) -> dict[str, Any]:
    """NaN, a missing number in Python, is no JSON."""
    missing = {
        k: None for k, v in row.items() if isinstance(v, float) and math.isnan(v)
    }
    return {**row, **missing}


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text
