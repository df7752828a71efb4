import json

from bnexport.passes.graphs import pipeline


def test_the_passes_are_listed_in_their_order(bnexport):
    listed = json.loads(bnexport("passes", "--json").out)["passes"]
    names = [type(each).__name__.removesuffix("Pass") for each in pipeline(lambda fate: None)]
    assert [each["name"] for each in listed] == names


def test_every_pass_says_what_it_does(bnexport):
    listed = json.loads(bnexport("passes", "--json").out)["passes"]
    every = [*listed, *(step for each in listed for step in each["steps"])]
    assert all(each["line"].endswith(".") for each in every)


def test_the_list_is_shown_as_a_table(bnexport):
    outcome = bnexport("passes")
    assert (outcome.code, outcome.err) == (0, "")
    assert "  FoldBatchNorm " in outcome.out  # a step of Fold
