"""Upstreams fail as networks, servers and replicas do, and disks fill up: every host catches up.

Nothing is lost, repeated or seen out of order meanwhile, and the reflector tells how it is.
"""

import os
import subprocess
import unittest
from pathlib import Path
from typing import Callable, Iterable

from harness.case import E2eTestCase
from harness.cluster import Cluster, Host
from harness.compare import wait_until_caught_up
from harness.load import Load
from harness.process import Process
from harness.tcp_proxy import TcpProxy
from harness.values import table, upsert
from harness.waiting import wait_until
from harness.watch import Watch

DISK_BYTES = 32 << 20
BALLAST_BYTES = 22 << 20
ROW_BYTES = 200_000


class UpstreamTest(E2eTestCase):
    def test_a_stream_is_cut_or_hangs_and_is_restored_under_load(self) -> None:
        cluster = self.start_cluster(hosts=0)
        load = Load(cluster, writers=2)
        proxy = self._proxy(cluster.executives[0].tcp_address())
        host = cluster.add_host([f"grpc://{proxy.address}"])
        cluster.wait_until_caught_up()
        with Watch(cluster.hosts, load) as watch:
            load.start()
            for fail in (proxy.cut, proxy.hang, proxy.cut):
                self._progress(host)
                fail()
                self._wait_for_state(host, "UPSTREAM_UNAVAILABLE")
                proxy.restore()
                self._progress(host)
            load.stop()
            record = cluster.assert_all_same()
        load.assert_kept(record)
        watch.assert_nothing_seen(record)
        self.assertEqual(load.failures(), [])
        self._wait_for_state(host, "CURRENT")
        self.assertGreater(proxy.connections, 3)

    def test_another_executive_takes_over_and_back(self) -> None:
        cluster = self.start_cluster(executives=2, hosts=0)
        load = Load(cluster, writers=2)
        proxies = [self._proxy(executive.tcp_address()) for executive in cluster.executives]
        urls = [f"grpc://{proxy.address}" for proxy in proxies]
        host = cluster.add_host(urls)
        cluster.wait_until_caught_up()
        with Watch(cluster.hosts, load) as watch:
            load.start()
            self._wait_for_upstream(host, urls[0])
            for fail in (proxies[0].cut, proxies[0].hang):
                fail()
                self._wait_for_upstream(host, urls[1])
                self._progress(host)
                proxies[0].restore()
                # The preferred one again.
                self._wait_for_upstream(host, urls[0])
                self._progress(host)
            load.stop()
            record = cluster.assert_all_same()
        load.assert_kept(record)
        watch.assert_nothing_seen(record)

    def test_executives_are_killed_under_load(self) -> None:
        cluster = self.start_cluster(executives=2, hosts=0)
        load = Load(cluster, writers=2)
        urls = [f"grpc:{executive.address}" for executive in cluster.executives]
        host = cluster.add_host(urls)
        cluster.wait_until_caught_up()
        with Watch(cluster.hosts, load) as watch:
            load.start()
            for number in range(8):
                self._progress(host)
                cluster.executives[number % 2].restart_after_kill()
            self._progress(host)
            load.stop()
            record = cluster.assert_all_same()
        load.assert_kept(record)
        watch.assert_nothing_seen(record)

    def test_polling_takes_over_from_the_stream_and_gives_it_back(self) -> None:
        cluster = self.start_cluster(hosts=0)
        load = Load(cluster, writers=2)
        proxy = self._proxy(cluster.executives[0].tcp_address())
        stream, polled = f"grpc://{proxy.address}", cluster.ctldb.url
        host = cluster.add_host([stream, polled])
        cluster.wait_until_caught_up()
        with Watch(cluster.hosts, load) as watch:
            load.start()
            self._wait_for_upstream(host, stream)
            proxy.cut()
            self._wait_for_upstream(host, polled)
            self._progress(host)
            proxy.restore()
            self._wait_for_upstream(host, stream)
            self._progress(host)
            load.stop()
            record = cluster.assert_all_same()
        load.assert_kept(record)
        watch.assert_nothing_seen(record)

    def test_a_replica_that_lags_does_not_take_a_host_back(self) -> None:
        cluster = self.start_cluster(hosts=0)
        load = Load(cluster, writers=2)
        proxy = self._proxy(cluster.executives[0].tcp_address())
        replica = cluster.ctldb.copy("replica")
        host = cluster.add_host([f"grpc://{proxy.address}", replica.url])
        cluster.wait_until_caught_up()
        with Watch(cluster.hosts, load) as watch:
            load.start()
            self._progress(host)
            proxy.cut()
            self._wait_for_state(host, "LEDGER_BEHIND")
            self.assertGreater(host.applied_sequence(), replica.last_sequence())

            # It gets further than the host, which goes on with it.
            replica.restore(cluster.ctldb)
            self._wait_for_upstream(host, replica.url)
            wait_until_caught_up(replica, host.ldb_path)

            proxy.restore()
            self._wait_for_upstream(host, f"grpc://{proxy.address}")
            self._progress(host)
            load.stop()
            record = cluster.assert_all_same()
        load.assert_kept(record)
        watch.assert_nothing_seen(record)
        self.assertEqual(host.ldb_path.resolve(), host.ldb_path, "it was built anew")

    def test_a_ctldb_that_was_restored_is_recognised_by_polling(self) -> None:
        self._restore(lambda cluster: cluster.ctldb.url)

    def test_a_ctldb_that_was_restored_is_recognised_by_the_stream(self) -> None:
        self._restore(lambda cluster: f"grpc:{cluster.executives[0].address}")

    def _restore(self, upstream: Callable[[Cluster], str]) -> None:
        cluster = self.start_cluster(hosts=0)
        self._create_table(cluster)
        host = cluster.add_host([upstream(cluster)])
        self._write(cluster, range(5), "before")
        backup = cluster.ctldb.copy("backup")
        self._write(cluster, range(3, 8), "lost")
        cluster.wait_until_caught_up()
        there = host.applied_sequence()

        executive = cluster.executives[0]
        self.assertEqual(executive.process.terminate(), 0)
        cluster.ctldb.restore(backup)
        executive.start()
        executive.wait_until_serving()
        self._wait_for_state(host, "LEDGER_BEHIND")
        self.assertEqual(host.applied_sequence(), there)
        # Reads go on as if nothing had happened.
        self.assertEqual(host.client.get_row("fam", "texts", [7]), {"id": 7, "v": "lost"})

        # The ledger gets past the host's position in another way.
        for _ in range(3):
            self._write(cluster, range(4), "after")
        wait_until(
            lambda: (host.client.get_row("fam", "texts", [3]) or {}).get("v") == "after",
            "the host has what was written after the restore",
        )
        self._wait_for_state(host, "CURRENT")
        cluster.assert_all_same()
        self.assertIsNone(host.client.get_row("fam", "texts", [7]))

    def test_two_reflectors_do_not_write_one_ldb(self) -> None:
        cluster = self.start_cluster(hosts=1)
        self._create_table(cluster)
        host = cluster.hosts[0]
        argv = [
            argument.replace("-reflector.sock", "-second.sock")
            for argument in host.reflector.argv
        ]
        second = Process("second-reflector", argv, self.folder)
        self.addCleanup(second.kill)
        second.start()
        self.assertNotEqual(second.wait(), 0)
        self.assertIn(str(host.reflector.pid), second.log())
        self._write(cluster, range(5), "by the first")
        cluster.assert_all_same()

        # The lock goes with its holder, however that ends.
        host.reflector.kill()
        second.start()
        self._write(cluster, range(5), "by the second")
        cluster.assert_all_same()
        self.assertTrue(second.running())

    def test_a_full_disk_is_waited_for(self) -> None:
        disk = self.folder / "host0"
        disk.mkdir()
        self._mount(disk)
        cluster = self.start_cluster(hosts=0)
        self._create_table(cluster)
        ballast = disk / "ballast"
        ballast.write_bytes(b"x" * BALLAST_BYTES)
        flags = ["--checkpoint_wal_bytes=1000000", "--max_bytes_per_query=1000000"]
        host = cluster.add_host(reflector_flags=[*flags, f"--changelog_path={disk}/changes"])
        cluster.wait_until_caught_up()
        text = "v" * ROW_BYTES
        self._write(cluster, range((DISK_BYTES - BALLAST_BYTES) // ROW_BYTES + 5), text)
        self._wait_for_state(host, "DISK_FULL")
        self.assertEqual(host.client.get_row("fam", "texts", [0]), {"id": 0, "v": text})
        there = host.applied_sequence()
        self.assertGreater(there, 0)
        self.assertTrue(host.reflector.running())

        ballast.unlink()
        self._wait_for_state(host, "CURRENT")
        cluster.assert_all_same()

    def _mount(self, folder: Path) -> None:
        """A small file system of its own, where that is allowed."""
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "e2e", str(folder)]
        if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
            self.skipTest("needs the right to mount a file system")
        self.addCleanup(subprocess.run, ["umount", "--lazy", str(folder)], check=False)

    def _proxy(self, target: str) -> TcpProxy:
        proxy = TcpProxy(target)
        self.addCleanup(proxy.close)
        return proxy

    def _create_table(self, cluster: Cluster) -> None:
        client = cluster.client()
        client.create_family("fam")
        client.create_table(table("fam", "texts", [("id", "integer"), ("v", "text")], ["id"]))

    def _write(self, cluster: Cluster, ids: Iterable[int], text: str) -> None:
        client = cluster.client()
        for number in ids:
            client.mutate("fam", [upsert("texts", {"id": number, "v": text})])

    def _progress(self, host: Host) -> None:
        """Returns once the LDB has got on from where it is."""
        before = host.applied_sequence()
        wait_until(lambda: host.applied_sequence() > before + 30, f"{host.name} gets on")

    def _wait_for_state(self, host: Host, state: str) -> None:
        client = host.reflector_client
        wait_until(lambda: client.state() == state, f"{host.name}'s state is {state}")

    def _wait_for_upstream(self, host: Host, url: str) -> None:
        client = host.reflector_client
        wait_until(lambda: client.status().upstream == url, f"{host.name}'s upstream is {url}")


if __name__ == "__main__":
    unittest.main()
