"""The cost of a request: the service compared with the calls that it has to make, and with two peers.

`python -m bench.request_path [--quick]`
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from bench.report import Goal, Section, Spread, Table
from bench.serving.endurance import measure_memory
from bench.serving.load import Run, Target, load
from bench.serving.owners import delete_reservations
from bench.serving.routes import Route, Targets
from bench.serving.testbed import Testbed, testbed
from devstack.state_directory import temporary_state_directory

CONNECTIONS = (1, 16, 64)
GOAL_CONNECTIONS = 16  # for the goals and the peers
# CPU µs per request of the Fastify peer on the machine where the CPU goal was set. Scales the goal to other machines.
REFERENCE_PEER_CPU = 1017
INTRO = (
    "wrk runs with one thread in a closed loop, after a second of warm-up in each round. 200 owners take turns, each "
    "below its default limits. The service has its default settings, with rate limit, log and metrics. Its upstreams "
    "are real PostgREST and Postgres (fsync on), and a fixed response of nginx instead of Storage: real Storage is in "
    "no package registry, and the local stand-in is Python, which would dominate the measurement. The cost of Storage "
    "would be part of both the floor and the service, so it could only bring the ratio closer to 1.\n\n"
    "The floor is 1 / Σ (1 / part). The parts are the same call to PostgREST, the same call to the fixed response, and "
    "a bare Starlette route under the same server, each measured alone in the same round. All processes, including "
    "wrk, share the machine's cores, so compare the figures only within this run."
)


@dataclass(frozen=True)
class Plan:
    """The duration and number of the rounds, and the minutes of sustained load after them."""

    seconds: int
    rounds: int  # with GOAL_CONNECTIONS
    other_rounds: int
    minutes: int

    def rounds_at(self, connections: int) -> int:
        """The number of rounds with so many connections."""
        return self.rounds if connections == GOAL_CONNECTIONS else self.other_rounds


FULL = Plan(seconds=3, rounds=5, other_rounds=3, minutes=10)
QUICK = Plan(seconds=1, rounds=2, other_rounds=1, minutes=0)


class Measurement:
    """All rounds of all targets."""

    def __init__(self, plan: Plan, testbed: Testbed) -> None:
        self.plan = plan
        self.testbed = testbed
        self.targets = Targets.of(testbed)
        self._runs: dict[tuple[str, int], list[Run]] = {}

    def measure(self) -> None:
        """Runs the rounds, one target after the other."""
        ours = [target for route in self.targets.routes for target in (route.ours, *route.floor)]
        once = list({target.name: target for target in ours}.values())
        for connections in CONNECTIONS:
            targets = [*once, *(self.targets.peers if connections == GOAL_CONNECTIONS else ())]
            rounds = self.plan.rounds_at(connections)
            for number in range(rounds):
                # Every other round runs backwards, so that drift affects all targets equally.
                for target in targets if number % 2 == 0 else reversed(targets):
                    load(target, connections, 1)  # warm-up; V8 discards compiled code that is idle
                    run = load(target, connections, self.plan.seconds)
                    delete_reservations(self.testbed.stack)
                    self._runs.setdefault((target.name, connections), []).append(run)
                print(f"{connections} connections, round {number + 1} of {rounds}", file=sys.stderr)

    def runs(self, target: Target, connections: int = GOAL_CONNECTIONS) -> list[Run]:
        """The rounds of one target."""
        return self._runs[target.name, connections]

    def all_runs(self) -> list[Run]:
        """The rounds of all targets."""
        return [run for runs in self._runs.values() for run in runs]

    def speed(self, target: Target, connections: int = GOAL_CONNECTIONS) -> Spread:
        """Requests per second."""
        return Spread([run.per_second for run in self.runs(target, connections)])

    def cpu(self, target: Target, connections: int = GOAL_CONNECTIONS) -> Spread:
        """CPU µs of the server's process per request, user and system."""
        return Spread([run.cpu * 1e6 for run in self.runs(target, connections)])

    def floors(self, route: Route, connections: int = GOAL_CONNECTIONS) -> Spread:
        """Requests per second of a program that makes only the calls of the floor, one after the other."""
        rounds = zip(*(self.runs(part, connections) for part in route.floor), strict=True)
        return Spread([1 / sum(1 / part.per_second for part in parts) for parts in rounds])

    def ratio(self, route: Route, connections: int = GOAL_CONNECTIONS) -> Spread:
        """The service's requests per second relative to the floor, for each round."""
        pairs = zip(self.speed(route.ours, connections).values, self.floors(route, connections).values, strict=True)
        return Spread([ours / floor for ours, floor in pairs])

    def speedup(self, ours: Target, peer: Target) -> Spread:
        """The service's requests per second relative to a peer, for each round."""
        pairs = zip(self.speed(ours).values, self.speed(peer).values, strict=True)
        return Spread([mine / theirs for mine, theirs in pairs])

    def p99s(self, route: Route) -> tuple[float, float]:
        """The median p99 of the service, and of the sum of the floor's parts, in seconds."""
        parts = zip(*(self.runs(part) for part in route.floor), strict=True)
        return (
            Spread([run.p99 for run in self.runs(route.ours)]).median,
            Spread([sum(part.p99 for part in each) for each in parts]).median,
        )


