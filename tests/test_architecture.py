"""The import rules: read from the source, and seen in fresh processes."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("configs", "preprocessing", "trainer", "serving")
HEAVY = {
    "apache_beam",
    "keras",
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "tensorflow",
    "tensorflow_io",
    "tensorflow_recommenders",
}

ALLOWED = {
    "configs": {"configs"},
    "preprocessing": {"configs", "preprocessing"},
    "trainer": {"configs", "trainer"},
    "serving": {"configs", "serving"},
}

FORBIDDEN_PATHS = [
    # Somebody's own folders: the project must not depend on where it was written.
    r"/root/\w",
    r"/root/\.",
    r"/Users/\w",
]


def sources(*rooms: str) -> list[Path]:
    return sorted(path for room in rooms for path in (ROOT / room).rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports_of(path: Path) -> tuple[str, ...]:
    """Every module that a file names in an import, wherever the import stands."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            found.append(node.module or "")
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(found)


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh process holds after `statement`."""
    program = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    return set(json.loads(output_of(program).splitlines()[-1]))


def output_of(program: str) -> str:
    """What a fresh process prints."""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def loaded_in_turn():
    """The modules of one fresh process after imports that TensorFlow makes slow, each
    on top of those before: the server, the encoding, the inference model."""
    server = [
        name_of(path)
        for path in sources("serving")
        if not path.name.startswith(("export", "__main__"))
    ]
    assert "serving.server" in server
    imports = {
        "server": server,
        "encoding": ["preprocessing.encoding"],
        "inference": ["trainer.inference"],
    }
    program = "import importlib, json, sys\n" + "".join(
        f"for name in {names}: importlib.import_module(name)\n"
        "print(json.dumps(sorted(sys.modules)))\n"
        for names in imports.values()
    )
    printed = output_of(program).splitlines()[-len(imports) :]
    return dict(zip(imports, map(set, map(json.loads, printed)), strict=True))


def tops(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def is_export(path: Path) -> bool:
    return path.parent.name == "serving" and path.name.startswith("export")


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_meet_through_artifacts_alone(room):
    for path in sources(room):
        for module in imports_of(path):
            top = module.partition(".")[0]
            if top not in ROOMS or top in ALLOWED[room]:
                continue
            assert is_export(path), f"{name_of(path)} imports {module}"


def test_export_reaches_for_the_encoding_and_the_inference_model_alone():
    # Export proves that raw rows give what encoded examples give, so its check also
    # parses examples, and compares variables by the trainer's names.
    allowed = (
        "preprocessing.encoding",
        "trainer.inference",
        "trainer.inputs.examples",
        "trainer.run",
        "trainer.variables",
    )
    for path in filter(is_export, sources("serving")):
        for module in imports_of(path):
            if module.partition(".")[0] in ("preprocessing", "trainer"):
                named = module in ("preprocessing", "trainer")
                assert named or module.startswith(allowed), (
                    f"{name_of(path)} imports {module}"
                )


def test_nothing_outside_the_rooms_is_imported_by_them():
    for path in sources(*ROOMS):
        for module in imports_of(path):
            assert module.partition(".")[0] not in ("tests", "benchmarks", "scripts")


def test_tensorflow_io_is_imported_in_one_file():
    files = {
        name_of(path)
        for path in sources(*ROOMS)
        if any(m.partition(".")[0] == "tensorflow_io" for m in imports_of(path))
    }
    assert files <= {"trainer.inputs.filesystems"}


def test_configs_imports_nothing_heavy():
    for path in sources("configs"):
        assert not tops(set(imports_of(path))) & HEAVY, name_of(path)
    names = [name_of(path) for path in sources("configs")]
    loaded = loaded_by("\n".join(f"import {name}" for name in names))
    assert not tops(loaded) & (HEAVY | {"preprocessing", "trainer", "serving"})


def test_importing_preprocessing_brings_no_beam():
    assert "apache_beam" not in tops(loaded_by("import preprocessing"))


def test_the_server_knows_neither_trainer_nor_preprocessing(loaded_in_turn):
    loaded = loaded_in_turn["server"]
    assert not tops(loaded) & {"trainer", "preprocessing", "apache_beam"}


def test_the_encoding_brings_no_beam(loaded_in_turn):
    loaded = loaded_in_turn["encoding"]
    assert {"tensorflow", "preprocessing"} <= tops(loaded)
    assert "apache_beam" not in tops(loaded)


def test_the_inference_model_knows_nothing_of_training(loaded_in_turn):
    loaded = loaded_in_turn["inference"]
    assert "trainer.inference" in loaded
    training_only = (
        "trainer.losses",
        "trainer.auxiliary",
        "trainer.optimizers",
        "trainer.training_model",
        "trainer.metrics",
    )
    assert not [module for module in loaded if module.startswith(training_only)]
    assert not tops(loaded) & {"apache_beam", "tensorflow_io"}


@pytest.mark.parametrize("room", ["preprocessing", "trainer", "serving"])
def test_help_is_fast_because_it_loads_nothing_heavy(room):
    loaded = loaded_by(
        "import contextlib, io, sys\n"
        f"from {room}.cli import main\n"
        f"sys.argv = ['{room}', '--help']\n"
        "out = io.StringIO()\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(out):\n"
        "    main()\n"
        "assert 'usage' in out.getvalue()"
    )
    assert not tops(loaded) & HEAVY


COMMANDS = {
    "preprocessing": [
        "run",
        "check",
        "check-histories",
        "plan",
        "compare",
        "synthesize",
        "convert",
    ],
    "trainer": ["train", "stream", "evaluate", "models"],
    "serving": ["export", "publish", "serve", "predict"],
}


@pytest.mark.parametrize(
    ("room", "command"),
    [(room, name) for room, names in COMMANDS.items() for name in names],
)
def test_every_command_explains_itself(room, command):
    ended = subprocess.run(
        [sys.executable, "-m", room, command, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert f"{command}" in ended.stdout.splitlines()[0]


@pytest.mark.parametrize("path", sources(*ROOMS), ids=name_of)
def test_files_are_small_and_free_of_assert(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    asserts = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Assert)]
    assert not asserts, f"{name_of(path)} line {asserts[0].lineno}"


@pytest.mark.parametrize("room", ROOMS)
def test_exported_names_exist(room):
    for path in sources(room):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        defined = set(names_defined(tree))
        for name in exported(tree):
            assert name in defined, f"{name_of(path)}.__all__ names {name!r}"


def exported(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == (
            "__all__"
        ):
            names: list[str] = ast.literal_eval(node.value)
            return names
    return []


def names_defined(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name


def test_every_dependency_is_declared(project_root):
    declared = re.findall(
        r'"([A-Za-z0-9._-]+)[^"]*"', (project_root / "setup.py").read_text()
    )
    wanted = {name.lower().replace("_", "-") for name in declared}
    distributions = packages_distributions()
    for path in sources(*ROOMS):
        for top in tops(set(imports_of(path))):
            if top in sys.stdlib_module_names or top in ROOMS:
                continue
            names = {n.lower().replace("_", "-") for n in distributions.get(top, [top])}
            assert names & wanted, f"{name_of(path)} imports {top}: not in setup.py"


def test_no_file_names_a_folder_of_somebody():
    listed = subprocess.run(
        ["git", "ls-files"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path == Path(__file__) or path.suffix == ".lock" or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for pattern in FORBIDDEN_PATHS:
            assert not re.search(pattern, text), f"{name} has {pattern}"


def test_mypy_is_strict_on_every_room():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    assert settings["strict"] is True
    assert settings["packages"] == list(ROOMS)
