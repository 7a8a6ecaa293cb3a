"""What a request costs: our service against the sum of what it can't do without, and against two peers.

`python -m bench.request_path [--quick]`
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from bench.report import Goal, Section, Spread, Table
from bench.serving.endurance import endure
from bench.serving.load import Run, Target, load
from bench.serving.owners import forget_reservations
from bench.serving.routes import Route, Targets
from bench.serving.site import Site, site
from devstack.scratch import scratch_directory

CONNECTIONS = (1, 16, 64)
AT = 16  # where goals and peers are
# The goal for CPU was set where a request cost Fastify with supabase-js so many µs. No two machines are alike.
NODE_PEER_THERE = 1017
INTRO = (
    "wrk, one thread, closed loop; a second to warm up before each round. 200 owners in turn, each within its shipped "
    "limits; the service with its shipped "
    "settings: rate limit, log and metrics on. Behind it real PostgREST and Postgres (fsync on), and in Storage's "
    "place a fixed answer from nginx: real Storage is in no package registry, and its stand-in here is Python, which "
    "would be most of what is measured. Whatever Storage costs would be in the floor and in the service alike, so it "
    "could only bring the ratio nearer to 1.\n\n"
    "The floor is 1 / Σ (1 / part): the same call straight at PostgREST, the same call at Storage's place, a bare "
    "Starlette route under the same server, each alone in the same round. All processes, wrk too, share the machine's "
    "cores, so the figures are for comparing within this run."
)


@dataclass(frozen=True)
class Plan:
    """How long a round takes, how many there are, and how long the service is kept under load afterwards."""

    seconds: int
    rounds: int  # at the connections that goals are for
    rounds_elsewhere: int
    minutes: int

    def rounds_at(self, connections: int) -> int:
        """How many there are."""
        return self.rounds if connections == AT else self.rounds_elsewhere


FULL = Plan(seconds=3, rounds=5, rounds_elsewhere=3, minutes=10)
QUICK = Plan(seconds=1, rounds=2, rounds_elsewhere=1, minutes=0)


class Measured:
    """All rounds of all targets."""

    def __init__(self, plan: Plan, where: Site) -> None:
        self.plan = plan
        self.where = where
        self.targets = Targets.of(where)
        self._runs: dict[tuple[str, int], list[Run]] = {}

    def measure(self) -> None:
        """Takes the rounds, one target after the other."""
        ours = [target for route in self.targets.routes for target in (route.ours, *route.floor)]
        once = list({target.name: target for target in ours}.values())
        for connections in CONNECTIONS:
            targets = [*once, *(self.targets.peers if connections == AT else ())]
            rounds = self.plan.rounds_at(connections)
            for number in range(rounds):
                # Every other round backwards: what grows or wears out meanwhile weighs on all alike.
                for target in targets if number % 2 == 0 else reversed(targets):
                    load(target, connections, 1)  # what V8 forgets meanwhile is not held against it
                    run = load(target, connections, self.plan.seconds)
                    forget_reservations(self.where.stack)
                    self._runs.setdefault((target.name, connections), []).append(run)
                print(f"{connections} connections, round {number + 1} of {rounds}", file=sys.stderr)

    def runs(self, target: Target, connections: int = AT) -> list[Run]:
        """The rounds of one target."""
        return self._runs[target.name, connections]

    def all_runs(self) -> list[Run]:
        """The rounds of all."""
        return [run for runs in self._runs.values() for run in runs]

    def speed(self, target: Target, connections: int = AT) -> Spread:
        """Requests a second."""
        return Spread([run.per_second for run in self.runs(target, connections)])

    def cpu(self, target: Target, connections: int = AT) -> Spread:
        """Microseconds of the serving process's CPU, user and system, for a request."""
        return Spread([run.cpu * 1e6 for run in self.runs(target, connections)])

    def floors(self, route: Route, connections: int = AT) -> Spread:
        """Requests a second of whoever does the parts one after the other, and nothing else."""
        rounds = zip(*(self.runs(part, connections) for part in route.floor), strict=True)
        return Spread([1 / sum(1 / part.per_second for part in parts) for parts in rounds])

    def ratio(self, route: Route, connections: int = AT) -> Spread:
        """Our speed to the floor's, round by round."""
        pairs = zip(self.speed(route.ours, connections).values, self.floors(route, connections).values, strict=True)
        return Spread([ours / floor for ours, floor in pairs])

    def against(self, ours: Target, peer: Target) -> Spread:
        """Our speed to a peer's, round by round."""
        pairs = zip(self.speed(ours).values, self.speed(peer).values, strict=True)
        return Spread([mine / theirs for mine, theirs in pairs])

    def tails(self, route: Route) -> tuple[float, float]:
        """The median p99 of ours, and of the sum of the parts', in seconds."""
        parts = zip(*(self.runs(part) for part in route.floor), strict=True)
        return (
            Spread([run.p99 for run in self.runs(route.ours)]).median,
            Spread([sum(part.p99 for part in each) for each in parts]).median,
        )


