"""The freshness page beside an LDB (docs/formats.md), as it lies there."""

import struct
from pathlib import Path
from typing import NamedTuple, Optional

_HEADER = struct.Struct("<8sIII4x16s24xQQ")


class FreshnessPage(NamedTuple):
    identity: bytes
    epoch: int
    sequence: int

    @property
    def current(self) -> bool:
        """Whether readers believe it."""
        return self.epoch % 2 == 0


def read_freshness_page(ldb_path: Path) -> Optional[FreshnessPage]:
    file = ldb_path.resolve()
    path = file.with_name(f"{file.name}.freshness")
    if not path.exists():
        return None
    magic, version, _, _, identity, epoch, sequence = _HEADER.unpack_from(path.read_bytes())
    assert (magic, version) == (b"CTLFRESH", 1), f"{path} begins with {magic!r}, {version}"
    return FreshnessPage(identity, epoch, sequence)
