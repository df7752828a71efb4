"""One thing that is wrong with a model."""

from dataclasses import dataclass

__all__ = ["Problem"]


@dataclass(frozen=True)
class Problem:
    """Where, what, and how to mend it.

    Attributes:
        where: The qualified name of a layer, a parameter or a buffer.
        what: What is wrong with it.
        remedy: What the user can do.
    """

    where: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"
