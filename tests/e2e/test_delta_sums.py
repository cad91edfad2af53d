# SPDX-License-Identifier: Apache-2.0
"""Points of delta temporality are added up, and go on from where they were after a kill or a restart."""
import json
import time

from harness import Server, attributes, get, post, wait_for


class Source:
    """Sends deltas; one second later each time, as far as one says nothing else."""

    def __init__(self, server):
        self.server, self.at = server, int(time.time()) - 600

    def send(self, kind, *points, temporality=1, monotonic=True, at=None):
        self.at += 1
        t = str((at or self.at) * 10**9)
        data = {"dataPoints": [{"timeUnixNano": t, **p} for p in points], "aggregationTemporality": temporality}
        if kind == "sum":
            data["isMonotonic"] = monotonic
        name = "%s.%s" % (kind, "up" if monotonic else "free")
        body = {"resourceMetrics": [{"resource": {"attributes": attributes({"service.name": "s"})}, "scopeMetrics": [
            {"scope": {}, "metrics": [{"name": name, kind: data}]}]}]}
        status, _, answer = post(self.server.otlp + "/v1/metrics", json.dumps(body).encode())
        assert status == 200 and b"rejected" not in answer, answer

    def value(self, query):
        result = self.server.promql(query, self.at + 1)
        assert len(result) == 1, (query, result)
        return float(result[0]["value"][1])


def number(v, **more):
    return {"asDouble": v, "attributes": attributes({"k": "v"}), **more}


def buckets(counts, total):
    return {"explicitBounds": [1, 2], "bucketCounts": [str(c) for c in counts], "count": str(sum(counts)),
            "sum": total}


def exponential(counts, scale=2, offset=-3):
    return {"scale": scale, "positive": {"offset": offset, "bucketCounts": [str(c) for c in counts]},
            "count": str(sum(counts) + 1), "zeroCount": "1", "sum": 10.5}


def parts(server):
    """Sealed parts of metrics."""
    line, = [x for x in get(server.http + "/metrics").decode().splitlines()
             if x.startswith('sonde_store_parts{signal="metrics"}')]
    return float(line.split()[1])


def send_all(source):
    source.send("sum", number(5))
    source.send("sum", number(-2.5), monotonic=False)
    source.send("histogram", buckets([1, 2, 3], 12.5))
    source.send("exponentialHistogram", exponential([1, 0, 2, 3]))


def check(source, rounds):
    assert source.value("sum_up_total") == 5 * rounds
    assert source.value("sum_free") == -2.5 * rounds
    assert source.value('histogram_up_bucket{le="1"}') == rounds
    assert source.value('histogram_up_bucket{le="+Inf"}') == 6 * rounds
    assert source.value("histogram_up_sum") == 12.5 * rounds
    assert source.value("histogram_count(exponentialHistogram_up)") == 7 * rounds
    assert source.value("histogram_sum(exponentialHistogram_up)") == 10.5 * rounds
    assert source.value("increase(sum_up_total[1h]) > 0") > 0
    assert source.value("resets(sum_up_total[1h])") == 0
    assert source.value("resets(exponentialHistogram_up[1h])") == 0


def test_sums_of_deltas_go_on_after_a_kill_and_a_restart():
    with Server(args=("--seal-after", "300ms")) as server:
        source = Source(server)
        send_all(source)
        send_all(source)
        check(source, 2)
        server.kill()  # in the intake log, not sealed or just being it
        server.start()
        send_all(source)
        check(source, 3)
        wait_for("a part", lambda: parts(server) > 0)
        server.kill()
        server.start()
        send_all(source)
        check(source, 4)
        # The last samples are stale markers, and the sum is in what stands before them.
        before = parts(server)
        source.send("sum", {"flags": 1, "attributes": attributes({"k": "v"})})
        wait_for("another part", lambda: parts(server) > before)
        server.stop()
        server.start()
        send_all(source)
        check(source, 5)


def test_what_came_late_is_in_the_sum_after_a_restart():
    with Server(args=("--seal-after", "300ms")) as server:
        source = Source(server)
        source.send("sum", number(10))
        source.send("sum", number(1), at=source.at - 20)  # 11 in all, by a sample before the newest
        wait_for("a part", lambda: parts(server) > 0)
        server.kill()
        server.start()
        source.send("sum", number(2))
        assert source.value("sum_up_total") == 13
