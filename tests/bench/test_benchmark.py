import json
from pathlib import Path

import jsonschema
import pytest

import bnexport
from bnexport import bench
from bnexport.bench.entrants import RUNTIMES
from bnexport.report import dumps
from bnexport.report.form import faults

SCHEMA = json.loads((Path(bnexport.__file__).parent / "bench" / "schema.json").read_text())


@pytest.fixture(params=[{"memory": True}, {"rounds": 6, "batch": (1, 3)}])
def document(one, two, request):
    options = {"rounds": 2, "threads": 1, "runtimes": ("ort",), **request.param}
    return json.loads(dumps(bench([one, two], **options).to_json()))


def test_the_document_is_of_its_form(document):
    assert list(faults(document, SCHEMA, SCHEMA)) == []
    jsonschema.validate(document, SCHEMA)


def test_the_form_names_every_runtime():
    told = SCHEMA["$defs"]["participant"]["properties"]["runtime"]["enum"]
    assert sorted(told) == sorted(RUNTIMES)


def test_every_field_is_in_the_document(document):
    assert set(document) == set(SCHEMA["properties"])
    (first, *_) = document["results"]
    assert set(first) == set(SCHEMA["$defs"]["result"]["properties"])
