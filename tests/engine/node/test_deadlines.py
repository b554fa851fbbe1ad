"""A question's deadline: seconds, a time span, a moment; what then, also deep inside. (W13)"""

import datetime

import pytest

from nbagent.engine.node.interrupts import interrupt
from nbagent.testing import FakeClock
from tests.engine.build import END, START, Edge, program, sync, thread

NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    "deadline", [90, 90.0, datetime.timedelta(seconds=90), NOON + datetime.timedelta(seconds=90)]
)
def test_a_deadline_in_each_of_its_forms(deadline):
    """It passes at the same moment; before it nothing is due, after it the policy answers."""
    clock = FakeClock(NOON.timestamp())
    made = program(
        sync("a", lambda s: {"x": interrupt("Well?", deadline=deadline, on_expiry="silence")}),
        wires=[Edge(START, "a"), Edge("a", END)],
    )
    one = thread(made, clock=clock)
    one.start({}).result(5)

    assert NOON.timestamp() + 90 == one.questions[0].deadline == one.resume_at
    clock.advance(89)
    one.resume().result(5)
    assert "waiting" == one.status
    clock.advance(2)
    assert {"x": "silence"} == one.resume().result(5)
