"""What services tell Prometheus and those who probe their health."""

import re
import unittest
from pathlib import Path
from typing import Dict, Set

from harness.case import E2eTestCase
from harness.client import open_channel
from harness.cluster import binary, tcp_address
from harness.metrics import families, http_get, metrics_address, scrape
from harness.process import Process
from harness.reflection import HEALTH_NOT_SERVING, HEALTH_SERVING, check_health
from harness.values import table, upsert
from harness.waiting import wait_until

REFERENCE = Path("docs/metrics.md")

# Of a sidecar.
FREE_PORTS = ("--listen=127.0.0.1:0", "--http_port=0")


class MetricsTest(E2eTestCase):
    def test_services_tell_how_they_do(self) -> None:
        cluster = self.start_cluster(hosts=1)
        client = cluster.client()
        client.create_family("fam")
        client.create_table(table("fam", "rows", [("id", "integer")], ["id"]))
        ldb_path = self.folder / "metered" / "ldb.db"
        sidecar = self._start("sidecar", f"--ldb={ldb_path}", *FREE_PORTS)
        # There is no local database yet.
        self.assertEqual(http_get(metrics_address(sidecar), "/livez")[0], 200)
        self.assertEqual(http_get(metrics_address(sidecar), "/readyz")[0], 503)
        with open_channel(tcp_address(sidecar)) as channel:
            wait_until(lambda: check_health(channel) == HEALTH_NOT_SERVING, "not serving")

        reflector = self._start(
            "reflector",
            f"--ctldb={cluster.ctldb.url}",
            f"--ldb={ldb_path}",
            "--listen=127.0.0.1:0",
        )
        secret_file = self.folder / "secret"
        secret_file.write_text("the heartbeat's secret\n", encoding="utf-8")
        heartbeat = self._start(
            "heartbeat",
            f"--executive={cluster.executives[0].address}",
            f"--writer_secret_file={secret_file}",
        )
        processes = {"sidecar": sidecar, "reflector": reflector, "heartbeat": heartbeat}
        addresses = {name: metrics_address(process) for name, process in processes.items()}
        for name, address in addresses.items():
            wait_until(
                lambda address=address: http_get(address, "/readyz")[0] == 200, f"{name} is ready"
            )
        with open_channel(tcp_address(sidecar)) as channel:
            wait_until(lambda: check_health(channel) == HEALTH_SERVING, "serving")

        sequence = client.mutate("fam", [upsert("rows", {"id": 1})])
        for name, label in (("sidecar", ""), ("reflector", f'{{ldb="{ldb_path}"}}')):
            wait_until(
                lambda name=name, label=label: scrape(addresses[name])[
                    f"ctlstore_{name}_applied_sequence{label}"
                ]
                >= sequence,
                f"the {name} tells of the mutation",
            )
            self.assertIn(f"ctlstore_{name}_lag_seconds{label}", scrape(addresses[name]))
        samples = scrape(addresses["heartbeat"])
        self.assertGreaterEqual(samples["ctlstore_heartbeat_beats_total"], 1)
        for name, address in addresses.items():
            samples = scrape(address)
            self.assertEqual(samples["ctlstore_ready"], 1, name)
            self.assertGreater(samples["process_resident_memory_bytes"], 0, name)
            self.assertEqual(http_get(address, "/")[0], 404, name)
        for process in processes.values():
            self.assertEqual(process.terminate(), 0, process.name)

    def test_the_reference_names_every_metric(self) -> None:
        cluster = self.start_cluster(hosts=1)
        host = cluster.hosts[0]
        secret_file = self.folder / "secret"
        secret_file.write_text("the heartbeat's secret\n", encoding="utf-8")
        found: Dict[str, Set[str]] = {}
        for process in (
            self._start("sidecar", f"--ldb={host.ldb_path}", *FREE_PORTS),
            self._start(
                "reflector",
                f"--ctldb={cluster.ctldb.url}",
                f"--ldb={self.folder / 'ldb.db'}",
                "--listen=127.0.0.1:0",
            ),
            self._start(
                "heartbeat",
                f"--executive={cluster.executives[0].address}",
                f"--writer_secret_file={secret_file}",
            ),
            self._start(
                "supervisor",
                f"--ctldb={cluster.ctldb.url}",
                f"--ldb={self.folder / 'supervisor.db'}",
                f"--snapshot_urls=file://{self.folder / 'snapshots'}",
                "--listen=127.0.0.1:0",
            ),
        ):
            address = metrics_address(process)
            wait_until(lambda: http_get(address, "/readyz")[0] == 200, "it is ready")
            if process.name == "supervisor":
                wait_until(
                    lambda: "ctlstore_supervisor_last_sequence" in families(address),
                    "a snapshot is taken",
                )
            found[process.name] = families(address)
        documented = set(re.findall(r"^\| `([a-z_]+)` \|", REFERENCE.read_text(), re.MULTILINE))
        for name, names in found.items():
            self.assertEqual(names - documented, set(), name)
        # The other way round: what it describes of a service is there.
        for name, names in found.items():
            described = {metric for metric in documented if metric.startswith(f"ctlstore_{name}_")}
            # What only failures make.
            absent = {f"ctlstore_{name}_errors_total"}
            if name in ("sidecar", "reflector"):
                # Needs a heartbeat or an entry in the local database.
                absent.add(f"ctlstore_{name}_lag_seconds")
            self.assertEqual(described - names - absent, set(), name)

    def test_a_port_that_is_taken_is_named(self) -> None:
        first = self._start("sidecar", f"--ldb={self.folder / 'ldb.db'}", *FREE_PORTS)
        port = metrics_address(first).rpartition(":")[2]
        second = Process(
            "second",
            [
                binary("sidecar"),
                f"--ldb={self.folder / 'ldb.db'}",
                *FREE_PORTS,
                f"--metrics_port={port}",
            ],
            self.folder,
        )
        self.addCleanup(second.kill)
        second.start()
        self.assertEqual(second.wait(), 1)
        self.assertIn(f"127.0.0.1:{port}", second.log())

    def _start(self, service: str, *flags: str) -> Process:
        process = Process(service, [binary(service), *flags, "--metrics_port=0"], self.folder)
        self.addCleanup(process.kill)
        process.start()
        return process


if __name__ == "__main__":
    unittest.main()
