"""Workers that sleep, die and race for the same job."""

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from devstack.ports import Ports
from tests.callers import Caller
from tests.faults.site import LEASE_SECONDS, Site, freeze, thaw
from tests.polling import until
from tests.tone import tone

ATTEMPTS = "select attempts from assetdock_private.jobs where kind = 'probe' and asset_id = %s order by id desc limit 1"
REAL_FFPROBE = 'exec /usr/bin/env PATH=/usr/local/bin:/usr/bin:/bin ffprobe "$@"\n'
READY = "select count(*) from assetdock_app.asset_events where asset_id = %s and to_state = 'ready'"


@pytest.fixture
def slow_ffprobe(tmp_path: Path) -> tuple[Path, Path]:
    """A real ffprobe that first waits for a gate to open, and the gate."""
    gate = tmp_path / "gate"
    program = tmp_path / "ffprobe"
    program.write_text(f'#!/bin/sh\ncase "$*" in *http://*) until [ -e {gate} ]; do /bin/sleep 0.05; done;; esac\n'
                       f'{REAL_FFPROBE}')  # fmt: skip
    program.chmod(0o755)
    tmp_path.chmod(0o755)
    return program, gate


def test_a_worker_that_wakes_up_after_its_lease_passed_changes_nothing(
    site: Site, owner: Caller, slow_ffprobe: tuple[Path, Path]
) -> None:
    program, gate = slow_ffprobe
    stale = site.worker("stale", ASSETDOCK_FFPROBE=str(program))
    asset_id = owner.land(tone(1.0))
    until(lambda: site.rows(ATTEMPTS, asset_id) == [(1,)], "the stale worker to hold the job")
    freeze(stale)
    try:
        site.work()
        assert owner.finished(asset_id)["duration_seconds"] == "1.000"
        before = site.rows("select to_jsonb(a) from assetdock_app.assets a where id = %s", asset_id)
        gate.touch()
    finally:
        thaw(stale)

    until(lambda: any(word in stale.tail(500) for word in ("lease_lost", "outcome_not_recorded")), "it to be refused")
    assert site.rows("select to_jsonb(a) from assetdock_app.assets a where id = %s", asset_id) == before
    assert site.rows(READY, asset_id) == [(1,)]
    assert "asset_ready" not in stale.tail(500)


def test_a_probe_longer_than_its_lease_is_kept_by_heartbeats(
    site: Site, owner: Caller, slow_ffprobe: tuple[Path, Path]
) -> None:
    program, gate = slow_ffprobe
    site.worker("slow", ASSETDOCK_FFPROBE=str(program))
    asset_id = owner.land(tone(1.0))
    first = f"select available_at, available_at - now() < '{LEASE_SECONDS} s' from assetdock_private.jobs where asset_id = %s"
    until(lambda: site.rows(ATTEMPTS, asset_id) == [(1,)], "the worker to hold the job")
    ends = site.rows(first, asset_id)[0][0]
    until(lambda: site.rows("select now() > %s", ends) == [(True,)], "the first lease to pass")
    site.work()

    gate.touch()

    assert owner.finished(asset_id)["state"] == "ready"
    assert site.rows(ATTEMPTS, asset_id) == [(1,)]


def test_a_worker_that_is_told_to_stop_gives_back_what_it_cannot_finish(
    site: Site, owner: Caller, slow_ffprobe: tuple[Path, Path]
) -> None:
    program, _ = slow_ffprobe
    leaving = site.worker("leaving", ASSETDOCK_FFPROBE=str(program))
    asset_id = owner.land(tone(1.0))
    until(lambda: site.rows(ATTEMPTS, asset_id) == [(1,)], "the worker to hold the job")
    process = leaving.process
    assert process

    process.send_signal(signal.SIGTERM)

    assert process.wait(20) == 0
    assert "job_released" in leaving.tail(500)
    assert site.rows(ATTEMPTS, asset_id) == [(0,)]
    site.work()
    assert owner.finished(asset_id)["state"] == "ready"


def test_a_second_signal_ends_a_worker_at_once(site: Site, owner: Caller, slow_ffprobe: tuple[Path, Path]) -> None:
    program, _ = slow_ffprobe
    leaving = site.worker("leaving", ASSETDOCK_FFPROBE=str(program))
    asset_id = owner.land(tone(1.0))
    until(lambda: site.rows(ATTEMPTS, asset_id) == [(1,)], "the worker to hold the job")
    process = leaving.process
    assert process

    process.send_signal(signal.SIGTERM)
    until(lambda: "worker_stopping" in leaving.tail(500), "the first signal to be taken")
    process.send_signal(signal.SIGTERM)

    assert process.wait(3) == -signal.SIGTERM
    site.work()
    assert owner.finished(asset_id)["state"] == "ready"


