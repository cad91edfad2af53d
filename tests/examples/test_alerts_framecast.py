# SPDX-License-Identifier: Apache-2.0
"""The alerts of framecast in the running system, on PostgreSQL and Redis; see live_alerts.py."""
from framecast import ADA, PROMPTS, Framecast
from live_alerts import Fault, every_alert_has_a_fault, fire_and_resolve, outside

MOST_WAITING = 10  # of the load itself: also on a machine that is busy the queue does not grow by itself
STEP_MS = 1
# What happens to each row of a new generation. A request waits for its row; and as the test's clock goes
# faster than the system's, a generation that is six minutes old is made so.
ROW_FAULTS = {"slow": "PERFORM pg_sleep(1.2)", "old": "NEW.created_ms := NEW.created_ms - 400000"}


class OnPostgres(Framecast):
    """A test gives it its database."""
    database = None

    def start_all(self):
        super().start_all()
        self.control_pod(step_ms=STEP_MS)

    def sql(self, text):
        self.database.sql(text, self.database.url.rpartition("/")[2])


def row_fault(name):
    """(plant, repair)"""
    return (lambda system: system.sql(
        "CREATE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN %s; RETURN NEW; END $$; CREATE "
        "TRIGGER %s BEFORE INSERT ON generations FOR EACH ROW EXECUTE FUNCTION %s()" % (
            name, ROW_FAULTS[name], name, name)),
        lambda system: system.sql("DROP FUNCTION %s() CASCADE" % name))


def create(system, number):
    return system.created(prompt=PROMPTS[number % len(PROMPTS)])


def some_generations(system, number):
    """Requests, and generations as long as the pod keeps up."""
    system.request("GET", "/v1/generations/gen_none", None, ADA)
    queues = system.request_json("GET", "/debug/queue")[1]["queues"]
    if sum(q["depth"] for q in queues) < MOST_WAITING:
        create(system, number)


class Impatient:
    """Users who go on asking, and who cancel what they asked for at the end."""

    def __init__(self):
        self.asked = []

    def ask(self, system, number):
        if number % 2 == 0:
            self.asked.append(create(system, number))

    def give_up(self, system):
        system.control_pod(step_ms=STEP_MS)
        for generation in self.asked:
            system.cancel(generation)


USERS = Impatient()
FAULTS = [
    Fault("the database is gone", lambda system: system.database.down(),
          lambda system: system.database.up(), {"ApiHighErrorRate"}, load=create),
    Fault("the model fails half of the time", *outside("anthropic", fail=50),
          {"AnthropicFailing", "GenerationsFailing", "CreditsRefunded"}, after=("the database is gone",)),
    Fault("the database is slow", *row_fault("slow"), {"ApiHighLatency"}, after=("the database is gone",)),
    Fault("generations take minutes", *row_fault("old"), {"GenerationsSlow"},
          after=("the database is gone",)),
    Fault("the pod hangs", lambda system: system.control_pod(step_ms=2000),
          USERS.give_up, {"GenerationsStuck", "GenerationsQueueGrows", "RunpodFailing"}, load=USERS.ask,
          after=("the model fails half of the time", "the database is slow", "generations take minutes")),
    Fault("the bucket is gone", *outside("s3", fail=100), {"NotReady"}, after=(
        "the model fails half of the time", "the database is slow", "generations take minutes")),
]


def test_every_alert_has_a_fault():
    every_alert_has_a_fault("framecast", FAULTS)


def test_the_alerts_fire_and_resolve(tmp_path, postgres, redis):
    OnPostgres.database = postgres
    fire_and_resolve(OnPostgres, FAULTS, str(tmp_path), step=some_generations, rate=4, threads=2, longest=10,
                     environment={"DATABASE_URL": postgres.url, "REDIS_URL": redis.url})
