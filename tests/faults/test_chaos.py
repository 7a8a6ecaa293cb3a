"""Clients upload while every process of the installation is killed at random, and no upload is lost."""

import random
from collections import Counter

import pytest

from tests.faults.chaos import Chaos, Plan
from tests.faults.site import Site, soaking

SHORT = Plan(uploads=40, clients=8, rounds=1)
LONG = Plan(uploads=200, clients=8, rounds=10)


def test_no_acknowledged_upload_is_lost_when_processes_are_killed(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = LONG if soaking() else SHORT
    chaos = Chaos(site, plan, random.Random(plan.seed))  # noqa: S311 - a repeatable sequence

    chaos.run()

    table = chaos.table()
    with capsys.disabled():
        print("\n" + table.text)
    assert chaos.faults == Counter(dict.fromkeys(chaos.kinds, plan.rounds))
    assert len(chaos.acknowledged) == plan.uploads
    assert table.lost == []
    assert table.doubled == []
    assert table.stuck == []
    assert table.wrong_durations == []
    assert chaos.invalid_responses == []
    assert site.rows("select id from assetdock_private.jobs where lease_token is not null") == []
    assert site.reconcile().found == []
