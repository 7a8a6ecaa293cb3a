"""What a request costs: our service against the sum of what it can't do without, and against two peers.

`python -m bench.request_path [--quick]`
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from bench.load import Request, Run, Target, load
from bench.report import Goal, Section, Spread, Table
from bench.site import Served, Site, site
from tests.directories import scratch_directory

WISH = {"type": "audio", "content_type": "audio/mpeg"}
API = "/api/v1/assets"
CONTENT_PROFILE = ("Content-Profile", "api")


@dataclass(frozen=True)
class Row:
    """A route of ours and the parts of its floor."""

    name: str
    ours: Target
    floor: tuple[Target, ...]


@dataclass(frozen=True)
class Plan:
    """How long and how often. Connections at which peers are measured, too, stand in `peers_at`."""

    seconds: int
    rounds: int
    connections: Sequence[int] = (1, 16, 64)
    peers_at: int = 16


FULL = Plan(seconds=4, rounds=7)
QUICK = Plan(seconds=1, rounds=2)
Runs = dict[tuple[str, int], list[Run]]


def run(quick: bool) -> Section:
    """Measures all of it. Raises ToolMissingError, StackError."""
    plan = QUICK if quick else FULL
    with scratch_directory() as state, site(state) as where:
        rows, peers = _rows(where), _peers(where)
        runs = _measure(plan, rows, peers)
        return _section(plan, rows, peers, runs)


def _rows(where: Site) -> list[Row]:
    directory, owners = where.scratch, where.owners
    body, service = json.dumps(WISH), where.service
    first = [owner.assets[index % len(owner.assets)] for index, owner in enumerate(owners)]

    def ours(name: str, method: str, path: str, tokens: Sequence[str], text: str = "") -> Target:
        requests = [
            Request(method, path.format(asset), token, text) for token, asset in zip(tokens, first, strict=True)
        ]
        return Target.of(directory, name, service.url, requests, pid=service.pid)

    def call(name: str, function: str, tokens: Sequence[str], arguments: dict[str, object] | None = None) -> Target:
        requests = [
            Request("POST", f"/rpc/{function}", token, json.dumps(arguments or {"asset_id": asset}))
            for token, asset in zip(tokens, first, strict=True)
        ]
        return Target.of(directory, name, where.postgrest_url, requests, *CONTENT_PROFILE)

    def storage(name: str, path: str, text: str) -> Target:
        requests = [
            Request("POST", f"/storage/v1/object{path}/assets/{asset}", owner.minted, text)
            for owner, asset in zip(owners, first, strict=True)
        ]
        return Target.of(directory, name, where.upstream_url, requests)

    keys, sessions = [owner.key for owner in owners], [owner.session for owner in owners]
    minted = [owner.minted for owner in owners]
    sign_upload, sign_download = (
        storage("sign upload", "/upload/sign", "{}"),
        storage("sign download", "/sign", '{"expiresIn":900}'),
    )
    bare_post = Target.of(directory, "bare POST", where.bare.url, [Request("POST", "/", "x" * 54, body)])
    bare_get = Target.of(directory, "bare GET", where.bare.url, [Request("GET", "/", "x" * 54)])
    return [
        Row(
            "POST /assets/upload-url, by key",
            ours("upload-url by key", "POST", f"{API}/upload-url", keys, body),
            (call("create_upload by key", "create_upload", minted, WISH), sign_upload, bare_post),
        ),
        Row(
            "POST /assets/upload-url, by session",
            ours("upload-url by session", "POST", f"{API}/upload-url", sessions, body),
            (call("create_upload by session", "create_upload", sessions, WISH), sign_upload, bare_post),
        ),
        Row(
            "GET /assets/{id}, ready, by key",
            ours("read asset", "GET", API + "/{}", keys),
            (call("get_asset", "get_asset", minted), sign_download, bare_get),
        ),
        Row(
            "GET /assets (20 of 25), by key",
            ours("page of assets", "GET", API, keys),
            (call("list_assets", "list_assets", minted, {"limit": 20}), bare_get),
        ),
        Row(
            "POST /assets/{id}/confirm, by key",
            ours("confirm", "POST", API + "/{}/confirm", keys),
            (call("confirm_upload", "confirm_upload", minted), bare_post),
        ),
    ]


def _peers(where: Site) -> list[Target]:
    def peer(name: str, served: Served) -> Target:
        requests = [Request("POST", f"{API}/upload-url", owner.session, json.dumps(WISH)) for owner in where.owners]
        return Target.of(where.scratch, name, served.url, requests, pid=served.pid)

    return [
        peer("Fastify + supabase-js", where.fastify),
        peer("FastAPI + supabase-py", where.fastapi),
    ]


def _measure(plan: Plan, rows: Sequence[Row], peers: Sequence[Target]) -> Runs:
    targets = list({target.name: target for row in rows for target in (row.ours, *row.floor)}.values())
    runs: Runs = {}
    for connections in plan.connections:
        measured = [*targets, *(peers if connections == plan.peers_at else ())]
        for target in measured:
            load(target, connections, 1)  # warm
        for number in range(plan.rounds):
            # Every other round backwards: what grows or wears out meanwhile weighs on all alike.
            for target in measured if number % 2 == 0 else reversed(measured):
                runs.setdefault((target.name, connections), []).append(load(target, connections, plan.seconds))
                print(f"{connections:3} connections, round {number + 1}: {target.name}", file=sys.stderr)
    return runs


def floor(parts: Sequence[Run]) -> float:
    """Requests a second of whoever does these parts one after the other, and nothing else."""
    return 1 / sum(1 / part.per_second for part in parts)


def _ratio(row: Row, runs: Runs, connections: int) -> Spread:
    rounds = zip(runs[row.ours.name, connections], *(runs[part.name, connections] for part in row.floor), strict=True)
    return Spread([ours.per_second / floor(parts) for ours, *parts in rounds])


def _section(plan: Plan, rows: Sequence[Row], peers: Sequence[Target], runs: Runs) -> Section:
    at = plan.peers_at
    by_key, by_session = rows[0].ours.name, rows[1].ours.name

    def speed(name: str, connections: int = at) -> Spread:
        return Spread([run.per_second for run in runs[name, connections]])

    def against(name: str, peer: str) -> Spread:
        pairs = zip(runs[name, at], runs[peer, at], strict=True)
        return Spread([mine.per_second / theirs.per_second for mine, theirs in pairs])

    own = Spread([run.cpu * 1e6 for run in runs[by_key, at]])
    tail = Spread([run.p99 for run in runs[by_key, at]])
    tails = Spread([
        sum(part.p99 for part in parts)
        for parts in zip(*(runs[part.name, at] for part in rows[0].floor), strict=True)
    ])  # fmt: skip
    ratio = _ratio(rows[0], runs, at)
    node, fastapi = (against(by_session, peer.name) for peer in peers)
    node_key, fastapi_key = (against(by_key, peer.name) for peer in peers)
    void = sum(run.is_void for each in runs.values() for run in each)
    goals = [
        Goal(f"upload-url by key, {at} connections: ratio to the floor", "≥ 0.50 (aim 0.60)", ratio.text(2), ratio.median >= 0.5),
        Goal("the same: CPU of the service", "≤ 600 µs a request (aim 450)", own.text(), own.median <= 600),
        Goal("the same: p99 against the sum of the parts' p99", "≤ 3 ×", f"{tail.median / tails.median:.2f} ×", tail.median <= 3 * tails.median),
        Goal("upload-url against Fastify + supabase-js", "≥ 1.4 × (aim 1.6)", f"{node_key.text(2)} by key, {node.text(2)} by session", min(node.median, node_key.median) >= 1.4),
        Goal("upload-url against FastAPI + supabase-py", "≥ 3 ×", f"{fastapi_key.text(2)} by key, {fastapi.text(2)} by session", min(fastapi.median, fastapi_key.median) >= 3),
        Goal("rounds with an answer that was not 2xx, or a broken connection", "0", str(void), void == 0),
    ]  # fmt: skip
    routes = Table(
        ["route", "connections", "req/s", "p50 ms", "p99 ms", "CPU µs/request", "floor req/s", "ratio to the floor"],
        [
            [
                row.name,
                str(connections),
                speed(row.ours.name, connections).text(),
                _ms([run.p50 for run in runs[row.ours.name, connections]]),
                _ms([run.p99 for run in runs[row.ours.name, connections]]),
                Spread([run.cpu * 1e6 for run in runs[row.ours.name, connections]]).text(),
                f"{Spread([floor(parts) for parts in zip(*(runs[p.name, connections] for p in row.floor), strict=True)]).median:,.0f}",
                _ratio(row, runs, connections).text(2),
            ]
            for row in rows
            for connections in plan.connections
        ],
        f"Medians of {plan.rounds} rounds of {plan.seconds:g} s (least-most). CPU is the service process's, user and system.",
    )  # fmt: skip
    names = list(dict.fromkeys(part.name for row in rows for part in row.floor))
    parts = Table(
        ["part of a floor", *(f"req/s at {connections}" for connections in plan.connections), f"p99 ms at {at}"],
        [
            [name, *(speed(name, c).text() for c in plan.connections), _ms([run.p99 for run in runs[name, at]])]
            for name in names
        ],
    )
    others = Table(
        ["POST /assets/upload-url", f"req/s at {at}", "p50 ms", "p99 ms", "CPU µs/request"],
        [
            [
                name,
                speed(name).text(),
                _ms([run.p50 for run in runs[name, at]]),
                _ms([run.p99 for run in runs[name, at]]),
                Spread([run.cpu * 1e6 for run in runs[name, at]]).text(),
            ]
            for name in (by_key, by_session, *(peer.name for peer in peers))
        ],
        "The peers pass the caller's token on unverified, and have no keys, error translation, rate limit, metrics or log.",
    )
    foreign = Spread([run.foreign for each in runs.values() for run in each])
    return Section(
        "The request path",
        "wrk, one thread, closed loop; 2,000 owners in turn, each within its shipped limits; the service with its shipped settings, "
        "rate limit, log and metrics on. Upstream: real PostgREST and Postgres (fsync on), and in Storage's place a fixed answer from "
        "nginx. Real Storage is in no registry; whatever it costs would be in the floor and in the service alike and bring the ratio "
        "nearer to 1. The floor is 1/Σ(1/part): the same call straight at PostgREST, the same call at Storage's stand-in, a bare "
        "Starlette route under the same server, each alone in the same round. Everything shares the machine's cores.\n\n"
        f"Foreign load while it ran: {foreign.text(2)} cores.",
        [routes, parts, others],
        goals,
    )


def _ms(seconds: Sequence[float]) -> str:
    return Spread([each * 1e3 for each in seconds]).text(1)


if __name__ == "__main__":
    found = run("--quick" in sys.argv)
    print(found.markdown())
    for goal in found.goals:
        print(goal)
