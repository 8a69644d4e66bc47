"""Every rule between sections, with the message that the user reads."""

from typing import Any

import pytest

from configs import JobError, dump_job, parse_job
from tests.configs.jobs import job_of

SAMPLED = {"preprocessing.sampling.negative_keep_rate": 0.1}
ALL_KEPT = {"preprocessing.sampling": {}}
LOGISTIC = {
    "model.backbone": {"name": "logistic_regression"},
    "model.embedding_dim": 1,
    "features.item.embedding.dim": 1,
    "model.auxiliary": [],
}

CLICK = "model.tasks.click"
SESSION = {"ids.session": "session_id"}


def losses(*names: str, **keys: Any) -> dict[str, Any]:
    """Changes the losses of the task click to these, each with `keys`."""
    return {f"{CLICK}.losses": [{"name": name, **keys} for name in names]}


# Changes of a valid job, and words that the message must have.
REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    # embeddings
    ({"features.twin.shares": "itme"}, ["features.twin", "Did you mean 'item'?"]),
    ({"features.twin.shares": "price"}, ["'price'", "no categorical feature"]),
    (
        {"features.third": {"kind": "categorical", "shares": "twin"}},
        ["features.third", "itself shares 'item'"],
    ),
    (
        {"features.twin": {"kind": "categorical", "shares": "user"}},
        ["type 'string' differs", "'int64'"],
    ),
    ({"model.embedding_dim": ...}, ["features.user.embedding", "no 'dim'"]),
    (
        {
            "model.embedding_dim": ...,
            "features.user.embedding.dim": 4,
            "features.tags.embedding.dim": 4,
        },
        ["features.hour.bucketize", "no 'dim'"],
    ),
    (
        {"features.user.embedding": {"buckets": 5, "vocabulary": {}}},
        ["either 'buckets' or 'vocabulary'"],
    ),
    ({"features.user.embedding": {"dim": 5}}, ["either 'buckets' or 'vocabulary'"]),
    ({"features.twin.embedding": {"buckets": 5}}, ["features.twin", "not both"]),
    ({"features.twin.shares": ...}, ["features.twin", "'embedding', or 'shares'"]),
    # numbers
    (
        {"features.hour.bucketize.boundaries": [3, 2]},
        ["features.hour.bucketize", "strictly increasing", "[3.0, 2.0]"],
    ),
    ({"features.hour.bucketize.boundaries": []}, ["strictly increasing"]),
    (
        {"features.hour.bucketize.scheme": "log2"},
        ["one of 'boundaries', 'scheme' and 'quantiles'"],
    ),
    ({"features.hour.transform": "log1p"}, ["'bucketize' takes the raw number"]),
    ({"features.price.transform": ["log1p", "log1p"]}, ["named twice"]),
    # sequences
    (
        {"features.history.fields.item": {"kind": "numeric"}},
        ["first field, 'item'", "must be categorical"],
    ),
    ({"features.history.fields.age.type": "int64"}, ["a numeric field takes no"]),
    ({"features.history.fields.item.transform": "log1p"}, ["takes no 'transform'"]),
    ({"features.history.fields.item": {}}, ["either 'embedding' or 'shares'"]),
    ({"features.history.fields.item.type": "int64"}, ["takes the type too"]),
    ({"features.history.fields.a/b": {"shares": "item"}}, ["history.fields"]),
    ({"features": {}}, ["features"]),
    # names: dots part a sequence from its field
    (
        {"features": {"history.item": {"kind": "numeric"}}},
        ["features.history.item", "match pattern"],
    ),
    # columns
    (
        {"features.price.column": "hour_text", "features.twin.column": "hour_text"},
        ["'hour_text'", "one column has one type"],
    ),
    # labels
    ({"labels.click.column": "clicked"}, ["labels.click", "not both"]),
    ({"labels.click": {}}, ["either 'window'"]),
    ({"labels.click.window": "30"}, ["labels.click.window", "'30m' or '7d'", "'30'"]),
    ({"labels.click.after": "purchase"}, ["labels.click", "defined above it"]),
    ({"data.events.purchase": ...}, ["labels.purchase", "add data.events.purchase"]),
    (
        {"data.events.clik": {"path": "x.csv", "event": "e", "key": "k", "time": "t"}},
        ["data.events.clik", "Did you mean 'click'?"],
    ),
    (
        {"labels.purchase": {"column": "bought"}},
        ["both a 'column' and the log data.events.purchase"],
    ),
    ({"data.events.purchase.joins": "order"}, ["'joins' is 'order'"]),
    ({"data.events.purchase.joins": "purchase"}, ["'joins' is 'purchase'"]),
    ({"data.events.click.joins": "purchase"}, ["do not join impressions themselves"]),
    # sampling and split
    ({"preprocessing.sampling.label": "clik"}, ["Did you mean 'click'?"]),
    ({"preprocessing.sampling.negative_keep_rate": 0.0}, ["negative_keep_rate"]),
    ({"preprocessing.sampling.negative_keep_rate": 1.5}, ["negative_keep_rate"]),
    (
        {"preprocessing.sampling.slices": {"feature": "price", "rates": {"1": 0.5}}},
        ["'price' is no categorical feature"],
    ),
    (
        {"preprocessing.sampling.slices": {"feature": "user", "rates": {"07": 0.5}}},
        ["'07' never occurs", "'7'"],
    ),
    (
        {"preprocessing.sampling.slices": {"feature": "user", "rates": {"x": 0.5}}},
        ["expected an integer", "'x'"],
    ),
    (
        {
            "preprocessing.split": {"by": "hash", "key": "request"},
            "ids.request": ...,
        },
        ["ids.request is absent"],
    ),
    (
        {"preprocessing.split": {"by": "hash", "validation": 0.5, "test": 0.5}},
        ["leave no rows for training"],
    ),
    (
        {
            "preprocessing.split": {
                "by": "time",
                "train": "2017-10-10",
                "test": {"from": "2017-10-10T23:00:00"},
            }
        },
        ["the intervals of train and test overlap"],
    ),
    (
        {"preprocessing.split": {"by": "time", "train": {"from": 5, "until": 5}}},
        ["must lie before"],
    ),
    (
        {"preprocessing.split": {"by": "time", "train": "2017-10-10T12:00:00"}},
        ["expected a date or a mapping"],
    ),
    (
        {"preprocessing.split": {"by": "time", "train": {"start": 1}}},
        ["expected the keys 'from' and 'until'"],
    ),
    # tasks
    ({"model.tasks.clik": {}}, ["model.tasks.clik", "Did you mean 'click'?"]),
    ({"model.tasks": {}}, ["model.tasks"]),
    ({"model.tasks.purchase.given": "purchase"}, ["expected another label"]),
    (
        {"model.tasks.click.losses": [{"name": "bce"}, {"name": "combined_pair"}]},
        ["each contain a binary cross-entropy"],
    ),
    (losses("bce", "pwiser"), ["losses.1.conversion: is missing"]),
    (
        {f"{CLICK}.losses": [{"name": "jrc"}, {"name": "rcr"}], f"{CLICK}.head": "x"},
        ["model.tasks.click.head", "'two_logits'"],
    ),
    (
        losses("combined_pair", "combined_list", "focal"),
        ["['combined_pair', 'combined_list'] each contain a binary", "'alpha: 0'"],
    ),
    (losses("ranknet", "ranknet"), ["['ranknet'] are named twice"]),
    (losses("jrc"), ["jrc takes two logits", "set 'head: two_logits'"]),
    (losses("jrc", gamma=2.0), ["unknown key 'gamma'"]),
    (losses("bce", context="request"), ["unknown key 'context'"]),
    (losses("ranknet", context="item"), ["'batch', 'request', 'session' or 'user'"]),
    (losses("rcr", alpha=1.5), ["losses.0", "alpha"]),
    (losses("focal", gamma=-1.0), ["gamma"]),
    (
        {**LOGISTIC, **losses("jrc"), f"{CLICK}.head": "two_logits"},
        ["click.head: logistic_regression gives one score", "'single_logit'"],
    ),
    (
        losses("pwiser", conversion="purchas"),
        ["click.losses.pwiser.conversion", "Did you mean 'purchase'?"],
    ),
    (losses("pwiser", conversion="click"), ["is the task's own label 'click'"]),
    # contexts
    (
        losses("combined_pair", context="session"),
        ["a loss has the context 'session', but ids.session is absent"],
    ),
    (
        {
            **losses("ranknet", context="request"),
            "model.tasks.purchase.losses": [{"name": "rcr", "context": "user"}],
        },
        ["inside ['request', 'user'], expected one context for all"],
    ),
    (
        {**losses("ranknet", context="user"), "preprocessing.adjacent": "request"},
        ["preprocessing.adjacent is 'request'", "inside 'user'", "leave 'adjacent'"],
    ),
    (
        {"preprocessing.adjacent": "session"},
        ["preprocessing.adjacent is 'session', but ids.session is absent"],
    ),
    (
        {"preprocessing.split": {"by": "hash", "key": "session"}},
        ["ids.session is absent"],
    ),
    (
        {"model.tasks.click.correction": ["weights", "logit_shift"]},
        ["correcting by weights and by logit shift at once"],
    ),
    (
        {"model.tasks.purchase.correction": "weights"},
        ["rows with click = 1 are all kept"],
    ),
    (
        {"model.tasks.purchase": {"correction": "logit_shift"}},
        ["no logit shift is right for 'purchase'", "'given: click'"],
    ),
    ({"model.tasks.purchase": {}}, ["say how this task is corrected"]),
    # backbones and auxiliary tasks
    (
        {"features.history": ..., "model.auxiliary": []},
        ["din needs behaviours"],
    ),
    ({**LOGISTIC, "model.embedding_dim": 8}, ["dim 1", "'user': 8"]),
    ({**LOGISTIC, "features.hour.bucketize.dim": 2}, ["dim 1", "'hour': 2"]),
    ({"model.auxiliary.0.task": "clik"}, ["Did you mean 'click'?"]),
    ({"model.auxiliary.1.sequence": "past"}, ["no sequence feature 'past'"]),
    (
        {
            "features.past": {
                "kind": "sequence",
                "max_length": 2,
                "fields": {"item": {"shares": "item"}},
            }
        },
        ["name its 'sequence'", "['history', 'past']"],
    ),
    ({"model.auxiliary": [{"name": "uim"}, {"name": "uim"}]}, ["named twice"]),
    (
        {
            "features.item.group": "context",
            "features.twin.group": "context",
            "features.tags.group": "context",
        },
        ["no categorical feature has 'group: item'"],
    ),
    (
        {
            "features.history": ...,
            "features.user.group": "context",
            "model.backbone": {"name": "dcn_v2"},
            "model.auxiliary": [{"name": "uim"}],
        },
        ["no feature has 'group: user' and there is no sequence"],
    ),
    # training and export
    ({"training": {"keep_checkpoints": 1}}, ["training.keep_checkpoints"]),
    ({"export": {"tolerance": 0.0}}, ["export.tolerance"]),
    ({"name": "../shop"}, ["name"]),
]


