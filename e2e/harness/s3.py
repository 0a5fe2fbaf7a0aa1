"""An S3 server of the test's own: own folder and port, one empty bucket, known credentials."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Optional

_PACKAGES = Path("../s3rver/node_modules.tar")
_NODE = Path("../s3rver/node")
_SERVER = Path("common/object_store/testing/s3_server.js")


class S3Server:
    """Starts and stops s3rver. Its data and its port stay between starts.

    The server verifies signatures and digests of bodies; s3_server.js says what else it does. It
    ends when this process does.
    """

    bucket = "snapshots"
    region = "us-east-1"
    access_key_id = "CTLSTORETESTKEY"
    secret_access_key = "a secret/with+signs="

    def __init__(self, folder: Path, log_folder: Path) -> None:
        self._folder = folder
        self._log_path = log_folder / "s3.log"
        self._child: Optional[subprocess.Popen] = None
        self.port = 0
        folder.mkdir(parents=True)
        assert _PACKAGES.exists() and _NODE.exists(), (
            "the S3 server for tests is not there: it needs Debian's npm and nodejs and, once, "
            "npm's registry; then: bazel sync --only=s3rver"
        )
        subprocess.run(["tar", "-xf", str(_PACKAGES), "-C", str(folder)], check=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The bucket's URL, for --snapshot_urls."""
        return f"s3://{self.bucket}"

    @property
    def environment(self) -> Dict[str, str]:
        """For the processes that use the server. Leaves none of the machine's own credentials."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_SESSION_TOKEN": "",
            "AWS_REGION": self.region,
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def start(self) -> None:
        """Returns when the server answers."""
        assert not self.running(), "the S3 server runs already"
        config = {
            "directory": str(self._folder / "data"),
            "bucket": self.bucket,
            "region": self.region,
            "accessKeyId": self.access_key_id,
            "secretAccessKey": self.secret_access_key,
            "port": self.port,
        }
        with open(self._log_path, "ab") as log:
            self._child = subprocess.Popen(
                [str(_NODE), str(_SERVER), json.dumps(config)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "NODE_PATH": str(self._folder / "node_modules")},
                text=True,
            )
        self.port = self._read()["port"]

    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def stop(self) -> None:
        """Ends the server as a power cut would. What was being uploaded stays unfinished."""
        if self._child is None:
            return
        self._child.kill()
        self._child.wait()
        self._child.stdin.close()
        self._child.stdout.close()
        self._child = None

    def add_fault(self, **fault: Any) -> None:
        """As s3_server.js says: `add_fault(method="PUT", times=2, status=503)`."""
        self._command({"fault": fault})

    def clear_faults(self) -> None:
        self._command({"clear": True})

    def reset(self) -> None:
        """No more faults, objects and uploads. Nothing may be under way."""
        self._command({"reset": True})

    def take_requests(self) -> List[Dict[str, Any]]:
        """The requests since the last call: method, url, headers."""
        return self._command({"requests": True})["requests"]

    def keys(self) -> List[str]:
        """The keys of all objects in the bucket."""
        suffix = "._S3rver_object"
        root = self._folder / "data" / self.bucket
        return sorted(
            str(path.relative_to(root))[: -len(suffix)]
            for path in root.rglob(f"*{suffix}")
            if path.is_file()
        )

    def _command(self, command: Dict[str, Any]) -> Dict[str, Any]:
        self._child.stdin.write(json.dumps(command) + "\n")
        self._child.stdin.flush()
        return self._read()

    def _read(self) -> Dict[str, Any]:
        line = self._child.stdout.readline()
        assert line, f"the S3 server has ended; see {self._log_path}"
        return json.loads(line)
