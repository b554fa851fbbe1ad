"""
A tool call that is put to a person, and what the person decides.

Rule 1: the question is a dict in the shape of LangGraph's HumanInterrupt, so that whoever shows
        one shows the other: `action_request` (`action`, `args`), `config`, `description`.
Rule 2: an answer is kept in one shape, `{"kind", …}`, whichever it was given in: an `Approval`,
        that dict, a word, or a response of LangGraph (`{"type", "args"}`, `{"decisions": […]}`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from nbagent.errors import FieldProblem, StateError

Kind = Literal["accept", "edit", "answer", "refuse"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MARK = "x-nbagent"  # in the JSON Schema of a question: it asks for an approval

_OTHERS: dict[Any, Kind] = {
    **{"approve": "accept", "accept": "accept", "edit": "edit"},
    **{"response": "answer", "respond": "answer", "answer": "answer"},
    **{"ignore": "refuse", "reject": "refuse", "refuse": "refuse"},
}
_ALLOWED: dict[str, Kind] = {
    "allow_accept": "accept",
    "allow_edit": "edit",
    "allow_respond": "answer",
    "allow_ignore": "refuse",
}
_SHAPE = (
    "give Approval(kind, args=, answer=, reason=), the same as a dict, one of the words "
    "'accept' and 'refuse', or LangGraph's response {'type': …, 'args': …}"
)


@dataclass(frozen=True)
class Approval:
    """What a person decided about a tool call.

    kind    "accept": make the call as it is; "edit": make it with `args`; "answer": do not make it,
            `answer` is its result; "refuse": do not make it, for this `reason`
    args    the arguments to call the tool with, where it is to be called: the agent's own, or
            the person's, which take their place as a whole
    """

    kind: Kind
    args: Mapping[str, Any] | None = None
    answer: Any = None
    reason: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise StateError(f"Approval(kind={self.kind!r}): it is one of {', '.join(KINDS)}")

    @classmethod
    def of(cls, answer: Any, request: Any = None) -> Approval:
        """The answer as it was kept, to a question that was this request."""
        kept = kept_of(answer)
        args = kept.get("args")
        if kept["kind"] == "accept" and is_request(request):
            args = request["action_request"].get("args")
        return cls(kept["kind"], args, kept.get("answer"), kept.get("reason", ""))


def request_of(tool: str, args: Mapping[str, Any], description: str = "") -> dict[str, Any]:
    """The question whether to call a tool, as LangGraph asks it."""
    return {
        "action_request": {"action": tool, "args": dict(args)},
        "config": dict.fromkeys(_ALLOWED, True),
        "description": description,
    }


def is_request(question: Any) -> bool:
    """Is it the question whether to call a tool?"""
    if not isinstance(question, Mapping):
        return False
    call = question.get("action_request")
    return isinstance(call, Mapping) and isinstance(call.get("action"), str)


def worded(question: Any) -> str:
    """A question as people read it."""
    if not is_request(question):
        return str(question)
    call = question["action_request"]
    args = call.get("args")
    given = ", ".join(f"{n}={v!r}" for n, v in args.items()) if isinstance(args, Mapping) else ""
    return str(question.get("description") or f"Call {call['action']}({given})?")


def approval_schema(question: Any, arguments: Mapping[str, Any] | None) -> dict[str, Any]:
    """The JSON Schema of the answer: which ways are open, and what the tool takes."""
    config = question.get("config") if is_request(question) else None
    open_ = [
        kind
        for name, kind in _ALLOWED.items()
        if not isinstance(config, Mapping) or config.get(name, True) is not False
    ]
    edits = {"if": {"properties": {"kind": {"const": "edit"}}}, "then": {"required": ["args"]}}
    return {
        **{"title": "Approval", MARK: "approval", "type": "object"},
        "properties": {
            "kind": {"enum": open_},
            "args": dict(arguments) if arguments is not None else {"type": "object"},
            "answer": {},
            "reason": {"type": "string"},
        },
        **{"required": ["kind"], "additionalProperties": False, "allOf": [edits]},
    }


def asks_for_one(schema: Any) -> bool:
    """Is it the JSON Schema of a question for an approval?"""
    return isinstance(schema, Mapping) and schema.get(MARK) == "approval"


def kept_of(answer: Any) -> dict[str, Any]:
    """An answer in the one shape that is kept; `StateError` for what is none."""
    if isinstance(answer, Approval):
        return _kept(answer.kind, answer.args, answer.answer, answer.reason)
    if isinstance(answer, str) and answer in _OTHERS:
        return _kept(_OTHERS[answer])
    if isinstance(answer, Mapping) and isinstance(answer.get("decisions"), Sequence):
        answer = answer["decisions"]
    if isinstance(answer, Sequence) and not isinstance(answer, str) and len(answer) == 1:
        return kept_of(answer[0])
    if not isinstance(answer, Mapping):
        raise _unfit(f"{answer!r} is no approval")
    if "kind" in answer:
        unknown = [name for name in answer if name not in ("kind", "args", "answer", "reason")]
        if unknown or answer["kind"] not in KINDS:
            raise _unfit(f"{dict(answer)!r} is no approval")
        reason = answer.get("reason") or ""
        return _kept(answer["kind"], answer.get("args"), answer.get("answer"), reason)
    return _of_langgraph(answer)


def _of_langgraph(answer: Mapping[str, Any]) -> dict[str, Any]:
    kind = _OTHERS.get(answer.get("type"))
    if kind is None:
        raise _unfit(f"{dict(answer)!r} is no approval")
    args = answer.get("args")
    if kind == "edit":
        call = answer.get("edited_action", args)
        inner = call.get("args") if isinstance(call, Mapping) and _is_call(call) else call
        return _kept(kind, inner)
    said = answer.get("message", args)
    if kind == "answer":
        return _kept(kind, answer=answer.get("answer", said))
    reason = answer.get("reason", said)
    return _kept(kind, reason=reason if isinstance(reason, str) else "")


def _is_call(call: Mapping[str, Any]) -> bool:
    """LangGraph's `{"action", "args"}`, or `{"name", "args"}`, not the arguments themselves."""
    return set(call) in ({"action", "args"}, {"name", "args"}, {"args"})


def _kept(kind: Kind, args: Any = None, answer: Any = None, reason: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {"kind": kind}
    if kind == "edit" and args is not None:
        found["args"] = dict(args) if isinstance(args, Mapping) else args
    if kind == "answer":
        found["answer"] = answer
    if reason:
        found["reason"] = reason
    return found


def _unfit(said: str) -> StateError:
    message = f"{said}: {_SHAPE}"
    return StateError(message, errors=[FieldProblem(("answer",), message)])
