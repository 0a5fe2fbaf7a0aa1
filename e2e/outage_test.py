"""The database server goes away and comes back under load; everything catches up."""

import unittest
from typing import Callable

import grpc

from harness.case import E2eTestCase
from harness.client import failure_of
from harness.load import Load
from harness.values import upsert
from harness.waiting import wait_until
from harness.watch import Watch


class OutageTest(E2eTestCase):
    """On MariaDB: the embedded ctldb has no server."""

    def test_server_is_stopped_and_started_under_load(self) -> None:
        assert self.server is not None
        self._outages(self.server.stop)

    def test_server_is_killed_and_started_under_load(self) -> None:
        assert self.server is not None
        self._outages(self.server.kill)

    def test_services_start_before_the_server(self) -> None:
        server = self.server
        assert server is not None
        cluster = self.start_cluster(hosts=1)
        host = cluster.hosts[0]
        load = Load(cluster, writers=1)
        cluster.wait_until_caught_up()
        host.reflector.kill()
        server.stop()
        host.reflector.start()
        wait_until(lambda: "event=" in host.reflector.log_since_start(), "the reflector logs")
        server.start()
        load.start()
        wait_until(lambda: load.acknowledged() > 10, "the executive works again")
        load.stop()
        load.assert_kept(cluster.assert_all_same())
        self.assertTrue(host.reflector.running())

    def _outages(self, take_away: Callable[[], None]) -> None:
        server = self.server
        assert server is not None
        # Also where a test has failed in the middle.
        self.addCleanup(lambda: server.process.running() or server.start())
        cluster = self.start_cluster(hosts=2)
        load = Load(cluster, writers=4)
        client = cluster.client()
        cluster.wait_until_caught_up()
        with Watch(cluster.hosts, load) as watch:
            load.start()
            for _ in range(3):
                before = load.acknowledged()
                wait_until(lambda: load.acknowledged() >= before + 20, "the writers get on")
                take_away()
                # A caller hears that it can try again, and when.
                with self.assertRaises(grpc.RpcError) as raised:
                    client.mutate("load", [upsert("mirror", {"grp": "outage", "n": 1})])
                failure = failure_of(raised.exception)
                self.assertEqual(failure.code, grpc.StatusCode.UNAVAILABLE, failure)
                self.assertEqual(failure.reason, "CTLDB_UNAVAILABLE", failure)
                self.assertIsNotNone(failure.retry_delay_s)
                server.start()
            before = load.acknowledged()
            wait_until(lambda: load.acknowledged() >= before + 20, "the writers get on")
            load.stop()
            record = cluster.assert_all_same()
        load.assert_kept(record)
        watch.assert_nothing_seen(record)
        self.assertGreater(len(load.failures()), 0, "no outage met a request")
        for executive in cluster.executives:
            self.assertTrue(executive.process.running(), "the executive outlives its ctldb")


if __name__ == "__main__":
    unittest.main()
