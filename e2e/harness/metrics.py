"""What a service tells Prometheus: scraped, and read by the text format."""

import re
import urllib.error
import urllib.request
from typing import Dict, Set, Tuple

from harness.process import Process
from harness.waiting import wait_until

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? (\S+)")


def metrics_address(process: Process) -> str:
    """Where it serves metrics, as its log tells."""

    def address() -> str:
        if not process.running():
            raise AssertionError(f"{process.name} ended by itself:\n{process.log()[-4000:]}")
        found = re.search(r"event=metrics_started address=(\S+)", process.log_since_start())
        return found.group(1) if found else ""

    return wait_until(address, f"{process.name} serves metrics")


def http_get(address: str, path: str) -> Tuple[int, str]:
    """The status and the body."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def scrape(address: str) -> Dict[str, float]:
    """Samples by name and labels, as they are written."""
    status, body = http_get(address, "/metrics")
    assert status == 200, f"/metrics answers {status}"
    samples = {}
    for line in body.splitlines():
        if line.startswith("#"):
            continue
        match = _SAMPLE.fullmatch(line)
        assert match is not None, line
        samples[match.group(1) + (match.group(2) or "")] = float(match.group(3))
    return samples


def families(address: str) -> Set[str]:
    """The names of all metrics, a histogram's once."""
    _, body = http_get(address, "/metrics")
    return set(re.findall(r"^# TYPE (\S+) ", body, re.MULTILINE))
