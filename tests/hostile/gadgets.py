"""Objects of classes that the user allows: what of them runs when a file is believed must not run when it is read."""

from __future__ import annotations

import copyreg
import functools
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hostile import victims
from hostile.pickles import Hostile

__all__ = ["ALLOWED", "every"]

ALLOWED = ("hostile.victims",)


class Asks:
    """Pickles as what ``__reduce__`` is to give."""

    def __init__(self, *reduced: Any) -> None:
        self.reduced = reduced

    def __reduce__(self) -> Any:
        return self.reduced


class New(Asks):
    """Pickles as an instance of another class with this state."""

    def __init__(self, cls: type, state: Any) -> None:
        super().__init__(copyreg.__newobj__, (cls,), state)  # type: ignore[attr-defined]

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return self.reduced[1][0]


def _gadgets(canary: str) -> dict[str, Any]:
    v = victims
    state = {"canary": canary}
    by_state = (
        *(v.SetsState, v.ModuleSetsState, v.SetsAttributes, v.Property, v.Descriptor, v.Slots),
        *(v.ModuleSetsAttributes, v.Overridden, v.Hashed),
    )
    by_call = (v.Constructed, v.Allocated, v.Made, v.Text, v.Mode, v.function)
    made: dict[str, Any] = {f"the state of {cls.__name__}": New(cls, state) for cls in by_state}
    # The second half of such a pair is set attribute by attribute: properties and __setattr__ run.
    made |= {f"the slots of {cls.__name__}": New(cls, (None, state)) for cls in by_state}
    made |= {f"a call of {each.__name__}": Asks(each, (canary,)) for each in by_call}
    made["a call of Firing"] = Asks(v.Firing, (canary, 1))
    made["a call of Bag"] = Asks(v.Bag, ([canary],))
    made["items of Table"] = Asks(v.Table, (), None, None, iter([("a", canary)]))
    made["items of Ordered"] = Asks(v.Ordered, (), None, None, iter([("a", canary)]))
    made["items of Row"] = Asks(v.Row, (), None, iter([canary]))
    made["a partial"] = Asks(functools.partial(v.function, canary).func, (canary,))
    made["a key"] = {1: 2, "held": Asks(dict, ([(New(v.Hashed, state), 1)],))}
    return made


def _placed(gadget: Any) -> dict[str, Any]:
    import torch

    places: dict[str, Any] = {"the root": gadget, "an entry": {"model": gadget, "a": 1}}
    for where, put in (
        ("an attribute", lambda module: module.__dict__.update(config=gadget)),
        ("a child", lambda module: module._modules.update(child=gadget)),
        ("a parameter", lambda module: module._parameters.update(weight=gadget)),
        ("the forward", lambda module: module.__dict__.update(forward=gadget)),
        ("a hook", lambda module: module._forward_hooks.update({0: gadget})),
    ):
        module = torch.nn.Linear(1, 1)
        module._parameters.clear()
        put(module)
        places[where] = module
    return places


def every(folder: Path) -> Iterator[Hostile]:
    """Gadgets times places times protocols."""
    made = 0
    for name in _gadgets(""):
        for where in _placed(None):
            for protocol in (2, 4):
                canary = folder / f"gadget{made}"
                value = _placed(_gadgets(str(canary))[name])[where]
                data = pickle.dumps(value, protocol)
                container = "archive" if made % 3 else "stream"
                yield Hostile(f"{name}, as {where}, protocol {protocol}", data, canary, container)
                made += 1
