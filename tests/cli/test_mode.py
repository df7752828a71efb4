import pytest

from bnexport.cli.mode import Mode


@pytest.mark.parametrize(
    ("arguments", "mode"),
    [
        ([], Mode()),
        (["convert", "--json", "m"], Mode(json=True)),
        (["convert", "-q"], Mode(quiet=True)),
        (["--quiet", "--debug"], Mode(quiet=True, debug=True)),
        (["convert", "--", "--json"], Mode()),
    ],
)
def test_the_mode_is_read_off_the_raw_arguments(arguments, mode):
    assert Mode.of(arguments) == mode
