"""
Every file format that was ever written is opened, migrated, and its threads go on. (R47)
"""

import operator
import shutil
from pathlib import Path
from typing import Annotated, TypedDict

import pytest

from nbagent import END, START, Graph, interrupt, node
from nbagent.stores.migrations import MIGRATIONS
from nbagent.stores.sqlite import SqliteStore

GOLDEN = Path(__file__).parent / "golden"


class State(TypedDict):
    topic: str
    notes: Annotated[list[str], operator.add]
    verdict: str


def test_there_is_a_file_of_every_schema():
    """Whoever adds a migration adds a file of the schema before it."""
    assert {f"schema-{number}.db" for number in range(1, len(MIGRATIONS))} <= {
        file.name for file in GOLDEN.iterdir()
    }


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*.db")), ids=lambda file: file.stem)
def test_an_older_file_goes_on(file, tmp_path):
    """Its waiting thread is answered; its history and its finished thread are as they were."""
    store = SqliteStore(shutil.copy(file, tmp_path / "old.db"))
    with Graph("research", State, store=store) as research:

        @node
        def plan(state):
            raise AssertionError("it finished long ago")

        @node
        def judge(state):
            return {"verdict": interrupt("Accept?", show=["notes"])}

        START >> plan >> judge >> END
    one = research.thread("waiting-1")

    assert ["Accept?"] == [question.question for question in one.questions]
    assert "yes" == one.resume("yes").result(10)["verdict"]
    assert {"topic": "ants", "notes": ["about ants"], "verdict": "accept"} == research.thread(
        "done-1"
    ).state
    assert 3 == len(store.history("done-1"))
    store.close()
