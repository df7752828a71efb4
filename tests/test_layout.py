"""What holds the tree, the wheel and the documents together."""

import importlib.metadata
import importlib.util
import os
import re
import signal
import tomllib
from pathlib import Path

import pytest

import bnexport
from bnexport import errors
from bnexport.cli.failure import INTERNAL, INTERRUPTED

ENDED = (128 + signal.SIGHUP, 128 + signal.SIGTERM)

TREE = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((TREE / "pyproject.toml").read_text())
in_tree = pytest.mark.skipif(
    not (TREE / "bnexport").exists(), reason="needs the source tree; the wheel is being tested"
)


def found_packages():
    for folder, _, names in os.walk(TREE / "bnexport", followlinks=True):
        if "__init__.py" in names:
            yield ".".join(Path(folder).relative_to(TREE).parts)


@in_tree
def test_passes_is_a_link_to_the_folder_at_the_root():
    link = TREE / "bnexport" / "passes"
    assert link.is_symlink()
    assert os.readlink(link) == os.path.join("..", "passes")


@in_tree
def test_every_package_is_built():
    assert sorted(found_packages()) == sorted(PROJECT["tool"]["setuptools"]["packages"])


@pytest.mark.parametrize("name", PROJECT["tool"]["setuptools"]["packages"])
def test_every_package_can_be_imported(name):
    assert importlib.util.find_spec(name) is not None


def test_passes_is_not_installed_under_its_bare_name():
    top_level = importlib.metadata.distribution("bnexport").read_text("top_level.txt")
    assert top_level.split() == ["bnexport"]


def test_the_version_is_that_of_the_project():
    assert bnexport.__version__ == PROJECT["project"]["version"]


def test_the_types_are_shipped():
    assert (Path(bnexport.__file__).parent / "py.typed").exists()


@pytest.mark.parametrize("package", ["bench", "report"])
def test_the_schemas_are_shipped(package):
    assert (Path(bnexport.__file__).parent / package / "schema.json").exists()


@in_tree
def test_the_readme_has_every_exit_code():
    table = re.findall(r"^\| (\d+) \|", (TREE / "README.md").read_text(), re.MULTILINE)
    every = [getattr(errors, name).exit_code for name in errors.__all__]
    assert sorted(map(int, table)) == sorted({0, INTERNAL, INTERRUPTED, *ENDED, *every})


@in_tree
def test_no_file_names_a_registry():
    pip = re.compile(
        r"(--index-url|--extra-index-url|--find-links|pypi\.org/simple|files\.pythonhosted)"
    )
    files = ["Makefile", "constraints.txt", "pyproject.toml", ".ci/run", ".ci/wheel-test"]
    assert [name for name in files if pip.search((TREE / name).read_text())] == []


@in_tree
def test_every_package_is_pinned_by_its_hashes():
    text = (TREE / ".ci" / "requirements.txt").read_text()
    pinned = dict(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", text, re.MULTILINE))
    asked = [
        *PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"]["dev"],
        *PROJECT["project"]["optional-dependencies"]["demo"],
        *PROJECT["build-system"]["requires"],
    ]
    names = {re.match(r"[a-z-]+", each)[0] for each in asked} - {"torch"}
    assert names <= pinned.keys()
    for block in re.split(r"\n(?=[a-z])", text)[1:]:
        assert "--hash=sha256:" in block, block.split()[0]
    for line in (TREE / "constraints.txt").read_text().splitlines():
        name, _, version = line.partition("==")
        name = name.lower().replace("_", "-")
        assert name.startswith("#") or name == "torch" or pinned[name] == version, name
