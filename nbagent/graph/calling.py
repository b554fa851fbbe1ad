"""
What a call of a graph inside a node may be given, and one outside of it.
"""

from __future__ import annotations

from nbagent.errors import NbagentError
from nbagent.graph.options import StartOptions


def check_kept(name: str, keep: bool) -> None:
    """`NbagentError` for a call outside of a node that is to go on from an earlier one."""
    if keep:
        raise NbagentError(
            f"{name}.run(keep=True) is for a call inside a node, which goes on from turn to turn; "
            "here say which thread is to go on, with thread=id"
        )


def check_call(name: str, options: StartOptions) -> None:
    """`NbagentError` for a context that a call inside a node is given: its task has one."""
    if options.get("context") is not None:
        raise NbagentError(
            f"{name}.run(context=…) in a node: a called graph has its caller's context; with "
            "thread=id it is a thread of its own, and takes one"
        )