def run(quick: bool) -> Section:
    """Measures all of it. Raises ToolMissingError, StackError."""
    plan = QUICK if quick else FULL
    with scratch_directory() as state, site(state) as where:
        measured = Measured(plan, where)
        measured.measure()
        memory, memory_goals = endure(where, measured.targets.routes[0].ours, plan.minutes)
    foreign = Spread([each.foreign for each in measured.all_runs()])
    return Section(
        "The request path",
        f"{INTRO}\n\nForeign load while it ran: {foreign.text(2)} cores.",
        [_routes(measured), _parts(measured), _peers(measured), memory],
        [*_goals(measured), *memory_goals],
    )


def _goals(measured: Measured) -> list[Goal]:
    by_key, by_session = measured.targets.routes[:2]
    ratio, cpu = measured.ratio(by_key), measured.cpu(by_key.ours)
    ours, parts = measured.tails(by_key)
    void = sum(run.is_void for run in measured.all_runs())
    node = measured.targets.peers[0]
    there = Spread(
        [ours / theirs * NODE_PEER_THERE for ours, theirs in zip(cpu.values, measured.cpu(node).values, strict=True)]
    )
    name = f"upload-url by key, {AT} connections"
    goals = [
        Goal(f"{name}: ratio to the floor", "≥ 0.50, aim 0.60", ratio.text(2), ratio.median >= 0.5),
        Goal(f"{name}: CPU of the service, here", "≤ 600 µs a request, aim 450", cpu.text(), cpu.median <= 600),
        Goal(
            f"{name}: the same on the machine that the goal was set on, with the Node peer for a yardstick "
            f"({NODE_PEER_THERE} µs there, {measured.cpu(node).text()} here)",
            "≤ 600 µs a request, aim 450",
            there.text(),
            there.median <= 600,
        ),
        Goal(f"{name}: p99 to the sum of the parts' p99", "≤ 3", f"{ours / parts:.2f}", ours <= 3 * parts),
        Goal("rounds with an answer other than 2xx, or a broken connection", "0", str(void), void == 0),
    ]
    for peer, least, wanted in zip(measured.targets.peers, (1.4, 3.0), ("≥ 1.4, aim 1.6", "≥ 3"), strict=True):
        key, session = measured.against(by_key.ours, peer), measured.against(by_session.ours, peer)
        goals.append(
            Goal(
                f"upload-url to {peer.name}, {AT} connections",
                wanted,
                f"{key.text(2)} by key, {session.text(2)} by session",
                min(key.median, session.median) >= least,
            )
        )
    return goals


def _routes(measured: Measured) -> Table:
    return Table(
        ["route", "connections", "req/s", "p50 ms", "p99 ms", "CPU µs/request", "floor req/s", "ratio to the floor"],
        [
            [
                route.name,
                str(connections),
                measured.speed(route.ours, connections).text(),
                milliseconds([run.p50 for run in measured.runs(route.ours, connections)]),
                milliseconds([run.p99 for run in measured.runs(route.ours, connections)]),
                measured.cpu(route.ours, connections).text(),
                measured.floors(route, connections).text(),
                measured.ratio(route, connections).text(2),
            ]
            for route in measured.targets.routes
            for connections in CONNECTIONS
        ],
        f"Medians of {measured.plan.rounds} rounds of {measured.plan.seconds} s at {AT} connections, of "
        f"{measured.plan.rounds_elsewhere} elsewhere (least-most). CPU is the service process's, user and system.",
    )


def _parts(measured: Measured) -> Table:
    parts = {part.name: part for route in measured.targets.routes for part in route.floor}
    return Table(
        ["part of a floor", *(f"req/s at {connections}" for connections in CONNECTIONS), f"p99 ms at {AT}"],
        [
            [
                name,
                *(measured.speed(part, connections).text() for connections in CONNECTIONS),
                milliseconds([run.p99 for run in measured.runs(part)]),
            ]
            for name, part in parts.items()
        ],
    )


def _peers(measured: Measured) -> Table:
    ours = [route.ours for route in measured.targets.routes[:2]]
    return Table(
        ["POST /assets/upload-url", f"req/s at {AT}", "p50 ms", "p99 ms", "CPU µs/request"],
        [
            [
                target.name,
                measured.speed(target).text(),
                milliseconds([run.p50 for run in measured.runs(target)]),
                milliseconds([run.p99 for run in measured.runs(target)]),
                measured.cpu(target).text(),
            ]
            for target in (*ours, *measured.targets.peers)
        ],
        "The peers (`bench/peers/`) pass the caller's token on unverified, and have no API keys, error translation, "
        "rate limit, metrics or log.",
    )


def milliseconds(seconds: Sequence[float]) -> str:
    """A spread of times."""
    return Spread([each * 1e3 for each in seconds]).text(1)


if __name__ == "__main__":
    found = run("--quick" in sys.argv)
    print(found.markdown(), *found.goals, sep="\n")
