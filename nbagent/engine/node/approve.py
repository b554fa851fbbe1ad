"""
approve(): a tool call is put to a person before it is made. (R32)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nbagent.engine.model.approval import Approval, request_of
from nbagent.engine.node.context import current
from nbagent.engine.node.interrupts import Deadline, put


def approve(
    tool: Any,
    args: Mapping[str, Any] | None = None,
    *,
    show: Sequence[str] = (),
    question: str = "",
    deadline: Deadline = None,
    on_expiry: Any = None,
    key: str | None = None,
) -> Approval:
    """Ask a person whether a tool may be called with these arguments.

    tool      its name, or the tool: a function, a LangChain tool or an OpenAI tool's dict, whose
              parameters are then what the form asks for and what an edit must fit
    question  what is asked above the call; by default the call itself

    `show`, `deadline`, `on_expiry` ("refuse", say) and `key` are those of `interrupt`. The person
    accepts the call, edits its arguments, answers in the tool's stead, or refuses with a reason:

        decided = approve(send_report, {"to": "editors@example.org"})
        if decided.kind in ("accept", "edit"):
            result = effect("send", send_report, **decided.args)
        else:
            result = decided.answer or decided.reason
    """
    context = current("approve")
    name, arguments = context.services.schema.call_schema(tool)
    request = request_of(name, args or {}, question)
    found: Approval = put(
        request, show=show, schema=Approval, arguments=arguments, deadline=deadline,
        on_expiry=on_expiry, key=key, caller="approve",
    )  # fmt: skip
    return found
