"""What a node displays is without secrets, as what it prints is. (W5)"""

import pytest
from IPython.core.interactiveshell import InteractiveShell

from nbagent.engine.model import secrets

NODE = """
from typing import Any, TypedDict
from IPython.display import HTML, display
from nbagent import END, START, Graph, Secret, node

class State(TypedDict):
    x: Any

def a(state):
    key = Secret("key", "sk-VERYSECRETVALUE123")
    %s
    return {"x": 1}

with Graph("g", State, store="memory://") as g:
    START >> node(a) >> END
g.run({"x": 0})
display(HTML("the cell's"))
"""
WAYS = {
    "html": "display(HTML(f'<b>{key.reveal()}</b>'))",
    "text": "display({'key': [key.reveal()]})",
    "raw": "display({'text/plain': key.reveal()}, raw=True)",
    "rich": "from rich.console import Console; Console(force_jupyter=True).print(key.reveal())",
}


@pytest.fixture
def shell(monkeypatch, tmp_path):
    """A shell that keeps what it is to publish."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(secrets, "_values", {})
    InteractiveShell.clear_instance()
    made = InteractiveShell.instance()
    published = []
    made.display_pub.publish = lambda data, *args, **options: published.append(data)
    made.run_line_magic("load_ext", "nbagent")
    yield made, published
    made.history_manager.end_session()
    InteractiveShell.clear_instance()


@pytest.mark.parametrize("way", WAYS)
def test_no_way_to_the_page(way, shell):
    """Rich objects, raw data, and what a library makes of a print. (W22)"""
    made, published = shell
    assert made.run_cell(NODE % WAYS[way]).success
    told = str(published)
    assert "VERYSECRET" not in told
    assert "•••" in told
    assert "the cell's" in told
