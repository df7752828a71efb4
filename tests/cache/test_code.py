"""Code as a hash: what a module is made of, and where that cannot be told."""

from __future__ import annotations

import importlib
import sys
import zipfile

import pytest

from bnexport.cache.code import code_of, installed


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    return tmp_path


def write(root, **files):
    for name, text in files.items():
        path = root / (
            name.replace("__init", "@").replace("_", "/").replace("@", "/__init__") + ".py"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    importlib.invalidate_caches()


def changes(root, names, before, after):
    """Whether the hash changes with a file, and returns with it."""
    write(root, **before)
    first = code_of(names)
    assert first is not None
    write(root, **after)
    second = code_of(names)
    write(root, **before)
    assert code_of(names) == first
    return first != second


@pytest.mark.parametrize(
    ("names", "files", "changed"),
    [
        (["xnets.Net"], {"xnets": "class Net: pass"}, "xnets"),
        (["xnets:build"], {"xnets": "from xhelp import a", "xhelp": "a = 1"}, "xhelp"),
        (["xnets"], {"xnets": "def f():\n    import xhelp", "xhelp": "a = 1"}, "xhelp"),
        (
            ["xnets"],
            {"xnets": "import xpk.a.b as c", "xpk__init": "", "xpk_a_b": "x = 1"},
            "xpk_a_b",
        ),
        (["xpk"], {"xpk__init": "", "xpk_seg": "x = 1"}, "xpk_seg"),
        (["xpk.net"], {"xpk__init": "", "xpk_net": "from . import x", "xpk_x": ""}, "xpk_x"),
        (
            ["xpk.net"],
            {"xpk__init": "", "xpk_net": "from .parts import *", "xpk_parts_y": ""},
            "xpk_parts_y",
        ),
        (
            ["xpk.net"],
            {"xpk__init": "", "xpk_net": "import xconf", "xpk_xconf": "", "xconf": ""},
            "xconf",
        ),
        (["old.Net=xnets.Net"], {"old": "", "xnets": "class Net: pass"}, "xnets"),
        (["__main__.Net=xnets:Net"], {"xnets": "class Net: pass"}, "xnets"),
    ],
)
def test_what_is_imported_counts(root, names, files, changed):
    assert changes(root, names, files, {changed: files[changed] + "\nmore = 1"})


def test_what_is_not_does_not(root):
    files = {"xnets": "import xhelp", "xhelp": "", "xother": ""}
    assert not changes(root, ["xnets"], files, {"xother": "x = 1"})


def test_two_files_that_change_places_are_told(root):
    files = {"xa__init": "", "xa_cfg": "x = 1", "xb__init": "import xa", "xb_cfg": "x = 2"}
    assert changes(root, ["xb"], files, {"xa_cfg": "x = 2", "xb_cfg": "x = 1"})


@pytest.mark.parametrize(
    "text",
    [
        "import importlib\nimportlib.import_module('x')",
        "from importlib import import_module",
        "x = __import__('y')",
        "exec(open('x').read())",
        "def broken(:",
    ],
)
def test_what_cannot_be_told_is_none(root, text):
    write(root, xnets=text)
    if "from importlib" in text:
        write(root, xnets=f"{text}\nimport_module('y')")
    assert code_of(["xnets"]) is None


def test_calling_eval_of_a_model_is_no_code(root):
    write(root, xnets="def build(net):\n    return net.eval()")
    assert code_of(["xnets"]) is not None


def test_a_module_that_is_missing_or_in_a_zip_is_none(root, monkeypatch):
    assert code_of(["xmissing"]) is None
    with zipfile.ZipFile(root / "x.zip", "w") as archive:
        archive.writestr("xzipped.py", "")
    monkeypatch.syspath_prepend(root / "x.zip")
    assert code_of(["xzipped"]) is None


def test_a_checkout_elsewhere_has_the_same_hash(root, monkeypatch):
    hashes = []
    for folder in ("one", "two"):
        write(root / folder, xpk__init="", xpk_net="import xhelp", xhelp="a = 1")
        monkeypatch.chdir(root / folder)
        importlib.invalidate_caches()
        hashes.append(code_of(["xpk.net"]))
    assert hashes[0] == hashes[1] is not None


def test_a_package_that_is_installed_is_looked_into_where_it_is_named(root, monkeypatch):
    site = root / "lib" / "site-packages"
    monkeypatch.syspath_prepend(site)
    assert changes(
        site, ["xsite.net"], {"xsite__init": "", "xsite_net": "x = 1"}, {"xsite_net": "x = 2"}
    )


def test_installed_packages_are_named_with_their_versions(tmp_path, monkeypatch):
    assert any(each.startswith("torch-") for each in installed())
    info = tmp_path / "mine-1.0.dist-info"
    info.mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert installed() == ("mine-1.0",)
    (info / "direct_url.json").write_text("{}")
    (info / "RECORD").write_text("mine.py,sha256=1,10")
    first = installed()
    (info / "RECORD").write_text("mine.py,sha256=2,10")
    assert first != installed()
