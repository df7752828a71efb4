import pytest

from bnexport.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("conv1.weight", "conv1.weight"),
        ("größe ½", "größe ½"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\tb\rc", "a\\tb\\rc"),
        ("right\u202eleft", "right\\u202eleft"),
        ("two\nlines", "two\nlines"),
    ],
)
def test_control_characters_become_escapes(text, shown):
    assert printable(text) == shown
