"""
What it takes to test an agent without a model, without waiting, and under kills. (R45)
"""

from nbagent.testing.clock import FakeClock

__all__ = ["FakeClock"]
