# SPDX-License-Identifier: Apache-2.0
"""The examples' database and queue while what they stand on is stopped, frozen or killed: calls end
within their limits, say why, and work again by themselves; no job is lost."""
import os
import signal
import subprocess
import sys
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from common_probe import PROBE, QUIET, Probe, Probes  # noqa: E402
from databases import Postgres, Redis  # noqa: E402
from harness import Lateness, wait_for  # noqa: E402

LIMIT_MS = 2900  # 2.3 s, and some work; a busy machine adds to it: late()


@pytest.fixture
def late():
    with Lateness() as milliseconds:
        yield milliseconds


@pytest.fixture
def probes():
    with Probes() as p:
        yield p


@pytest.fixture(scope="module")
def postgres():
    p = Postgres()
    yield p
    p.stop()


@pytest.fixture(scope="module")
def redis():
    r = Redis()
    yield r
    r.stop()


@pytest.fixture(params=["redis", "postgresql", "sqlite"])
def queue_environment(request, tmp_path, postgres, redis):
    """Where a queue can be; each test has an empty one."""
    environment = {"SQLITE_PATH": str(tmp_path / "queue.sqlite"), "QUEUE_LEASE_S": "1"}
    if request.param == "redis":
        subprocess.run(["redis-cli", "-p", str(redis.port), "flushall"], check=True,
                       capture_output=True)
        environment["REDIS_URL"] = redis.url
    elif request.param == "postgresql":
        probe = Probe(DATABASE_URL=postgres.url)
        assert probe.ask("run", "TRUNCATE queue_jobs")["good"]
        probe.end()
        environment["DATABASE_URL"] = postgres.url
    return environment


# ---- the database ----

def test_the_pool_opens_what_is_needed_and_no_more(probes, postgres):
    p = probes(DATABASE_URL=postgres.url, DATABASE_POOL="3")
    assert p.ask("run", "SELECT 1")["good"]
    assert {**p.ask("pool"), "ms": 0} == {"max": 3, "idle": 1, "used": 0, "waiting": 0, "ms": 0}
    answer = p.ask("many", 12, "SELECT pg_sleep(0.2)")
    assert answer["good"] == 12 and answer["longest"] >= 750  # four turns of three
    assert p.ask("pool")["idle"] == 3


@pytest.mark.parametrize("engine", ["postgresql", "sqlite"])
def test_bytes_that_are_no_utf8_are_stored_as_question_marks(engine, probes, postgres):
    """A service's answer, cut in a character, or a path: PostgreSQL would refuse it each time anew."""
    p = probes(**({"DATABASE_URL": postgres.url} if engine == "postgresql" else {"SQLITE_PATH": ":memory:"}))
    whole = "h\u00e9 \u20ac \U0001f600 \u007f"
    assert p.ask("text", whole)["rows"] == [whole]
    for bad, mended in ((b"caf\xe9", "caf?"), (b"\xe2\x82", "??"), (b"\xc0\xaf.", "??."), (b"\xed\xa0\x80", "???"),
                        (b"\xf4\x90\x80\x80", "????"), (b"\xf0\x9f\x98", "???"), (b"\xffa\xc3\xa9", "?a\u00e9")):
        answer = p.ask("text", bad.decode("utf-8", "surrogateescape"))
        assert answer["good"] and answer["rows"] == [mended], bad


def test_waiting_for_a_connection_has_a_limit(probes, postgres, late):
    p = probes(DATABASE_URL=postgres.url, DATABASE_POOL="1")
    # Many: whoever follows the first has 0.4 s left, and may end in time for the next one.
    answer = p.ask("many", 24, "SELECT pg_sleep(1.6)")
    assert answer["good"] == 1 and answer["longest"] < LIMIT_MS + late()
    wait_for("the line", lambda: "no connection became free in time: all 1 are in use" in p.logs(), 10)
    assert p.ask("run", "SELECT 7")["rows"] == ["7"]


def test_a_slow_statement_is_ended_by_the_server_and_its_connection_kept(probes, postgres, late):
    p = probes(DATABASE_URL=postgres.url)
    before = p.ask("run", "SELECT pg_backend_pid()")["rows"]
    answer = p.ask("run", "SELECT pg_sleep(30)")
    assert not answer["good"] and 1900 < answer["ms"] < LIMIT_MS + late()
    assert p.told("canceling statement due to statement timeout")
    assert p.ask("run", "SELECT pg_backend_pid()")["rows"] == before


def test_an_ended_connection_is_replaced_before_anything_is_sent(probes, postgres):
    p = probes(DATABASE_URL=postgres.url)
    pid = p.ask("run", "SELECT pg_backend_pid()")["rows"][0]
    other = probes(DATABASE_URL=postgres.url)
    assert other.ask("run", "SELECT pg_terminate_backend(%s)" % pid)["good"]
    wait_for("the end of the backend", lambda: other.ask(
        "run", "SELECT 1 FROM pg_stat_activity WHERE pid = %s" % pid)["rows"] == [])
    answer = p.ask("run", "SELECT pg_backend_pid()")
    assert answer["good"] and answer["rows"][0] != pid