@pytest.mark.parametrize(
    ("changes", "words"), REFUSED, ids=[str(list(c))[:60] for c, _ in REFUSED]
)
def test_a_broken_rule_is_refused_with_its_reason(changes, words):
    with pytest.raises(JobError) as caught:
        job_of(changes)
    for word in words:
        assert word in str(caught.value)


ACCEPTED: list[dict[str, Any]] = [
    {},
    LOGISTIC,
    {"model.tasks.purchase": {"correction": "weights"}},
    {"model.tasks.purchase": {"correction": "none"}},
    {**ALL_KEPT, "model.tasks.purchase": {}},
    {"preprocessing.sampling.slices": {"feature": "user", "rates": {7: 0.5}}},
    {"preprocessing.split": {"by": "hash", "key": "user"}},
    {"preprocessing.split": {"by": "time", "train": {"until": "2017-10-10"}}},
    {"features.third": {"kind": "categorical", "shares": "tags"}},
    {"labels.purchase": {"column": "bought"}, "data.events.purchase": ...},
    {"features.twin.column": "item"},
    {**losses("jrc", alpha=0.5), f"{CLICK}.head": "two_logits"},
    {**losses("bce", "ranknet", "focal")},
    {f"{CLICK}.losses": [{"name": "bce"}, {"name": "combined_list", "alpha": 0.0}]},
    {**losses("pwiser", conversion="purchase"), "model.tasks.purchase": ...},
    {
        **SESSION,
        **losses("combined_contrastive", context="session", temperature=0.2),
        "model.tasks.purchase.losses": [{"name": "combined_pair"}],
        "preprocessing.adjacent": "session",
    },
]


