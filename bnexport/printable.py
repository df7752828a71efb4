"""Text from a file or a model, made safe to show: it cannot move the cursor or change colours."""

__all__ = ["printable"]


def printable(text: object) -> str:
    r"""``text`` with each character that is not printable written as an escape, newlines kept."""
    return "".join(c if c.isprintable() or c == "\n" else _escape(c) for c in str(text))


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
