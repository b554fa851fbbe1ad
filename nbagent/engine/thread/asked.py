"""
`Graph(on_question=)`: a function of the user's that is told of each question, to send a mail or a
message of it. (W13)

Rule 1: it is told once of a question. That is written down when it has returned, so after a kill in
        between it is told again; one that raises is logged, and told again by whoever looks next.
Rule 2: it is called on a thread of its own, and never holds a run.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from typing import Any

from nbagent.engine.model.checkpoint import Question
from nbagent.engine.model.span import Span
from nbagent.engine.watch.events import Event, RunEnded

log = logging.getLogger("nbagent")
KIND = "told"
_under_way: set[tuple[str, str, str]] = set()
_lock = threading.Lock()


def watch_questions(run: Any) -> None:
    """Tell of what a run asks when it ends with questions. Called for each that begins."""
    if run.thread.program.on_question is None:
        return

    def ended(event: Event) -> None:
        if isinstance(event, RunEnded) and event.questions:
            tell(run.thread, event.questions)

    run.watch(ended)


def tell(thread: Any, questions: Iterable[Question]) -> threading.Thread | None:
    """Tell of those of these questions that nobody has been told of; the thread that does it."""
    function = thread.program.on_question
    if function is None:
        return None
    telling = threading.Thread(
        target=_tell_each, args=(function, thread, list(questions)), name="nbagent-question"
    )
    telling.daemon = True
    telling.start()
    return telling


def _tell_each(function: Any, thread: Any, questions: list[Question]) -> None:
    for question in questions:
        mark = (thread.store.url, thread.id, question.id)
        with _lock:
            if mark in _under_way:
                continue
            _under_way.add(mark)
        try:
            told = {span.name for span in thread.store.spans(thread.id) if span.kind == KIND}
            if question.id in told:
                continue
            function(question, thread)
            now = thread.clock()
            thread.store.put_spans(
                [Span(thread.id, KIND, question.id, started=now, ended=now, node=question.node)]
            )
        except Exception:
            log.exception("on_question= of graph %r failed", thread.program.name)
        finally:
            with _lock:
                _under_way.discard(mark)
