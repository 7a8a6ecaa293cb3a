"""Workers that freeze, crash, stop, or compete for the same job."""

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from devstack.child import Child
from devstack.ports import Ports
from tests.callers import Caller
from tests.faults.site import Site, freeze, thaw
from tests.polling import until
from tests.tone import tone

ATTEMPTS = "select attempts from assetdock_private.jobs where kind = 'probe' and asset_id = %s order by id desc limit 1"
REAL_FFPROBE = 'exec /usr/bin/env PATH=/usr/local/bin:/usr/bin:/bin ffprobe "$@"\n'
READY = "select count(*) from assetdock_app.asset_events where asset_id = %s and to_state = 'ready'"


@pytest.fixture
def slow_ffprobe(tmp_path: Path) -> tuple[Path, Path]:
    """A real ffprobe that first waits until a file exists, and that file, the gate."""
    gate = tmp_path / "gate"
    program = tmp_path / "ffprobe"
    program.write_text(f'#!/bin/sh\ncase "$*" in *http://*) until [ -e {gate} ]; do /bin/sleep 0.05; done;; esac\n'
                       f'{REAL_FFPROBE}')  # fmt: skip
    program.chmod(0o755)
    tmp_path.chmod(0o755)
    return program, gate


def worker_with_job(name: str, site: Site, owner: Caller, ffprobe: Path) -> tuple[Child, str]:
    """Starts a worker, uploads an asset, and waits until the worker holds its probe. Returns the asset's id."""
    worker = site.worker(name, ASSETDOCK_FFPROBE=str(ffprobe))
    asset_id = owner.land(tone(1.0))
    until(lambda: site.rows(ATTEMPTS, asset_id) == [(1,)], "the worker to hold the job")
    return worker, asset_id


def test_a_worker_that_resumes_after_its_lease_expired_changes_nothing(
    site: Site, owner: Caller, slow_ffprobe: tuple[Path, Path]
) -> None:
    program, gate = slow_ffprobe
    stale, asset_id = worker_with_job("stale", site, owner, program)
    freeze(stale)
    try:
        site.run_worker()
        assert owner.wait_until_finished(asset_id)["duration_seconds"] == "1.000"
        before = site.rows("select to_jsonb(a) from assetdock_app.assets a where id = %s", asset_id)
        gate.touch()
    finally:
        thaw(stale)

    until(
        lambda: any(word in stale.tail(500) for word in ("lease_lost", "outcome_not_recorded")),
        "the stale worker's call to be rejected",
    )
    assert site.rows("select to_jsonb(a) from assetdock_app.assets a where id = %s", asset_id) == before
    assert site.rows(READY, asset_id) == [(1,)]
    assert "asset_ready" not in stale.tail(500)


def test_heartbeats_keep_the_lease_of_a_long_probe(site: Site, owner: Caller, slow_ffprobe: tuple[Path, Path]) -> None:
    program, gate = slow_ffprobe
    _, asset_id = worker_with_job("slow", site, owner, program)
    [(expires_at,)] = site.rows("select available_at from assetdock_private.jobs where asset_id = %s", asset_id)
    until(lambda: site.rows("select now() > %s", expires_at) == [(True,)], "the first lease to expire")
    site.run_worker()

    gate.touch()

    assert owner.wait_until_finished(asset_id)["state"] == "ready"
    assert site.rows(ATTEMPTS, asset_id) == [(1,)]


def test_a_worker_that_receives_sigterm_releases_the_jobs_it_cannot_finish(
    site: Site, owner: Caller, slow_ffprobe: tuple[Path, Path]
) -> None:
    program, _ = slow_ffprobe
    stopping, asset_id = worker_with_job("stopping", site, owner, program)
    process = stopping.process
    assert process

    process.send_signal(signal.SIGTERM)

    assert process.wait(120) == 0
    assert "job_released" in stopping.tail(500)
    assert site.rows(ATTEMPTS, asset_id) == [(0,)]
    site.run_worker()
    assert owner.wait_until_finished(asset_id)["state"] == "ready"


def test_a_second_sigterm_ends_a_worker_at_once(site: Site, owner: Caller, slow_ffprobe: tuple[Path, Path]) -> None:
    program, _ = slow_ffprobe
    stopping, asset_id = worker_with_job("stopping", site, owner, program)
    process = stopping.process
    assert process

    process.send_signal(signal.SIGTERM)
    until(lambda: "worker_stopping" in stopping.tail(500), "the worker to receive the first signal")
    process.send_signal(signal.SIGTERM)

    assert process.wait(120) == -signal.SIGTERM
    site.run_worker()
    assert owner.wait_until_finished(asset_id)["state"] == "ready"


