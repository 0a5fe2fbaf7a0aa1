"""The main job: what is written through the executive is read on every host, as it was written."""

import threading
import unittest
from typing import Dict, List

from harness.case import E2eTestCase
from harness.client import SidecarClient, open_channel
from harness.cluster import tcp_address
from harness.reflection import HEALTH_SERVING, DynamicClient, check_health, list_services
from harness.sqlite_content import open_read_only
from harness.values import PythonValue, delete, fields, table, upsert
from harness.waiting import wait_until

ALL_TYPES = [
    ("name", "string"),
    ("number", "integer"),
    ("tag", "bytestring"),
    ("ratio", "decimal"),
    ("notes", "text"),
    ("data", "binary"),
]

FULL_ROW: Dict[str, PythonValue] = {
    "name": "Ärger 'quoted' \"double\" \\ back; -- \n😀",
    "number": 9007199254740993,
    "tag": bytes(range(255)),
    "ratio": 0.1,
    "notes": "line\r\nline\ttab " * 1000,
    "data": bytes(range(256)) * 100,
}

NULLS: Dict[str, PythonValue] = {
    "name": "only the key",
    "number": -(2**63),
    "tag": b"",
    "ratio": None,
    "notes": None,
    "data": None,
}


def key_of(row: Dict[str, PythonValue]) -> List[PythonValue]:
    return [row["name"], row["number"], row["tag"]]


