"""What is printed before a view may have come waits for it a moment, and is shown once. (R38)"""

import logging
import threading

import pytest

from nbagent.engine.model import secrets
from nbagent.engine.node import output
from nbagent.engine.node.output import Echo, view_follows


@pytest.fixture
def shown(monkeypatch):
    """What has reached the terminal."""
    texts = []
    monkeypatch.setattr(Echo, "_show", lambda self, stream, text: texts.append((stream, text)))
    return texts


def test_without_a_view_it_is_shown_when_the_moment_is_over(shown, monkeypatch):
    """In its order, before what comes later."""
    monkeypatch.setattr(output, "_MOMENT", 3600.0)
    with view_follows():
        echo = Echo()
    echo("stdout", "first")
    echo("stderr", "second")
    assert [] == shown

    echo._until = 0.0
    echo("stdout", "third")
    assert [("stdout", "first"), ("stderr", "second"), ("stdout", "third")] == shown


def test_without_a_view_a_timer_shows_it(shown, monkeypatch):
    """Also when nothing more is printed."""
    monkeypatch.setattr(output, "_MOMENT", 0.05)
    arrived = threading.Event()
    monkeypatch.setattr(
        Echo, "_show", lambda self, stream, text: (shown.append(text), arrived.set())
    )
    with view_follows():
        echo = Echo()
    echo("stdout", "alone")

    assert arrived.wait(5)
    assert ["alone"] == shown


def test_a_view_that_comes_has_it_alone(shown, monkeypatch):
    monkeypatch.setattr(output, "_MOMENT", 3600.0)
    with view_follows():
        echo = Echo()
    echo("stdout", "first")
    echo.is_shown = True
    echo("stdout", "second")
    echo.flush()

    assert [] == shown


def test_where_no_view_is_expected_nothing_waits(shown):
    Echo()("stdout", "at once")

    assert [("stdout", "at once")] == shown


def test_no_part_of_a_log_record_tells_a_secret(monkeypatch):
    """Message, traceback and stack."""
    monkeypatch.setattr(secrets, "_patterns", [])
    secrets.redact(r"sk-very-secret-\d+")
    try:
        raise ValueError("refused sk-very-secret-123")
    except ValueError as error:
        failed = (ValueError, error, error.__traceback__)
    record = logging.LogRecord("l", 30, "f", 1, "key %s", ("sk-very-secret-123",), failed)
    record.stack_info = "at sk-very-secret-123"
    output._strike_out_of(record)

    for said in (record.getMessage(), record.exc_text, record.stack_info):
        assert "sk-" not in said
        assert secrets.STRUCK_OUT in said


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING])
def test_a_record_that_nobody_handles_is_said_as_python_does(level, monkeypatch, capsys):
    """The handler that catches nodes' records does not hide it: from a warning on, once."""
    monkeypatch.setattr(logging.root, "handlers", [output._handler])
    monkeypatch.setattr(logging.lastResort, "_stream", None, raising=False)
    output._handler.handle(logging.LogRecord("l", level, "f", 1, "said", (), None))
    others = [output._handler, logging.NullHandler()]
    monkeypatch.setattr(logging.root, "handlers", others)
    output._handler.handle(logging.LogRecord("l", level, "f", 1, "handled", (), None))

    assert ("said\n" if level >= logging.WARNING else "") == capsys.readouterr().err
