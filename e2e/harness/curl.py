"""HTTP requests by the curl program."""

import json
import re
import subprocess
from typing import Any, Dict, NamedTuple, Sequence

from harness.client import Writer


class Answer(NamedTuple):
    status: int
    # By name in lower case.
    headers: Dict[str, str]
    body: bytes

    def json(self) -> Any:
        assert self.headers.get("content-type") == "application/json", self
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        """That of an error."""
        return self.json()["error"].get("reason", "")


def writer_headers(writer: Writer) -> Sequence[str]:
    return (f"ctlstore-writer: {writer.name}", f"ctlstore-secret: {writer.secret}")


def curl(
    address: str,
    method: str,
    path: str,
    body: bytes = b"",
    headers: Sequence[str] = (),
    flags: Sequence[str] = (),
    scheme: str = "http",
) -> Answer:
    """Fails where there is no answer."""
    command = ["curl", "--silent", "--show-error", "--max-time", "60", "--noproxy", "*"]
    command += ["--request", method, "--dump-header", "/dev/stderr", "--path-as-is", *flags]
    for header in headers:
        command += ["--header", header]
    if body:
        command += ["--data-binary", "@-"]
    result = subprocess.run(
        [*command, f"{scheme}://{address}{path}"], input=body, capture_output=True, check=False
    )
    said = result.stderr.decode("utf-8", errors="replace")
    assert result.returncode == 0, f"curl {method} {path}: {result.returncode}: {said}"
    # After "100 Continue" comes another one.
    block = said.replace("\r\n", "\n").split("HTTP/1.1 ")[-1]
    return Answer(
        int(block[:3]),
        {name.lower(): text for name, text in re.findall(r"^([\w-]+): (.*)$", block, re.MULTILINE)},
        result.stdout,
    )
