"""Small logs of a shop, for the tests of plans."""

import json
import random
from pathlib import Path
from typing import Any

DAY_MS = 86_400_000
START = 1_700_006_400_000  # 2023-11-15, UTC

Record = dict[str, Any]


def shop_logs(rows: int = 3_000) -> tuple[list[Record], list[Record], list[Record]]:
    """Impressions over ten days, clicks seconds after, orders hours after."""
    chance = random.Random(5)  # noqa: S311 (a test's)
    shown, clicks, orders = [], [], []
    for number in range(rows):
        time = START + number * 10 * DAY_MS // rows
        user, item = chance.randrange(200), chance.randrange(50)
        shown.append(
            {
                "impression_id": f"i{number}",
                "ts": time,
                "user_id": user,
                "item_id": f"item{item}",
                "brand": f"b{item % 7}",
                "price": round(1.5 + item**2 / 7, 2),
                "tier": user % 3,
                "tags": [f"t{item % 5}", f"t{item % 9}"][: item % 3],
                "tag_weights": [0.5, 1.5 + item][: item % 3],
                "vector": [item / 3, user / 7, 0.5],
                "history_item": [f"item{(user + k) % 50}" for k in range(user % 4)],
                "history_age_hours": [k + 0.5 for k in range(user % 4)],
                "always": "same",
                "nested": {"a": 1},
            }
        )
        if chance.random() < 0.2:
            at = time + chance.randrange(1_000, 55_000)
            clicks.append({"click_id": number, "impression_id": f"i{number}", "ts": at})
            if chance.random() < 0.3:
                late = at + chance.randrange(60_000, 3_000_000)
                orders.append({"order_id": number, "click_id": number, "ts": late})
    return shown, clicks, orders


def write_shop(folder: Path, rows: int = 3_000) -> Path:
    """Writes the logs as JSON lines, and returns their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("impressions", "clicks", "orders")
    for name, records in zip(names, shop_logs(rows), strict=True):
        lines = "".join(f"{json.dumps(record)}\n" for record in records)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    return folder
