"""Every kind of feature and side tables, from logs to a served probability."""

import json
import random
from pathlib import Path

import pytest

from preprocessing.run import preprocess
from serving.export import export_model
from serving.predict import predict_file
from tests.preprocessing.kinds import job_of_kinds, record_of_kinds
from tests.preprocessing.making_jobs import random_logs, write_lines, write_logs
from trainer.train import train

SPRING = 1_616_893_200_000  # clocks of Copenhagen go forward

OVERRIDES = (
    "data.tables={users: {path: ROOT/users.jsonl, key: user, time: from},"
    " items: {path: ROOT/items.csv, key: item}}",
    "features.age={kind: numeric, group: user, table: users, transform: log1p}",
    "features.city={kind: categorical, table: users, embedding: {buckets: 9}}",
    "features.words={kind: multi_valued, group: item, table: items, weights: shares,"
    " embedding: {buckets: 9}}",
    "preprocessing.golden_rows=40",
    "model.backbone={name: deepfm, hidden: [4]}",
    "features.hour.dim=4",
    "model.tasks={click: {losses: [{name: bce}]}}",
    "training={batch_size: 64, epochs: 1}",
)


@pytest.mark.slow
@pytest.mark.usefixtures("verified_here")
def test_raw_rows_through_the_export_equal_examples_through_the_trainer(
    tmp_path: Path,
) -> None:
    chance = random.Random(2)  # noqa: S311 (a test's)
    shown, clicks, conversions = random_logs(3, impressions=300)
    logs = [
        [record | {"time": record["time"] * 60_000 + SPRING} for record in log]
        for log in (shown, clicks, conversions)
    ]
    for record in logs[0]:
        number, time = int(record["impression"][1:]), record["time"]
        record |= record_of_kinds(chance, number, 0) | {"time": time}
    write_logs(tmp_path, (logs[0], logs[1], logs[2]))
    write_lines(
        tmp_path / "users.jsonl",
        [
            {"user": n % 6, "from": SPRING + n * 10**6, "age": n, "city": f"c{n % 4}"}
            for n in range(40)
        ],
    )
    rows = ["item,words,shares", "item 0,a|b,1|2", "item 1,,", "item 2,c,", ""]
    (tmp_path / "items.csv").write_text("\n".join(rows))
    places = [text.replace("ROOT", str(tmp_path)) for text in OVERRIDES]
    windows = ("labels.click.window=100m", "labels.conversion.window=300m")
    job = job_of_kinds(tmp_path, *places, *windows)
    manifest = preprocess(job)
    assert manifest.counters["joins.users.found"] > 0
    train(job)
    exported = export_model(job)
    golden = exported.report["golden"]
    assert golden["rows"] > 20 and golden["largest_difference"] <= 1e-6
    path = Path(job.data.examples) / "golden/rows.jsonl"
    scores = tmp_path / "scores.jsonl"
    assert predict_file(exported.folder, path, scores).rows == golden["rows"]
    first = json.loads(path.read_text().splitlines()[0])
    assert {"users_age", "items_words", "like_weights", "since", "time"} <= set(first)
    assert "met" not in first
