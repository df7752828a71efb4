import importlib
import inspect
import subprocess
import sys

import pytest

import bnexport

PUBLIC = [name for name in bnexport.__all__ if name != "__version__"]


@pytest.mark.parametrize("name", bnexport.__all__)
def test_every_public_name_is_there(name):
    assert getattr(bnexport, name) is not None


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_documented(name):
    assert inspect.getdoc(getattr(bnexport, name))


def test_no_public_name_is_listed_twice():
    assert len(set(bnexport.__all__)) == len(bnexport.__all__)


def test_dir_lists_the_public_names():
    assert set(bnexport.__all__) <= set(dir(bnexport))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        bnexport.nonsense  # noqa: B018


def test_import_is_light():
    code = (
        "import sys, bnexport; print([m for m in ('torch', 'onnx', 'numpy') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"


@pytest.mark.parametrize("name", ["bench", "convert", "load", "run", "verify"])
def test_a_function_is_not_hidden_by_the_submodule_of_its_name(name):
    importlib.import_module("bnexport.convert")
    assert inspect.isfunction(getattr(bnexport, name))


def test_every_error_has_one_root():
    errors = [getattr(bnexport, name) for name in PUBLIC]
    errors = [e for e in errors if isinstance(e, type) and issubclass(e, BaseException)]
    assert errors
    assert all(issubclass(error, bnexport.BnexportError) for error in errors)
