"""What all threads of a store ask, in one table."""

from __future__ import annotations

from typing import TypedDict

from nbagent import END, START, Graph, inbox, interrupt, node, open_store


class State(TypedDict, total=False):
    topic: str
    word: bool


def test_the_inbox_has_every_open_question(tmp_path):
    """The oldest first, those of a subgraph as its parent asks them; with stable columns."""
    store = open_store(tmp_path / "a.db")
    with Graph("inner", State) as inner:

        @node
        def ask(state):
            return {"word": interrupt(f"Send {state['topic']}?", show=["topic"], schema=bool)}

        START >> ask >> END
    with Graph("outer", State, store=store) as outer:
        START >> inner >> END
    assert 0 == len(inbox(store))
    for topic in ("wasps", "bees"):
        outer.run({"topic": topic}, thread=topic)

    found = inbox(store)
    columns = ["thread", "graph", "node", "question", "show", "deadline", "asked", "id", "schema"]
    assert columns == list(found)
    assert [("wasps", "Send wasps?"), ("bees", "Send bees?")] == list(
        zip(found["thread"], found["question"], strict=True)
    )
    assert "datetime64[ns, UTC]" == str(found["asked"].dtype).replace("[us", "[ns").replace(
        "[ms", "[ns"
    )
    outer.thread("bees").resume(answers={found["id"][1]: True}).result()
    assert ["wasps"] == list(inbox(store)["thread"])
    store.close()