def test_a_frozen_postgresql_holds_nobody(probes, postgres, late):
    p = probes(DATABASE_URL=postgres.url, DATABASE_POOL="2")
    postgres.freeze()
    try:
        for _ in range(2):  # with an idle connection, and with none
            answer = p.ask("many", 8, "SELECT 1")
            assert answer["good"] == 0 and 1000 < answer["longest"] < LIMIT_MS + late()
        ping = p.ask("ping")
        assert not ping["good"] and ping["ms"] < 2200 + late()
        assert ping["detail"] == "connecting to the database took too long"
    finally:
        postgres.thaw()
    assert p.ask("run", "SELECT 1")["good"]


def test_a_stopped_postgresql_is_told_in_one_line_and_comes_back(probes, postgres, late):
    p = probes(DATABASE_URL=postgres.url)
    assert p.ask("many", 4, "SELECT 1")["good"] == 4
    postgres.down()
    try:
        answer = p.ask("ping")
        assert not answer["good"] and answer["ms"] < 1000 + late()
        assert answer["detail"].endswith("Connection refused") and "\n" not in answer["detail"]
        assert p.ask("run", "SELECT 1")["good"] is False
        assert p.ask("pool")["idle"] == 0
    finally:
        postgres.up()
    answer = p.ask("ping")
    assert answer["good"] and answer["detail"] == "connected"


def test_a_program_waits_for_its_database_and_gives_up_with_a_reason(postgres, late):
    postgres.down()
    try:
        begun = time.monotonic()
        p = Probe(DATABASE_URL=postgres.url, STARTUP_WAIT_S="1")
        assert p.process.wait(60) == 1 and 1 <= time.monotonic() - begun < 8 + late() / 1000
        logs = p.logs()
        assert logs.count("Waiting for a dependency") == 1
        assert "Service cannot start" in logs and "Connection refused" in logs
        waiting = subprocess.Popen([PROBE], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL,
                                   env={**os.environ, **QUIET, "DATABASE_URL": postgres.url,
                                        "STARTUP_WAIT_S": "60"})
    finally:
        postgres.up()
    out, _ = waiting.communicate(timeout=30)
    assert waiting.returncode == 0 and b'"database":"postgresql"' in out


def test_programs_may_migrate_at_the_same_time(probes, postgres):
    all_of_them = [probes(DATABASE_URL=postgres.url) for _ in range(4)]
    for p in all_of_them:
        p.tell("migrate", "CREATE TABLE IF NOT EXISTS at_once (id BIGSERIAL PRIMARY KEY)")
    assert all(p.answer()["good"] for p in all_of_them)


# ---- the queue ----

def test_jobs_come_in_their_order_from_any_thread(probes, queue_environment):
    p = probes(**queue_environment)
    for i in range(3):
        assert p.ask("push", "job %d" % i)["good"]
    assert p.ask("length")["length"] == 3
    assert [p.ask("pop", 1000)["job"] for _ in range(3)] == ["job 0", "job 1", "job 2"]
    assert p.ask("pushes", 16, "many")["good"] == 16
    assert p.ask("length")["length"] == 16
    assert p.ask("queue_ping")["detail"] == "connected"


def test_an_empty_queue_is_waited_for_no_longer_than_asked(probes, queue_environment, late):
    answer = probes(**queue_environment).ask("pop", 300)
    assert answer["job"] is None and 250 < answer["ms"] < 1500 + late()


def test_the_job_of_a_program_that_died_is_done_by_another(probes, queue_environment):
    first, other = probes(**queue_environment), probes(**queue_environment)
    first.ask("push", "precious")
    first.ask("push", "next")
    assert other.ask("pop", 1000)["job"] == "precious"
    other.kill()
    other.process.wait(15)
    assert first.ask("pop", 1000)["job"] == "next"
    wait_for("the job of the dead one", lambda: first.ask("pop", 200)["job"] == "precious", 20)
    assert first.ask("done")["good"] and first.ask("length")["length"] == 0
    assert first.told("Jobs of a program that died were put back")


def test_a_job_that_is_worked_on_or_done_is_handed_out_once(probes, queue_environment):
    first, other = probes(**queue_environment), probes(**queue_environment)
    first.ask("push", "once")
    assert first.ask("pop", 1000)["job"] == "once"
    assert other.ask("pop", 2500)["job"] is None  # several leases
    first.end()
    assert other.ask("pop", 1500)["job"] is None


