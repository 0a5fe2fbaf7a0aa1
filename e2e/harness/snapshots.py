"""Snapshots in a folder, read past our own code: by Python's zlib and the system's libzstd."""

import base64
import ctypes
import ctypes.util
import hashlib
import json
import os
import re
import zlib
from pathlib import Path
from typing import Any, Dict, List

_SNAPSHOT_ID = re.compile(r"\d{20}-\d{8}T\d{6}Z-[0-9a-f]{8}")
_SUFFIXES = {"zstd": ".db.zst", "gzip": ".db.gz", "none": ".db"}
# Half written.
_UPLOADING = ".uploading-"


class SnapshotFolder:
    """What a `file://` destination has."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def url(self) -> str:
        return f"file://{self.path}"

    def ids(self) -> List[str]:
        """Those whose manifest is there, newest first."""
        if not self.path.exists():
            return []
        names = [path.stem for path in self.path.glob("*.json") if path.name != "index.json"]
        faults = [name for name in names if not _SNAPSHOT_ID.fullmatch(name)]
        assert not faults, f"manifests that have no snapshot's name: {faults}"
        return sorted(names, reverse=True)

    def index(self) -> Any:
        return json.loads((self.path / "index.json").read_text(encoding="utf-8"))

    def manifest(self, snapshot_id: str) -> Dict[str, Any]:
        text = (self.path / f"{snapshot_id}.json").read_text(encoding="utf-8")
        manifest = json.loads(text)
        assert manifest["id"] == snapshot_id
        assert manifest["object"] == snapshot_id + _SUFFIXES[manifest["compression"]]
        assert manifest["sequence"] == int(snapshot_id[:20])
        return manifest

    def unpack(self, snapshot_id: str, to: Path) -> Dict[str, Any]:
        """Checks the object against its manifest, and writes the database that it holds."""
        manifest = self.manifest(snapshot_id)
        packed = (self.path / manifest["object"]).read_bytes()
        assert len(packed) == manifest["object_bytes"], snapshot_id
        assert hashlib.sha256(packed).hexdigest() == manifest["object_sha256"], snapshot_id
        offset = 0
        with open(to, "wb") as out:
            for chunk in manifest["chunks"]:
                piece = packed[offset : offset + chunk["object_bytes"]]
                offset += chunk["object_bytes"]
                assert hashlib.sha256(piece).hexdigest() == chunk["sha256"], snapshot_id
                plain = _decompress(manifest["compression"], piece, chunk["file_bytes"])
                assert len(plain) == chunk["file_bytes"], snapshot_id
                out.write(plain)
        assert offset == len(packed), snapshot_id
        assert to.stat().st_size == manifest["file_bytes"], snapshot_id
        return manifest

    def half_written(self) -> List[str]:
        """Files of puts that did not end."""
        return [path.name for path in self.path.rglob(f"{_UPLOADING}*")]


def sha1_in_metadata(path: Path) -> str:
    """The SHA-1 that a single object's metadata has, hex; the file system must have attributes."""
    text = os.getxattr(path, "user.ctlstore.metadata").decode()
    found = re.search(r"^checksum=(.*)$", text, re.MULTILINE)
    assert found is not None, text
    return base64.b64decode(found.group(1)).hex()


def _decompress(compression: str, packed: bytes, size: int) -> bytes:
    if compression == "none":
        return packed
    if compression == "gzip":
        return zlib.decompress(packed, wbits=31)
    zstd = ctypes.CDLL(ctypes.util.find_library("zstd"))
    zstd.ZSTD_decompress.restype = ctypes.c_size_t
    plain = ctypes.create_string_buffer(max(size, 1))
    written = zstd.ZSTD_decompress(
        plain, ctypes.c_size_t(size), packed, ctypes.c_size_t(len(packed))
    )
    assert written == size, f"zstd gives {written} for {size} bytes"
    return plain.raw[:size]