@pytest.mark.parametrize("changes", ACCEPTED, ids=lambda c: str(list(c))[:60])
def test_what_is_accepted_survives_being_written_and_read(changes):
    job = job_of(changes)
    assert parse_job(dump_job(job)) == job


WARNED: list[tuple[dict[str, Any], str]] = [
    ({"preprocessing.sampling": {"seed": 3}}, "sampling.seed has no effect"),
    (
        {
            "training.early_stopping": {},
            "preprocessing.split": {"by": "hash", "validation": 0.0},
        },
        "early_stopping has no effect",
    ),
    (
        {
            "training.early_stopping": {},
            "preprocessing.split": {"by": "time", "train": "2017-10-10"},
        },
        "early_stopping has no effect",
    ),
    ({"training.logical_devices": 2}, "logical_devices has no effect"),
    (
        {"training.optimizer": {"dense": {"weight_decay": 0.1}}},
        "weight_decay has no effect",
    ),
    (
        {
            "training.optimizer": {
                "embeddings": {"name": "lazy_adam", "initial_accumulator": 0.5}
            }
        },
        "initial_accumulator has no effect with 'lazy_adam'",
    ),
    (
        {
            "preprocessing.split": {"by": "hash", "validation": 0.0},
            "training.evaluate_every": 5,
        },
        "evaluate_every has no effect",
    ),
    ({"model.tasks.click.correction": "none"}, "predictions will be too high"),
    ({**ALL_KEPT, "model.tasks.click.correction": "weights"}, "has no effect"),
    ({"labels.purchase.after": ...}, "positives of 'purchase' among them"),
    ({"labels.purchase.window": "1m"}, "window is shorter than that of click"),
    (
        {**LOGISTIC, "model.auxiliary": [{"name": "uim"}]},
        "can hardly match anything",
    ),
    (losses("bce", "focal"), "click.losses.focal is not a proper loss"),
    (losses("focal_balanced"), "no correction of down-sampling is exact for it"),
    (losses("combined_list"), "combined_list is not a proper loss"),
    (losses("pwiser", conversion="purchase"), "pwiser is not a proper loss"),
    (losses("rcr", beta=0.1), "beta is 0.1: predicted odds will be about 0.1 times"),
    (losses("ranknet"), "learn an order at most"),
    (losses("combined_pair", alpha=0.0), "learn an order at most"),
    ({f"{CLICK}.head": "two_logits"}, "'two_logits' has no use without the loss jrc"),
    (
        {**losses("rcr", context="request"), "preprocessing.split": {"by": "hash"}},
        "key is 'event', so the rows of a request fall into several splits",
    ),
]


