"""
Nothing is done twice and nothing acknowledged is lost, whoever is killed where. (R5 to R7, W1, W2)

`NBAGENT_KILLS` is how often; a thousand take some minutes.
"""

import os

import pytest

from nbagent.testing import Report, run_chaos
from nbagent.testing.chaos import _count

KILLS = int(os.environ.get("NBAGENT_KILLS", "30"))


@pytest.mark.chaos
def test_an_agent_under_kills():
    """Effects with a probe, a key, or only a person to ask; siblings, retries, timeouts, caches,
    questions, a subgraph for each item, a cycle."""
    report = run_chaos("tests.chaos.agent:build", kills=KILLS)

    assert report.is_clean(), report
    assert report.kills >= KILLS
    assert len(report.killed_at) >= 4


@pytest.mark.chaos
def test_what_people_do_beside_an_agent_under_kills():
    """Edits, forks, exports and batches: what was acknowledged stays, and all is whole or not
    there."""
    report = run_chaos("tests.chaos.agent:busy", kills=KILLS // 3, seed=1)

    assert report.is_clean(), report
    assert report.kills >= KILLS // 3


@pytest.mark.chaos
def test_the_harness_finds_an_agent_that_mails_twice():
    """A harness that cannot fail proves nothing."""
    report = run_chaos("tests.chaos.agent:careless", kills=40)

    assert report.effects_twice > 0
    assert not report.is_clean()


def test_the_harness_counts_what_a_broken_store_would_do():
    """A node that runs after its record was stored; a checkpoint that was there and is gone."""
    report = Report()
    _count(
        report,
        [
            "ran t 1:a", "stored t 1:a", "committed t 2", "opened t 2", "ran t 1:a", "opened t 1",
            "effect t mail", "effect t mail", "effect u mail", "opened u 0", "broken t edit",
        ],
    )  # fmt: skip

    assert 1 == report.finished_nodes_run_twice
    assert 1 == report.acknowledged_checkpoints_lost
    assert 1 == report.effects_twice
    assert 1 == report.promises_broken
