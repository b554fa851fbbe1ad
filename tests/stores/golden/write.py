"""
Writes a file of the schema that there is now, before a migration makes another one:

    python tests/stores/golden/write.py tests/stores/golden/schema-5.db
"""

import operator
import sys
from typing import Annotated, TypedDict

from nbagent import END, START, Graph, interrupt, node
from nbagent.stores.sqlite import SqliteStore


class State(TypedDict):
    topic: str
    notes: Annotated[list[str], operator.add]
    verdict: str


def main(path):
    """A thread that waits, one that is done, one whose subgraph waits; ids with slashes."""
    store = SqliteStore(path)
    with Graph("research", State, store=store) as research:

        @node
        def plan(state):
            return {"notes": [f"about {state['topic']}"]}

        @node
        def judge(state):
            return {"verdict": interrupt("Accept?", show=["notes"])}

        START >> plan >> judge >> END
    with Graph("outer", State, store=store) as outer:
        START >> node(research, name="inner") >> END

    research.run({"topic": "bees", "notes": []}, "waiting-1")
    research.run({"topic": "ants", "notes": []}, "done-1")
    research.thread("done-1").resume("accept").result(10)
    outer.run({"topic": "wasps", "notes": []}, "outer-1")
    research.run({"topic": "flies", "notes": []}, "proj")
    research.run({"topic": "moths", "notes": []}, "proj/notes")
    research.thread("proj").fork(id="proj/what-if")
    store.close()


if __name__ == "__main__":
    main(sys.argv[1])