def test_a_file_that_kills_its_worker_every_time_fails_and_takes_no_other_with_it(
    site: Site, owner: Caller, tmp_path: Path
) -> None:
    """The fake stands for a hole in ffprobe that reaches its parent."""
    site.rows("update assetdock_private.settings set max_attempts = 3 where singleton")
    good = [owner.land(tone(0.5)) for _ in range(2)]
    bad = site.owner().land(tone(0.5))
    good.append(owner.land(tone(0.5)))
    program = tmp_path / "ffprobe"
    program.write_text(f'#!/bin/sh\ncase "$*" in *{bad}*) kill -9 $PPID;; esac\n{REAL_FFPROBE}')
    program.chmod(0o755)

    for attempt in (1, 2, 3):
        victim = site.hire(f"victim-{attempt}", 4, ASSETDOCK_FFPROBE=str(program))
        assert victim.process
        assert victim.process.wait(30) == -signal.SIGKILL
        assert site.rows(ATTEMPTS, bad) == [(attempt,)]
        site.rows("update assetdock_private.jobs set available_at = now() where finished_at is null")  # the lease ends
    last = site.worker(
        "last", 4, ASSETDOCK_FFPROBE=str(program), ASSETDOCK_WORKER_METRICS_PORT=str(Ports.free().gateway)
    )

    assert [owner.finished(asset_id)["state"] for asset_id in good] == ["ready"] * 3
    until(lambda: "probes_exhausted" in last.tail(500), "the last worker to give it up")
    counted = httpx.get(f"http://127.0.0.1:{last.env['ASSETDOCK_WORKER_METRICS_PORT']}/metrics").text
    assert 'assetdock_worker_failed_assets_total{code="probe_crashed"} 1.0' in counted
    assert site.rows("select state, error_code from assetdock_app.assets where id = %s", bad) == [
        ("failed", "probe_crashed")
    ]
    assert site.rows("select attempts, outcome from assetdock_private.jobs where asset_id = %s", bad) == [(3, "dead")]


def test_a_trouble_beyond_the_file_fails_no_asset_however_often_it_is_met(
    site: Site, owner: Caller, tmp_path: Path
) -> None:
    """Here an ffprobe that stopped starting; an hour without Storage is the same to the queue."""
    program = tmp_path / "ffprobe"
    program.write_text('#!/bin/sh\ncase "$*" in *http://*) exit 127;; *) echo "ffprobe version x" >&2;; esac\n')
    program.chmod(0o755)
    site.rows("update assetdock_private.settings set retry_base = '10 ms', retry_cap = '10 ms' where singleton")
    asset_id = owner.land(tone(1.0))
    site.worker("broken", ASSETDOCK_FFPROBE=str(program))
    postponed = "select postponed > 6 from assetdock_private.jobs where asset_id = %s"
    until(lambda: site.rows(postponed, asset_id) == [(True,)], "the job to be postponed often")
    assert owner.asset(asset_id)["state"] == "processing"

    site.rest()
    site.work()

    assert owner.finished(asset_id)["state"] == "ready"


def test_twenty_clients_confirm_at_once_and_there_is_one_transition_and_one_job(site: Site, owner: Caller) -> None:
    asset_id = owner.land(tone(1.0))

    with ThreadPoolExecutor(20) as clients:
        answers = list(clients.map(lambda _: owner.http.post(f"/assets/{asset_id}/confirm"), range(20)))

    assert [answer.status_code for answer in answers] == [200] * 20
    assert {answer.json()["state"] for answer in answers} == {"processing"}
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
        "create trigger watch before update on assetdock_private.jobs for each row execute function assetdock_private.watch_leases()"
    )
    try:
        site.worker("another")
        site.work()
        for asset_id in ids:
            assert owner.finished(asset_id)["state"] == "ready"
        assert [site.rows(READY, asset_id) for asset_id in ids] == [[(1,)]] * 16
        assert set(site.rows("select attempts from assetdock_private.jobs where asset_id = any (%s)", ids)) == {(1,)}
    finally:
        site.rows("drop trigger watch on assetdock_private.jobs")
        site.rows("drop function assetdock_private.watch_leases()")
