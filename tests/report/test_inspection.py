"""What an inspection found, as SARIF that its own schema accepts, and as a page in which nothing is live."""

import json
from pathlib import Path

import jsonschema
import pytest
from torch import nn

from bnexport.health.checkup import checkup
from bnexport.health.findings import RULES, Ignored
from bnexport.load import load
from bnexport.report.forms import OTHER_FORMS, rendered
from bnexport.report.inspection import inspect_loaded
from bnexport.report.inspection_parts import counted, grouped, verdict

SCHEMA = json.loads((Path(__file__).parent / "sarif-schema-2.1.0.json").read_text())
HOSTILE = "<script>alert(1)</script>{0} [a](b)\x1b[31m"


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.add_module(HOSTILE.replace(".", ""), nn.BatchNorm2d(4))

    def forward(self, x):
        return getattr(self, HOSTILE)(self.conv(x))


@pytest.fixture(scope="module")
def document():
    net = Named().eval()
    getattr(net, HOSTILE).running_mean[0] = float("nan")
    loaded = load(net)
    return inspect_loaded(loaded, checkup(loaded, inputs=["Nx3x8x8"], ignored=[Ignored("BNX118")]))


def test_sarif_is_valid_and_names_code_layer_and_severity(document):
    found = json.loads(rendered("sarif", document), parse_constant=pytest.fail)
    jsonschema.validate(found, SCHEMA)
    (run,) = found["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == list(RULES)
    told = {each["ruleId"]: each for each in run["results"]}
    assert told["BNX107"]["level"] == "error"
    assert run["tool"]["driver"]["rules"][told["BNX107"]["ruleIndex"]]["id"] == "BNX107"
    assert "suppressions" in told["BNX118"]
    assert "\x1b" not in json.dumps(found)


def test_the_page_is_inert(document):
    page = rendered("html", document)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "\x1b" not in page
    assert "BNX107 NaN or Inf: 1 layer" in page


def test_each_form_is_of_its_own_document(document):
    assert set(OTHER_FORMS["bnexport.inspection"]) == {"html", "sarif"}
    with pytest.raises(KeyError):
        rendered("junit", document)


def test_the_document_keeps_all_of_the_findings(document):
    codes = {each["code"] for each in document["findings"]}
    assert "BNX107" in codes
    assert [each["code"] for each in document["ignored"]] == ["BNX118"]
    (norm,) = document["batch_norms"]
    assert (norm["follows"], norm["shapes"]) == (["Conv2d conv"], [[2, 4, 6, 6]])


def test_groups_and_the_verdict(document):
    groups = grouped(document["findings"])
    assert [group.severity for group in groups] == sorted(
        (group.severity for group in groups), key=["error", "warning", "note"].index
    )
    assert verdict([]) == "nothing questionable"
    assert verdict(document["findings"]).startswith("1 error")
    assert (counted(1, "layer"), counted(2, "layer")) == ("1 layer", "2 layers")


def test_other_normalisation_is_listed():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4))
    document = inspect_loaded(load(net))
    assert [each["kind"] for each in document["other_norms"]] == ["GroupNorm", "InstanceNorm2d"]
    assert "2, 4" in document["other_norms"][0]["settings"]