def test_a_job_that_cannot_be_done_now_goes_back(probes, queue_environment):
    first, other = probes(**queue_environment), probes(**queue_environment)
    first.ask("push", "later")
    assert first.ask("pop", 1000)["job"] == "later" and first.ask("return")["good"]
    assert other.ask("length")["length"] == 1
    assert other.ask("pop", 1000)["job"] == "later" and other.ask("done")["good"]
    assert first.ask("pop", 300)["job"] is None


def test_a_job_that_could_not_go_back_does_so_later(probes, redis):
    redis.cli("flushall")
    p = probes(REDIS_URL=redis.url, QUEUE_LEASE_S="1")
    p.ask("push", "later")
    assert p.ask("pop", 1000)["job"] == "later"
    redis.down()
    try:
        assert not p.ask("return")["good"]
    finally:
        redis.up()
    wait_for("the job", lambda: p.ask("pop", 200)["job"] == "later", 20)


@pytest.mark.parametrize("how", ["down", "freeze"])
def test_an_outage_of_redis_is_told_once_and_passes(probes, redis, how, late):
    p = probes(REDIS_URL=redis.url, QUEUE_LEASE_S="1")
    assert p.ask("pop", 100)["job"] is None
    redis.freeze() if how == "freeze" else redis.down()
    try:
        answer = p.ask("pushes", 8, "x")
        assert answer["good"] == 0 and answer["longest"] < LIMIT_MS + late()
        assert p.ask("length")["length"] == -1
        ping = p.ask("queue_ping")
        assert not ping["good"] and ping["ms"] < LIMIT_MS + late()
        assert ("no answer in time" if how == "freeze" else "Connection refused") in ping["detail"]
        for _ in range(2):
            answer = p.ask("pop", 400)
            assert answer["job"] is None and 350 < answer["ms"] < 400 + LIMIT_MS + late()
    finally:
        redis.thaw() if how == "freeze" else redis.up()
    wait_for("the queue", lambda: p.ask("push", "after")["good"], 10)
    assert p.ask("length")["length"] >= 1  # the last handle that found it away
    seen = []
    wait_for("the job", lambda: seen.append(p.ask("pop", 200)["job"]) or seen[-1] == "after", 20)
    assert p.told("Queue is back") and p.told("Queue is unreachable"), p.logs()


def test_a_failure_is_not_told_when_the_queue_answers_again(probes, postgres):
    """One call hangs until its time limit; what begins later goes well."""
    p = probes(DATABASE_URL=postgres.url, QUEUE_LEASE_S="1")
    assert p.ask("pop", 100)["job"] is None  # from now on it says that it lives
    for text in ("CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS "
                 "'BEGIN PERFORM pg_sleep(30); RETURN NEW; END'",
                 "CREATE TRIGGER wait BEFORE INSERT ON queue_jobs FOR EACH ROW EXECUTE FUNCTION wait()"):
        assert p.ask("run", text)["good"]
    try:
        assert not p.ask("push", "slow")["good"]
    finally:
        assert p.ask("run", "DROP FUNCTION wait CASCADE")["good"]
    assert p.ask("push", "fast")["good"] and p.ask("pop", 5000)["job"] == "fast"
    assert p.ask("done")["good"]
    p.end()
    assert "Queue is" not in p.logs()


def test_an_outage_of_postgresql_does_not_hurt_the_table(probes, postgres, late):
    p = probes(DATABASE_URL=postgres.url, QUEUE_LEASE_S="1")
    assert p.ask("run", "DELETE FROM queue_jobs")["good"]
    assert p.ask("push", "before")["good"]
    postgres.down(signal.SIGQUIT)
    try:
        answer = p.ask("pop", 400)
        assert answer["job"] is None and 350 < answer["ms"] < LIMIT_MS + late()
        assert not p.ask("queue_ping")["good"]
    finally:
        postgres.up()
    wait_for("the job", lambda: p.ask("pop", 200)["job"] == "before", 20)
    assert p.told("Queue is back") and p.told("Queue is unreachable"), p.logs()


def test_redis_may_ask_for_a_name_and_a_password(probes, redis):
    def cli(*words):
        subprocess.run(["redis-cli", "-p", str(redis.port), *words], check=True, capture_output=True)
    cli("acl", "setuser", "worker", "on", ">se:cr@t", "~*", "+@all")
    where = "127.0.0.1:%d/3" % redis.port
    p = probes(REDIS_URL="redis://worker:se%3Acr%40t@" + where)
    assert p.systems["queue"] == "redis" and p.ask("push", "x")["good"]
    wrong = Probe(REDIS_URL="redis://worker:guess@" + where, STARTUP_WAIT_S="0")
    assert wrong.process.wait(20) == 1 and "WRONGPASS" in wrong.logs()
    for url in ("http://127.0.0.1", "redis://", "redis://h:port", "redis://h/x"):
        bad = Probe(REDIS_URL=url)
        assert bad.process.wait(20) == 1 and "REDIS_URL must look like" in bad.logs()