def run(quick: bool) -> Section:
    """Measures the request path. Raises ToolMissingError, StackError."""
    plan = QUICK if quick else FULL
    with temporary_state_directory() as state, testbed(state) as servers:
        measured = Measurement(plan, servers)
        measured.measure()
        memory, memory_goals = measure_memory(servers, measured.targets.routes[0].ours, plan.minutes)
    background = Spread([each.background for each in measured.all_runs()])
    return Section(
        "The request path",
        f"{INTRO}\n\nBackground load: {background.text(2)} cores.",
        [_routes(measured), _parts(measured), _peers(measured), memory],
        [*_goals(measured), *memory_goals],
    )


def _goals(measured: Measurement) -> list[Goal]:
    by_key, by_session = measured.targets.routes[:2]
    ratio, cpu = measured.ratio(by_key), measured.cpu(by_key.ours)
    ours, parts = measured.p99s(by_key)
    failed = sum(run.has_errors for run in measured.all_runs())
    node = measured.targets.peers[0]
    scaled_cpu = Spread(
        [ours / theirs * REFERENCE_PEER_CPU for ours, theirs in zip(cpu.values, measured.cpu(node).values, strict=True)]
    )
    name = f"upload-url by key, {GOAL_CONNECTIONS} connections"
    goals = [
        Goal(f"{name}: ratio to the floor", "≥ 0.50, aim 0.60", ratio.text(2), ratio.median >= 0.5),
        Goal(
            f"{name}: CPU of the service, scaled to the machine where the goal was set by the CPU of the Fastify peer "
            f"({REFERENCE_PEER_CPU} µs there, {measured.cpu(node).text()} here)",
            "≤ 600 µs/request, aim 450",
            scaled_cpu.text(),
            scaled_cpu.median <= 600,
        ),
        Goal(f"{name}: p99, relative to the sum of the parts' p99", "≤ 3", f"{ours / parts:.2f}", ours <= 3 * parts),
        Goal("rounds with a response other than 2xx or a broken connection", "0", str(failed), failed == 0),
    ]
    for peer, minimum, target in zip(measured.targets.peers, (1.4, 3.0), ("≥ 1.4, aim 1.6", "≥ 3"), strict=True):
        key, session = measured.speedup(by_key.ours, peer), measured.speedup(by_session.ours, peer)
        goals.append(
            Goal(
                f"upload-url, {GOAL_CONNECTIONS} connections: speed relative to {peer.name}",
                target,
                f"{key.text(2)} by key, {session.text(2)} by session",
                min(key.median, session.median) >= minimum,
            )
        )
    return goals


def _routes(measured: Measurement) -> Table:
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
        f"Medians of {measured.plan.rounds} rounds of {measured.plan.seconds} s at {GOAL_CONNECTIONS} connections, "
        f"else of {measured.plan.other_rounds} (minimum-maximum). CPU is user and system time of the service process.",
    )


def _parts(measured: Measurement) -> Table:
    parts = {part.name: part for route in measured.targets.routes for part in route.floor}
    return Table(
        [
            "part of a floor",
            *(f"req/s at {connections}" for connections in CONNECTIONS),
            f"p99 ms at {GOAL_CONNECTIONS}",
        ],
        [
            [
                name,
                *(measured.speed(part, connections).text() for connections in CONNECTIONS),
                milliseconds([run.p99 for run in measured.runs(part)]),
            ]
            for name, part in parts.items()
        ],
    )


def _peers(measured: Measurement) -> Table:
    ours = [route.ours for route in measured.targets.routes[:2]]
    return Table(
        ["POST /assets/upload-url", f"req/s at {GOAL_CONNECTIONS}", "p50 ms", "p99 ms", "CPU µs/request"],
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
        "The peers (`bench/peers/`) forward the caller's token unverified, and have no API keys, error translation, "
        "rate limit, metrics or log.",
    )


def milliseconds(seconds: Sequence[float]) -> str:
    """Formats times given in seconds."""
    return Spread([each * 1e3 for each in seconds]).text(1)


if __name__ == "__main__":
    found = run("--quick" in sys.argv)
    print(found.markdown(), *found.goals, sep="\n")
