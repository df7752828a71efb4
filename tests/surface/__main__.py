"""``python -m surface CACHE``: exit code 1 when a name is missing, or cannot be checked."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from surface.bindings import RELEASES, Release, SurfaceError, read_surface
from surface.compare import missing, nowhere, table
from surface.model import Surface
from surface.uses import collect

SOURCE = Path(__file__).resolve().parents[2] / "bnexport" / "targets" / "tensorrt"


def main(cache: Path) -> int:
    """Read all releases and the source, and print what came of it."""

    def read(release: Release) -> Surface | SurfaceError:
        try:
            return read_surface(release, cache)
        except SurfaceError as error:
            return error

    with ThreadPoolExecutor() as pool:
        read_ones = dict(zip(map(str, RELEASES), pool.map(read, RELEASES), strict=True))
    failed = {title: one for title, one in read_ones.items() if isinstance(one, SurfaceError)}
    surfaces = {title: one for title, one in read_ones.items() if not isinstance(one, SurfaceError)}
    sources = {path.name: path.read_text("utf-8") for path in sorted(SOURCE.glob("*.py"))}
    findings = collect(sources, tuple(surfaces.values()))
    names = {use.name for use in findings.uses}
    print(f"bnexport uses {len(names)} names of {len({name.owner for name in names})} classes.\n")
    print(table(findings, surfaces))
    faults = [f"{title}: {error}" for title, error in failed.items()]
    faults += [f"{name}: no release has it" for name in nowhere(findings, surfaces)]
    faults += findings.faults
    faults += ["no name is used: nothing was compared"] if not names else []
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    return int(bool(faults) or any(missing(findings, one) for one in surfaces.values()))


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
