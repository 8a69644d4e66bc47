import pytest
import yaml

from configs import JobError, dump_job, load_job, parse_job
from tests.configs.jobs import job_of, values

TEXT = yaml.safe_dump(values(), sort_keys=False)


def refusal(text: str = TEXT, *overrides: str) -> str:
    with pytest.raises(JobError) as caught:
        parse_job(text, overrides, origin="shop.yaml")
    return str(caught.value)


def test_every_problem_is_listed_with_its_place():
    message = refusal(TEXT, "training.epochs=many", "model.auxiliary.0.weight=-1")
    assert "shop.yaml: 2 problem(s)" in message
    assert "training.epochs: input should be a valid integer, got 'many'" in message
    assert "model.auxiliary.0.weight: input should be greater than 0, got -1" in message


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.bach_size=1", "Did you mean 'batch_size'?"),
        ("trainin.epochs=1", "Did you mean 'training'?"),
        ("features.user.colum=x", "Did you mean 'column'?"),
        ("features.user.kind=categorial", "Did you mean 'categorical'?"),
        ("features.user={group: user}", "features.user: the key 'kind' is missing"),
        ("model.backbone.name=dcn_v3", "Did you mean 'dcn_v2'?"),
        ("preprocessing.split.by=tme", "Did you mean 'time'?"),
        ("model.tasks.click.losses=[{name: rank_net}]", "Did you mean 'ranknet'?"),
        ("ids.event=", "ids.event: input should be a valid string, got None"),
        ('training.batch_size="4096"', "valid integer, got '4096'"),
        ("training.batch_size=4096.0", "valid integer"),
        ("training.batch_size=true", "valid integer"),
        ("training.deterministic=1", "valid boolean, got 1"),
        ("data.run=s3://logs/run", "data.run: s3://logs/run is on no local disk"),
        ("training.optimizer.dense.learning_rate=.inf", "finite number"),
        ("training.optimizer.dense.learning_rate=.nan", "finite number"),
        ("name=2017-10-10", "name: input should be a valid string"),
        ("model.tasks.click.losses=bce", "model.tasks.click.losses"),
    ],
)
def test_a_wrong_value_names_place_and_mending(override, words):
    assert words in refusal(TEXT, override)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.batch_size", "expected section.key=value"),
        ("=3", "expected section.key=value"),
        ("training..epochs=3", "expected section.key=value"),
        ("name.first=x", "name is not a section"),
        ("model.auxiliary.2.weight=1", "has 2 item(s)"),
        ("model.auxiliary.x.weight=1", "'x' is none of their numbers"),
        ("features.hour.bucketize.boundaries.3=1", "has 3 item(s)"),
        ("training.epochs=[1", "not valid YAML"),
        ("training.epochs={a: 1, a: 2}", "given twice"),
    ],
)
def test_a_wrong_override_is_refused(override, words):
    message = refusal(TEXT, override)
    assert f"--set {override}" in message
    assert words in message


def test_overrides_reach_everywhere():
    job = parse_job(
        TEXT,
        [
            "training.batch_size=4096",
            "training.optimizer.dense.learning_rate=1e-3",
            "model.auxiliary.1.weight=0.5",
            "features.hour.bucketize.boundaries.0=5",
            "model.tasks.click.losses=[{name: bce, beta: 2}]",
            "export.tolerance=1e-5",
            "name=a",
        ],
    )
    assert job.training.batch_size == 4096
    assert job.training.optimizer.dense.learning_rate == 1 / 1000
    assert job.model.auxiliary[1].weight == 0.5
    assert job.features["hour"].bucketize.boundaries == [5.0, 12.0, 18.0]
    assert job.model.tasks["click"].losses[0].beta == 2.0
    assert job.export.tolerance == 1 / 100_000
    assert job.name == "a"


def test_later_overrides_win_and_values_may_hold_equal_signs():
    assert parse_job(TEXT, ["name=a", "name=b"]).name == "b"
    job = parse_job(TEXT, ["data.run=out/lr=0.1"])
    assert job.data.run == "out/lr=0.1"


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "+1e-3", "1.0e-3", "0.001", ".1e-2"])
def test_exponents_are_numbers(text):
    job = parse_job(TEXT, [f"training.optimizer.dense.learning_rate={text}"])
    assert job.training.optimizer.dense.learning_rate == 1 / 1000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected a mapping of sections"),
        ("- name", "got list"),
        ("shop", "got str"),
        ("a: [", "not valid YAML"),
        ("name: a\nname: b", "the key 'name' is given twice"),
        ("a: {b: 1, b: 2}", "the key 'b' is given twice"),
        ("1: a\n1: b", "the key 1 is given twice"),
        ("? [a, b]\n: 1", "unhashable key"),
        ("a: !!python/object/apply:os.system ['true']", "not valid YAML"),
        ("a: !!python/name:os.system", "not valid YAML"),
        ("a: !include other.yaml", "not valid YAML"),
        ("a: *nowhere", "not valid YAML"),
        ("a: \x00", "not valid YAML"),
    ],
)
def test_text_that_is_no_job_is_refused(text, words):
    assert words in refusal(text)


def test_merge_keys_work_and_are_no_repetition():
    text = TEXT.replace(
        "  hour:",
        "  night: &base {kind: numeric, group: context}\n"
        "  dusk: {<<: *base, group: user}\n"
        "  hour:",
    )
    job = parse_job(text)
    assert job.features["dusk"].kind == "numeric"
    assert job.features["dusk"].group == "user"


def test_bare_dates_of_yaml_are_read_as_dates():
    job = parse_job(
        TEXT,
        [
            "preprocessing.split={by: time, train: 2017-10-10,"
            " test: {from: 2017-10-11T06:00:00}}"
        ],
    )
    day = 1_507_593_600_000  # 2017-10-10T00:00:00Z
    hour = 3_600_000
    assert job.preprocessing.split.train.bounds == (day, day + 24 * hour)
    assert job.preprocessing.split.test.bounds == (day + 30 * hour, float("inf"))
    assert parse_job(dump_job(job)) == job


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(JobError, match="cannot read the job file"):
        load_job(tmp_path / "absent.yaml")
    with pytest.raises(JobError, match="cannot read the job file"):
        load_job(tmp_path)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"name: caf\xe9\n")
    with pytest.raises(JobError, match="cannot read the job file"):
        load_job(latin)


def test_the_dump_holds_defaults_and_needs_no_overrides():
    job = job_of()
    text = dump_job(job)
    assert "batch_size: 4096" in text
    assert parse_job(text) == job
    assert dump_job(parse_job(text)) == text
