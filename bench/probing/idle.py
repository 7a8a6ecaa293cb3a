"""The cost of an idle worker for the database."""

import time
from dataclasses import dataclass

from bench.installation import Installation, resume, suspend
from bench.processes import tree_usage, usage
from bench.report import Goal, Table
from devstack.child import Child

MOST_PERCENT = 2.0  # of one core, Postgres and PostgREST together
TRANSACTIONS = (
    "select sum(xact_commit + xact_rollback)::bigint from pg_stat_database where datname = current_database()"
)
NOTE = """\
A worker that has been idle for more than 30 s, compared with the same stack while that worker is suspended. Percent \
of one core, without the local stand-in for the gateway. Transactions are all of the database's, including those of \
PostgREST and the stand-ins."""


@dataclass(frozen=True)
class Rates:
    """Per second: transactions; CPU in percent of one core."""

    transactions: float
    postgres: float
    postgrest: float
    worker: float

    def row(self, name: str) -> list[str]:
        """One row of the table."""
        numbers = (self.postgres, self.postgrest, self.worker)
        return [name, f"{self.transactions:.1f}", *(f"{number:.2f} %" for number in numbers)]


def measure(installation: Installation, *, seconds: float, settle: float) -> tuple[Table, Goal]:
    """Measures both states for `seconds` each; the active worker first waits `settle` seconds without a job."""
    worker = installation.worker("idle", "--concurrency", "2")
    time.sleep(settle)
    awake = _rates(installation, worker, seconds)
    suspend(worker)
    without = _rates(installation, worker, seconds)
    resume(worker)
    worker.stop()
    table = Table(
        ["idle", "transactions/s", "Postgres", "PostgREST", "worker"],
        [awake.row("one worker"), without.row("none")],
        NOTE,
    )
    cost = awake.postgres + awake.postgrest - without.postgres - without.postgrest
    goal = Goal(
        "Worker: cost of idle polling for the database",
        f"Postgres and PostgREST ≤ {MOST_PERCENT:g} % of a core",
        f"{cost:.2f} %, {awake.transactions - without.transactions:.1f} transactions/s",
        met=cost <= MOST_PERCENT,
    )
    return table, goal


def _rates(installation: Installation, worker: Child, seconds: float) -> Rates:
    children = installation.stack.children
    before, started = _counts(installation, worker, children), time.monotonic()
    time.sleep(seconds)
    after, took = _counts(installation, worker, children), time.monotonic() - started
    transactions, postgres, postgrest, working = ((b - a) / took for a, b in zip(before, after, strict=True))
    return Rates(transactions, postgres * 100, postgrest * 100, working * 100)


def _counts(installation: Installation, worker: Child, children: dict[str, Child]) -> tuple[float, ...]:
    (transactions,) = installation.rows(TRANSACTIONS)[0]
    return (
        float(transactions),
        tree_usage(children["postgres"].pid).cpu_seconds,
        usage(children["postgrest"].pid).cpu_seconds,
        usage(worker.pid).cpu_seconds,
    )
