"""Certificate authorities of a test's own, made by the openssl program."""

import subprocess
from pathlib import Path
from typing import Optional, Sequence

import grpc

_NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


class KeyPair:
    """A certificate and its key, in PEM files that services can be given."""

    def __init__(self, cert: Path, key: Path) -> None:
        self.cert = cert
        self.key = key

    @property
    def cert_pem(self) -> bytes:
        return self.cert.read_bytes()

    def replace_by(self, other: "KeyPair") -> None:
        """Puts another pair into the same files, each at once, as a renewal does."""
        for old, new in ((self.key, other.key), (self.cert, other.cert)):
            copy = old.with_suffix(".new")
            copy.write_bytes(new.read_bytes())
            copy.replace(old)


class Authority:
    """Issues certificates into its own folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder / name
        self._folder.mkdir()
        self._issued = 0
        self.cert = self._folder / "ca.pem"
        self._key = self._folder / "ca.key"
        _openssl(
            "req", "-x509", *_NEW_KEY, "-days", "30", "-subj", f"/CN={name}",
            "-keyout", self._key, "-out", self.cert,
        )  # fmt: skip

    def issue(self, common_name: str, alternatives: str = "", days: int = 30) -> KeyPair:
        """`alternatives` as openssl has them: "DNS:a.example.com,IP:127.0.0.1"."""
        self._issued += 1
        base = self._folder / f"{self._issued}"
        pair = KeyPair(base.with_suffix(".pem"), base.with_suffix(".key"))
        request, extensions = base.with_suffix(".csr"), base.with_suffix(".ext")
        _openssl(
            "req", *_NEW_KEY, "-subj", f"/CN={common_name}", "-keyout", pair.key, "-out", request
        )
        extensions.write_text(f"subjectAltName={alternatives}\n" if alternatives else "")
        _openssl(
            "x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self._key,
            "-CAcreateserial", "-days", str(days), "-extfile", extensions, "-out", pair.cert,
        )  # fmt: skip
        return pair

    def for_server(self, days: int = 30) -> KeyPair:
        """Of a server on this machine."""
        return self.issue("server", "DNS:localhost,IP:127.0.0.1", days)

    def credentials(self, client: Optional[KeyPair] = None) -> grpc.ChannelCredentials:
        """Of a client that believes this authority, and shows a certificate where it has one."""
        return grpc.ssl_channel_credentials(
            self.cert.read_bytes(),
            client.key.read_bytes() if client else None,
            client.cert_pem if client else None,
        )


def _openssl(*arguments: object) -> None:
    command: Sequence[str] = ["openssl", *(str(argument) for argument in arguments)]
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, check=False, text=True
    )
    assert result.returncode == 0, f"{command}: {result.stderr}"
