"""How much a file may ask for before it is refused."""

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Bounds far above what real models need, far below what harms a machine.

    Attributes:
        pickle_bytes: The size of one pickle, which holds structure and no weights.
        json_bytes: The size of one JSON record.
        records: The number of records in an archive.
        classes: The number of different classes that a pickle may name.
        tensor_bytes: The logical size of one tensor (a stride of 0 makes it larger than its storage).
        total_bytes: The size of all storages together.
        depth: How deep objects may nest.
        objects: The number of objects.
        nodes: The number of nodes in an ONNX graph, local functions inlined.
    """

    pickle_bytes: int = 64 << 20
    json_bytes: int = 256 << 20
    records: int = 200_000
    classes: int = 5_000
    tensor_bytes: int = 16 << 30
    total_bytes: int = 64 << 30
    depth: int = 200
    objects: int = 5_000_000
    nodes: int = 500_000
