"""The feature-interaction backbones once more, row by row in NumPy."""

from typing import Any

import numpy as np

from tests.oracles import interactions, networks
from tests.trainer.reference import ROWS, SHARES, Array, Reference
from trainer.inference import InferenceModel

# In the order of the embedded fields of the small job.
FEATURES = [
    *("user_id", "hits", "article", "topic", "tags", "device", "hour", "labels"),
    *("history", "history", "history"),
]
GROUPS = [*[0] * 2, *[1] * 3, *[2] * 3, *[3] * 3, *[2] * 4, 3, 1]
"""Parts of all fields: user, item, context, behaviour."""


class FirstOrder(Reference):
    """Finds first-order weights where the reference finds embeddings."""

    def vector(self, name: str, value: int) -> Array:
        if value == -1:
            return np.zeros(1)
        owner = SHARES.get(name, name)
        names = list(ROWS)
        # The row inside its variable, less where the table starts there.
        start = 1 + sum(ROWS[n] for n in names[: names.index(owner)])
        row = self.local_row(name, value)
        return np.asarray(self.weights["tables/first_order"][start + row], np.float64)


class InteractionReference(Reference):
    """Gives the logit of each backbone."""

    def __init__(self, job: Any, model: InferenceModel) -> None:
        super().__init__(job, model)
        self.first_order = FirstOrder(job, model)
        self.first_order.dims = dict.fromkeys(ROWS, 1)
        self.dim = self.dims["topic"]

    def scalars(self, row: dict[str, Any]) -> Array:
        """Three numbers, an indicator, and the pooled number of the sequence."""
        pooled = networks.mean_pool(row["behaviours"], row["mask"])
        return np.concatenate([row["numbers"][:4], pooled[-1:]])

    def fields(self, row: dict[str, Any]) -> list[Array]:
        pooled = networks.mean_pool(row["behaviours"], row["mask"])[:-1]
        embedded = np.concatenate([*row["groups"].values(), pooled])
        numbers = np.asarray(self.weights["backbone_fields_numbers/vectors"])
        picture = networks.dense(
            row["numbers"][4:], self.weights, "backbone_fields_dense_picture"
        )
        return [
            *embedded.reshape(-1, self.dim),
            *(x * v for x, v in zip(self.scalars(row), numbers, strict=True)),
            picture,
        ]

    def wide(self, batch: dict[str, Any], i: int) -> float:
        row = self.first_order.row(batch, i)
        pooled = networks.mean_pool(row["behaviours"], row["mask"])
        weights = self.weights["backbone_wide_numbers/kernel"][:, 0]
        numbers = np.concatenate([row["numbers"], pooled[3:]])
        own = sum(values.sum() for values in row["groups"].values())
        return float(own + pooled[:3].sum() + numbers @ weights)

    def flat(self, row: dict[str, Any]) -> Array:
        vectors = self.weights.get("backbone_inputs_numbers/vectors")
        if vectors is None:
            return super().flat(row)
        pooled = networks.mean_pool(row["behaviours"], row["mask"])[:-1]
        numbers = self.scalars(row)[:, np.newaxis] * vectors
        picture = row["numbers"][4:]
        return np.concatenate(
            [*row["groups"].values(), pooled, numbers.reshape(-1), picture]
        )

    def deep(self, x: Array) -> Array:
        return networks.mlp(x, self.weights, "backbone_hidden", 2)

    def hidden(self, batch: dict[str, Any], i: int, config: Any) -> Array:
        """Returns the hidden vector, or the score [1] before the bias."""
        row = self.row(batch, i)
        name = config.name
        if name == "dnn":
            return self.deep(self.flat(row))
        if name == "wide_deep":
            return np.append(self.wide(batch, i), self.deep(self.flat(row)))
        if name == "dcn_v2":
            return self.dcn(self.flat(row), config)
        fields = self.fields(row)
        if name == "masknet":
            serial = config.structure == "serial"
            blocks = len(config.hidden) if serial else config.blocks
            return interactions.masknet(fields, self.weights, serial, blocks)
        if name == "ipnn":
            products = interactions.inner_products(fields)
            return self.deep(np.concatenate([*fields, products]))
        wide = self.wide(batch, i)
        pairs = self.weights.get("backbone_pairs/weights")
        if name == "fwfm":
            return np.asarray([wide + interactions.weighted_pairs(fields, pairs)])
        if name == "gwpfm":
            parts = GROUPS if config.parts is None else self.parts(config.parts)
            return np.asarray([wide + interactions.part_pairs(fields, parts, pairs)])
        score = wide + interactions.pairs(fields)
        if name == "fm":
            return np.asarray([score])
        return np.append(score, self.deep(np.concatenate(fields)))

    def parts(self, parts: list[list[str]]) -> list[int]:
        names = [*FEATURES, "age", "price", "score", "age", "history", "picture"]
        return [[name in part for part in parts].index(True) for name in names]

    def dcn(self, x0: Array, config: Any) -> Array:
        x = x0
        for number in range(config.cross_layers):
            name = f"backbone_cross_{number}"
            if config.experts > 1:
                x = interactions.cross_mixture(
                    x0, x, self.weights, name, config.experts
                )
            elif config.rank:
                x = interactions.low_rank_cross(x0, x, self.weights, name)
            else:
                x = x0 * networks.dense(x, self.weights, f"{name}_dense") + x
        if config.structure == "stacked":
            return self.deep(x)
        return np.concatenate([x, self.deep(x0)])

    def head(self, hidden: Array) -> float:
        if "head_click/bias" in self.weights:
            return float(hidden[0] + self.weights["head_click/bias"][0])
        if "head_click_logits/kernel" in self.weights:
            both = networks.dense(hidden, self.weights, "head_click_logits")
            return float(both[1] - both[0])
        return float(networks.dense(hidden, self.weights, "head_click_logit")[0])