@pytest.mark.parametrize(("changes", "words"), WARNED, ids=[w for _, w in WARNED])
def test_an_option_without_effect_is_warned_about(changes, words):
    warnings = job_of(changes).warnings()
    assert any(words in warning for warning in warnings), warnings


def test_a_sensible_job_has_no_warnings():
    assert job_of().warnings() == []


PROPER: list[dict[str, Any]] = [
    {f"{CLICK}.losses": [{"name": "bce"}, {"name": "focal", "gamma": 0.0}]},
    losses("rcr", alpha=0.3),
    losses("combined_contrastive"),
    losses("combined_list", alpha=1.0),
    losses("pwiser", conversion="purchase", strength=0.0),
    {**losses("jrc"), f"{CLICK}.head": "two_logits"},
    {
        **losses("combined_pair", context="user"),
        "preprocessing.split": {"by": "hash", "key": "user"},
    },
]


@pytest.mark.parametrize("changes", PROPER, ids=lambda c: str(list(c.values()))[:60])
def test_a_proper_loss_is_not_warned_about(changes):
    assert job_of(changes).warnings() == []


def test_the_context_of_the_losses_is_adjacent_or_else_the_request():
    job = job_of()
    assert (job.context, job.adjacent) == (None, "request")
    assert job_of({"ids.request": ...}).adjacent is None
    job = job_of({**SESSION, **losses("combined_pair", context="session")})
    assert (job.context, job.adjacent) == ("session", "session")
    job = job_of({"preprocessing.adjacent": "user"})
    assert (job.context, job.adjacent) == (None, "user")


def test_corrections_have_the_right_defaults():
    job = job_of(SAMPLED)
    assert job.sampled_label == "click"
    assert job.correction("click") == "logit_shift"
    assert job.correction("purchase") == "none"
    weighted = job_of({"model.tasks.click.correction": "weights"})
    assert weighted.correction("click") == "weights"


def test_embeddings_are_found_through_shared_tables():
    job = job_of()
    assert job.table_owner("history.item") == "item"
    assert job.table_owner("twin") == "item"
    assert job.table_owner("user") == "user"
    assert job.embedding_of("history.item").dim == 4
    assert job.embedding_of("user").dim == 8
    with pytest.raises(KeyError):
        job.embedding_of("price")


def test_a_resolved_job_warns_of_no_more_than_the_job_did():
    job = job_of({"preprocessing.sampling": {}})
    assert parse_job(dump_job(job)).warnings() == job.warnings()
