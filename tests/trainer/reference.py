"""The small job's model once more, row by row in NumPy, from the variables' values."""

from typing import Any

import keras
import numpy as np

from configs.job import Job
from tests.oracles import networks as oracle
from tests.trainer.model_jobs import statistics, vocabularies

Array = np.ndarray[Any, Any]

# In the order of the small job: owner -> rows; kinds are written out below.
ROWS = {
    "user_id": 50,
    "article": 40,
    "topic": len(vocabularies()["topic"]) + 1,
    "device": len(vocabularies()["device"]) + 1,
    "tags": 9,
    "history.place": 11,
    "hour": 5,
    "hits": 64,
}
SHARES = {"labels": "tags", "history.item": "article", "history.topic": "topic"}


class Reference:
    """Embeds and runs one row at a time."""

    def __init__(self, job: Job, model: keras.Model) -> None:
        self.weights = {v.path: np.asarray(v.value) for v in model.variables}
        dims = {"topic": 3, "history.place": 2, "hits": 3}
        if job.embedding_of("topic").dim != 3:  # widths are equal
            dims = {}
        self.dims = {n: dims.get(n, job.model.embedding_dim or 0) for n in ROWS}
        start: dict[int, int] = {}
        self.offsets = {}
        for name, rows in ROWS.items():
            dim = self.dims[name]
            self.offsets[name] = start.setdefault(dim, 1)
            start[dim] += rows

    def local_row(self, name: str, value: int) -> int:
        """Returns the row of a fingerprint or bucket inside its table."""
        owner = SHARES.get(name, name)
        if owner in ("topic", "device"):
            words = vocabularies()[owner].tolist()
            return words.index(value) + 1 if value in words else 0
        return value if owner in ("hour", "hits") else value % ROWS[owner]

    def vector(self, name: str, value: int) -> Array:
        """Returns the embedding of a fingerprint or bucket; zeros for padding."""
        owner = SHARES.get(name, name)
        dim = self.dims[owner]
        if value == -1:
            return np.zeros(dim)
        table = self.weights[f"tables/width_{dim}"]
        row = self.offsets[owner] + self.local_row(name, value)
        return np.asarray(table[row], np.float64)

    def row(self, batch: dict[str, Any], i: int) -> dict[str, Any]:
        """Returns the embedded groups of a row: vectors, numbers, the sequence."""
        user, article, topic, device = (int(x) for x in batch["categorical"][i])
        age, price, score, hour, hits = (float(x) for x in batch["numeric"][i])
        tags = [self.vector("tags", int(x)) for x in batch["multi_valued/tags"][i]]
        count = max(int((np.asarray(batch["multi_valued/tags"][i]) != -1).sum()), 1)
        labels = [self.vector("tags", int(x)) for x in batch["multi_valued/labels"][i]]
        hit = self.vector("hits", oracle.log2_bucket(hits))
        hour_vector = self.vector("hour", oracle.bucket(hour, [6, 12, 18]))
        groups = {
            "user": [self.vector("user_id", user), hit],
            "item": [
                self.vector("article", article),
                self.vector("topic", topic),
                sum(tags, np.zeros(self.dims["tags"])) / count,
            ],
            "context": [
                self.vector("device", device),
                hour_vector,
                sum(labels, np.zeros(self.dims["tags"])),
            ],
        }
        known = statistics().numeric
        logs = known["age"].log1p_mean if np.isnan(age) else oracle.log1p(age)
        numbers = [
            (logs - known["age"].log1p_mean) / known["age"].log1p_stddev,
            oracle.log1p(
                0.0
                if np.isnan(price)
                else (price - known["price"].mean) / known["price"].stddev
            ),
            known["score"].mean if np.isnan(score) else score,
            float(np.isnan(age)),
            *(float(x) for x in batch["dense"][i]),
        ]
        return {
            "groups": {name: np.concatenate(parts) for name, parts in groups.items()},
            "article": groups["item"][0],
            "topic": groups["item"][1],
            "numbers": np.asarray(numbers),
            **self.sequence(batch, i),
        }

    def sequence(self, batch: dict[str, Any], i: int) -> dict[str, Any]:
        fields = {
            f: np.asarray(batch[f"sequence/history/{f}"][i])
            for f in ("item", "topic", "place", "delay")
        }
        mask = fields["item"] != -1
        mean = statistics().numeric["history.delay"].log1p_mean
        values = []
        for k, there in enumerate(mask):
            delay = float(fields["delay"][k])
            number = mean if np.isnan(delay) else oracle.log1p(delay)
            parts = [
                self.vector(f"history.{f}", int(fields[f][k]))
                for f in ("item", "topic", "place")
            ]
            values.append(np.concatenate([*parts, [number if there else 0.0]]))
        return {"mask": mask, "behaviours": np.asarray(values)}

    def flat(self, row: dict[str, Any]) -> Array:
        pooled = oracle.mean_pool(row["behaviours"], row["mask"])
        return np.concatenate([*row["groups"].values(), row["numbers"], pooled])

    def logit(self, batch: dict[str, Any], i: int, backbone: str) -> float:
        row = self.row(batch, i)
        if backbone == "logistic_regression":
            return self.linear_logit(row)
        if backbone == "flat":
            hidden = self.flat(row)
        elif backbone == "din":
            hidden = self.din(row)
        else:
            x = self.flat(row)
            crossed = oracle.cross(x, self.weights, "backbone_cross", 2)
            if backbone == "stacked":
                hidden = oracle.mlp(crossed, self.weights, "backbone_hidden", 2)
            else:
                deep = oracle.mlp(x, self.weights, "backbone_hidden", 2)
                hidden = np.concatenate([crossed, deep])
        return float(oracle.dense(hidden, self.weights, "head_click_logit")[0])

    def linear_logit(self, row: dict[str, Any]) -> float:
        pooled = oracle.mean_pool(row["behaviours"], row["mask"])
        embedded = np.concatenate([*row["groups"].values(), pooled[:3]])
        numbers = np.concatenate([row["numbers"], pooled[3:]])
        weights = self.weights["backbone_linear/kernel"][:, 0]
        bias = float(self.weights["head_click/bias"][0])
        return float(embedded.sum() + numbers @ weights) + bias

    def din(self, row: dict[str, Any]) -> Array:
        target = np.concatenate([row["article"], row["topic"]])
        weights = oracle.target_weights(
            row["behaviours"][:, : len(target)],
            target,
            row["mask"],
            self.weights,
            "backbone_attention_history",
        )
        interest = weights @ row["behaviours"]
        x = np.concatenate([*row["groups"].values(), row["numbers"], interest])
        return oracle.mlp(x, self.weights, "backbone_hidden", 2)
