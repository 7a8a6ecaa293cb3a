"""Uploads go on while every part of the installation is killed at random, and in the end nothing is lost."""

import random
from collections import Counter

import pytest

from tests.faults.chaos import Chaos, Plan
from tests.faults.site import Site, soaking

SHORT = Plan(uploads=40, clients=8, rounds=1)
LONG = Plan(uploads=200, clients=8, rounds=10)


def test_nothing_acknowledged_is_lost_whatever_is_killed(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    plan = LONG if soaking() else SHORT
    chaos = Chaos(site, plan, random.Random(plan.seed))  # noqa: S311 - chance that can be had again

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
    assert chaos.outside_the_envelope == []
    assert site.rows("select id from assetdock_private.jobs where lease_token is not null") == []
    assert site.reconcile().found == []