class MainPathTest(E2eTestCase):
    def test_rows_of_all_types_are_the_same_on_two_hosts(self) -> None:
        cluster = self.start_cluster(hosts=2)
        client = cluster.client()
        client.create_family("Geo")
        sequence = client.create_table(
            table("geo", "All_Types", ALL_TYPES, ["name", "number", "tag"])
        )
        self.assertGreater(sequence, 0)
        gone = {**FULL_ROW, "name": "will be deleted"}
        client.mutate(
            "geo",
            [upsert("all_types", FULL_ROW), upsert("all_types", NULLS), upsert("all_types", gone)],
        )
        key = {name: gone[name] for name in ("name", "number", "tag")}
        sequence = client.mutate("geo", [delete("all_types", key)])

        for host in cluster.hosts:
            wait_until(
                lambda host=host: host.client.status().applied_sequence >= sequence,
                f"{host.name} reaches the Mutate's sequence {sequence}",
            )
            self.assertEqual(host.client.get_row("geo", "all_types", key_of(FULL_ROW)), FULL_ROW)
            self.assertEqual(host.client.get_row("GEO", "ALL_TYPES", key_of(NULLS)), NULLS)
            self.assertIsNone(host.client.get_row("geo", "all_types", key_of(gone)))
            rows, truncated = host.client.list_rows("geo", "all_types")
            self.assertFalse(truncated)
            # In the order of the key's bytes.
            self.assertEqual(rows, [NULLS, FULL_ROW])
            self.assertEqual(
                host.client.list_rows("geo", "all_types", [FULL_ROW["name"], FULL_ROW["number"]]),
                ([FULL_ROW], False),
            )
        cluster.assert_all_same()

    def test_schema_is_answered_as_it_was_created(self) -> None:
        cluster = self.start_cluster(hosts=1)
        client = cluster.client()
        client.create_family("geo")
        client.create_family("aaa")
        # The key's order is not the table's.
        wanted = table("geo", "all_types", ALL_TYPES, ["tag", "name"])
        self.assertGreater(client.create_table(wanted), 0)
        self.assertEqual(client.create_table(wanted), 0, "the same again is no change")
        other = table("aaa", "other", [("id", "integer")], ["id"])
        self.assertGreater(client.create_tables([other, wanted]), 0)
        self.assertEqual(client.get_table("geo", "all_types"), wanted)
        self.assertEqual(client.list_tables(), [other, wanted])
        self.assertEqual(client.list_tables("geo"), [wanted])
        self.assertEqual(client.list_families(), ["aaa", "geo"])
        cluster.assert_all_same()

    def test_fields_are_added_while_rows_are_written(self) -> None:
        cluster = self.start_cluster(hosts=2)
        client = cluster.client()
        client.create_family("geo")
        client.create_table(table("geo", "growing", [("id", "integer")], ["id"]))
        added = 0
        stopping = threading.Event()
        faults: List[Exception] = []

        def write() -> None:
            number = 0
            while not stopping.is_set():
                number += 1
                # A field is used as soon as AddFields has answered.
                row = {"id": number % 200, **{f"f{i}": f"{number}" for i in range(added)}}
                try:
                    client.mutate("geo", [upsert("growing", row), upsert("growing", {"id": -1})])
                except Exception as error:  # pylint: disable=broad-except
                    faults.append(error)
                    return

        writers = [threading.Thread(target=write, daemon=True) for _ in range(2)]
        for writer in writers:
            writer.start()
        for i in range(12):
            before = client.add_fields("geo", "growing", fields([(f"f{i}", "string")]))
            self.assertGreater(before, 0)
            added = i + 1
            # Rows are written with the new field before the next one comes.
            sequence = client.mutate("geo", [upsert("growing", {"id": 1000 + i, f"f{i}": "x"})])
            wait_until(lambda: cluster.ctldb.last_sequence() > sequence + 4, "the writers go on")
        stopping.set()
        for writer in writers:
            writer.join(60)
        self.assertEqual(faults, [])
        record = cluster.assert_all_same()
        self.assertEqual(len(record.tables["geo___growing"].columns), 13)
        self.assertEqual(
            client.add_fields("geo", "growing", fields([("f3", "string")])), 0, "there already"
        )

    def test_a_new_host_gets_everything(self) -> None:
        cluster = self.start_cluster(hosts=2)
        late = cluster.hosts[1]
        late.reflector.kill()
        client = cluster.client()
        client.create_family("geo")
        client.create_table(table("geo", "rows", [("id", "integer"), ("v", "text")], ["id"]))
        for start in range(0, 2000, 100):
            client.mutate("geo", [upsert("rows", {"id": start + i, "v": "v"}) for i in range(100)])
        late.reflector.start()
        record = cluster.assert_all_same()
        self.assertEqual(len(record.tables["geo___rows"].rows), 2000)

    def test_everything_goes_on_after_an_orderly_restart(self) -> None:
        cluster = self.start_cluster(hosts=1)
        client = cluster.client()
        client.create_family("geo")
        client.create_table(table("geo", "rows", [("id", "integer")], ["id"]))
        client.mutate("geo", [upsert("rows", {"id": 1})])
        cluster.wait_until_caught_up()
        host, executive = cluster.hosts[0], cluster.executives[0]
        for process in (executive.process, host.reflector, host.sidecar):
            self.assertEqual(process.terminate(), 0, process.name)
        # What is on the host needs no server.
        connection = open_read_only(host.ldb_path)
        self.assertEqual(connection.execute("SELECT id FROM geo___rows").fetchall(), [(1,)])
        connection.close()
        executive.start()
        host.start()
        executive.wait_until_serving()
        host.wait_until_serving()
        client.mutate("geo", [upsert("rows", {"id": 2})])
        record = cluster.assert_all_same()
        self.assertEqual(len(record.tables["geo___rows"].rows), 2)

    def test_servers_serve_health_and_reflection_on_tcp_too(self) -> None:
        cluster = self.start_cluster(hosts=1)
        cluster.client().create_family("geo")
        for process, service in (
            (cluster.executives[0].process, "ctlstore.v1.Executive"),
            (cluster.hosts[0].sidecar, "ctlstore.v1.Sidecar"),
        ):
            with open_channel(tcp_address(process)) as channel:
                self.assertLessEqual(
                    {service, "grpc.health.v1.Health"},
                    list_services(channel),
                )
                # A sidecar serves as soon as there is a local database to read.
                for name in ("", service):
                    wait_until(
                        lambda channel=channel, name=name: check_health(channel, name)
                        == HEALTH_SERVING,
                        f"{service} says of {name or 'itself'} that it serves",
                    )
                dynamic = DynamicClient(channel, service)
                if service == "ctlstore.v1.Executive":
                    self.assertIn("Mutate", dynamic.methods())
                    self.assertEqual(list(dynamic.call("ListFamilies").families), ["geo"])
                else:
                    status = dynamic.call("GetStatus")
                    self.assertEqual(status.ldb_path, str(cluster.hosts[0].ldb_path))

    def test_status_says_how_current_the_host_is(self) -> None:
        cluster = self.start_cluster(hosts=1)
        client = cluster.client()
        client.create_family("geo")
        sequence = client.create_table(table("geo", "rows", [("id", "integer")], ["id"]))
        cluster.wait_until_caught_up()
        sidecar: SidecarClient = cluster.hosts[0].client
        status = sidecar.status()
        self.assertEqual(status.applied_sequence, sequence)
        self.assertTrue(status.HasField("applied_entry_time"))
        self.assertTrue(status.HasField("lag"))
        self.assertEqual(status.ldb_path, str(cluster.hosts[0].ldb_path))
        self.assertIn(str(cluster.hosts[0].sidecar.pid), status.instance)
        self.assertFalse(status.HasField("heartbeat_time"))


if __name__ == "__main__":
    unittest.main()
