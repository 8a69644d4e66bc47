"""FuxiCTR: its DCN V2, its trainer (Adam, gradients clipped at norm 10) and its loader
of npz files, in PyTorch.

The package holds DCN V2 for sequences alone, so the forward pass without a sequence
stands here, as in the model of its repository; layers, loss, optimizer and training
loop are the package's. A numeric feature has a vector there, by a layer without bias;
width 1 makes it the number itself, times a weight, so that the crosses are as wide as
everybody's. `embedding_regularizer`, which costs a pass over all tables a step, is off.
"""

import importlib.metadata
import itertools
import sys
from pathlib import Path
from typing import Any

import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch.dataloaders import RankDataLoader
from fuxictr.pytorch.models import BaseModel
from model_zoo.LongCTR.DCNv2.DCNv2 import DCNv2

from benchmarks.training import shape
from benchmarks.training.systems.arguments import CACHED_BATCHES, read_arguments
from benchmarks.training.turns import Turns

VERSIONS = {
    "fuxictr": importlib.metadata.version("fuxictr"),
    "torch": torch.__version__,
    "python": sys.version.split()[0],
}


class _Paced(DCNv2):  # type: ignore[misc]
    pace: Turns

    # Those of the class of all its models, which that for sequences overrides.
    get_inputs = BaseModel.get_inputs
    get_labels = BaseModel.get_labels
    get_group_id = BaseModel.get_group_id

    def forward(self, inputs: Any) -> Any:
        vectors = self.embedding_layer(self.get_inputs(inputs), flatten_emb=True)
        both = (self.crossnet(vectors), self.parallel_dnn(vectors))
        logit = self.fc(torch.cat(both, dim=-1))
        return {"y_pred": self.output_activation(logit)}

    def train_step(self, batch_data: Any) -> Any:
        loss = BaseModel.train_step(self, batch_data)
        # The loop reads the loss of the step: its time belongs to the step after.
        self.pace.step_done()
        return loss


def main() -> None:
    """Trains until told to stop."""
    arguments = read_arguments()
    features = _feature_map(arguments.total)
    model = _Paced(
        features,
        model_root=str(arguments.folder / "fuxictr"),
        metrics=["AUC"],
        verbose=0,
        optimizer="adam",
        loss="binary_crossentropy",
        learning_rate=shape.LEARNING_RATE,
        embedding_dim=shape.DIM,
        num_cross_layers=shape.CROSSES,
        parallel_dnn_hidden_units=list(shape.HIDDEN),
        eval_steps=sys.maxsize,
    )
    loader = _loader(features, arguments.folder)
    model.pace = Turns(VERSIONS)
    if not arguments.cached:
        model.fit(loader, epochs=1_000_000)
        return
    model._max_gradient_norm = 10.0  # as `fit` sets it
    model.train()
    batches = list(itertools.islice(loader, CACHED_BATCHES))
    for batch in itertools.cycle(batches):
        model.train_step(batch).item()


def _feature_map(total: int) -> Any:
    categorical, numeric = shape.names()
    features = FeatureMap("benchmark", ".")
    for name, rows in zip(categorical, shape.table_sizes(total), strict=True):
        features.features[name] = {"type": "categorical", "vocab_size": rows}
    for name in numeric:
        features.features[name] = {"type": "numeric", "embedding_dim": 1}
    features.labels = ["label"]
    features.default_emb_dim = shape.DIM
    features.num_fields = features.get_num_fields()
    features.set_column_index()
    return features


def _loader(features: Any, folder: Path) -> Any:
    loader, _ = RankDataLoader(
        features,
        stage="train",
        train_data=str(folder / "rows.npz"),
        batch_size=shape.BATCH,
        shuffle=False,
        data_format="npz",
    )
    return loader


if __name__ == "__main__":
    main()
