"""
Values to bytes and back.
"""

from nbagent.stores.codec.values import decode, encode

__all__ = ["decode", "encode"]
