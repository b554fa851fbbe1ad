"""
What it takes to test an agent without a model, without waiting, and under kills.
"""

from nbagent.testing.chaos import Report, Scenario, World, run_chaos
from nbagent.testing.clock import FakeClock
from nbagent.testing.faults import FaultyStore, flaky, kill, scripted
from nbagent.testing.oracle import Oracle, OracleServer
from nbagent.testing.recording import Recording, run_to

__all__ = [
    "FakeClock",
    "FaultyStore",
    "Oracle",
    "OracleServer",
    "Recording",
    "Report",
    "Scenario",
    "World",
    "flaky",
    "kill",
    "run_chaos",
    "run_to",
    "scripted",
]