def test_a_file_that_crashes_every_worker_fails_alone(site: Site, owner: Caller, tmp_path: Path) -> None:
    """The fake ffprobe imitates an exploit that kills the worker."""
    site.rows("update assetdock_private.settings set max_attempts = 3 where singleton")
    harmless = [owner.land(tone(0.5)) for _ in range(2)]
    crashing = site.owner().land(tone(0.5))
    harmless.append(owner.land(tone(0.5)))
    program = tmp_path / "ffprobe"
    program.write_text(f'#!/bin/sh\ncase "$*" in *{crashing}*) kill -9 $PPID;; esac\n{REAL_FFPROBE}')
    program.chmod(0o755)

    for attempt in (1, 2, 3):
        worker = site.start_worker(f"crashing-{attempt}", 4, ASSETDOCK_FFPROBE=str(program))
        assert worker.process
        assert worker.process.wait(120) == -signal.SIGKILL
        assert site.rows(ATTEMPTS, crashing) == [(attempt,)]
        # Expires the leases.
        site.rows("update assetdock_private.jobs set available_at = now() where finished_at is null")
    last = site.worker(
        "last", 4, ASSETDOCK_FFPROBE=str(program), ASSETDOCK_WORKER_METRICS_PORT=str(Ports.free().gateway)
    )

    assert [owner.wait_until_finished(asset_id)["state"] for asset_id in harmless] == ["ready"] * 3
    until(lambda: "probes_exhausted" in last.tail(500), "the last worker to report the dead probe")
    metrics = httpx.get(f"http://127.0.0.1:{last.env['ASSETDOCK_WORKER_METRICS_PORT']}/metrics").text
    assert 'assetdock_worker_failed_assets_total{code="probe_crashed"} 1.0' in metrics
    state = site.rows("select state, error_code from assetdock_app.assets where id = %s", crashing)
    job = site.rows("select attempts, outcome from assetdock_private.jobs where asset_id = %s", crashing)
    assert (state, job) == ([("failed", "probe_crashed")], [(3, "dead")])


def test_failures_that_the_file_did_not_cause_never_fail_its_asset(site: Site, owner: Caller, tmp_path: Path) -> None:
    """Here ffprobe does not start. The queue treats an outage of Storage in the same way."""
    program = tmp_path / "ffprobe"
    program.write_text('#!/bin/sh\ncase "$*" in *http://*) exit 127;; *) echo "ffprobe version x" >&2;; esac\n')
    program.chmod(0o755)
    site.rows("update assetdock_private.settings set retry_base = '10 ms', retry_cap = '10 ms' where singleton")
    asset_id = owner.land(tone(1.0))
    site.worker("broken", ASSETDOCK_FFPROBE=str(program))
    postponed = "select postponed > 6 from assetdock_private.jobs where asset_id = %s"
    until(lambda: site.rows(postponed, asset_id) == [(True,)], "the job to be postponed several times")
    assert owner.asset(asset_id)["state"] == "processing"

    site.pause_workers()
    site.run_worker()

    assert owner.wait_until_finished(asset_id)["state"] == "ready"


def test_twenty_concurrent_confirms_cause_one_transition_and_one_job(site: Site, owner: Caller) -> None:
    asset_id = owner.land(tone(1.0))

    with ThreadPoolExecutor(20) as clients:
        responses = list(clients.map(lambda _: owner.http.post(f"/assets/{asset_id}/confirm"), range(20)))

    assert [response.status_code for response in responses] == [200] * 20
    assert {response.json()["state"] for response in responses} == {"processing"}
    assert site.rows("select from_state, to_state from assetdock_app.asset_events where asset_id = %s", asset_id) == [
        ("pending_upload", "processing")
    ]
    assert site.rows("select kind, attempts from assetdock_private.jobs where asset_id = %s", asset_id) == [
        ("probe", 0)
    ]


def test_two_workers_never_hold_one_job(site: Site, owner: Caller) -> None:
    with ThreadPoolExecutor(4) as clients:
        ids = list(clients.map(lambda _: owner.land(tone(0.5)), range(16)))
    site.rows(
        "create or replace function assetdock_private.watch_leases() returns trigger language plpgsql as $$ begin"
        " if old.lease_token is not null and new.lease_token is not null and new.lease_token <> old.lease_token"
        " and old.available_at > now() then raise exception 'a live lease was taken'; end if; return new; end $$"
    )
    site.rows(
        "create trigger watch before update on assetdock_private.jobs"
        " for each row execute function assetdock_private.watch_leases()"
    )
    try:
        site.worker("another")
        site.run_worker()
        for asset_id in ids:
            assert owner.wait_until_finished(asset_id)["state"] == "ready"
        assert [site.rows(READY, asset_id) for asset_id in ids] == [[(1,)]] * 16
        assert set(site.rows("select attempts from assetdock_private.jobs where asset_id = any (%s)", ids)) == {(1,)}
    finally:
        site.rows("drop trigger watch on assetdock_private.jobs")
        site.rows("drop function assetdock_private.watch_leases()")
