"""
Encryption at rest: AES-256-GCM, from the library `cryptography`. (W5)

Rule 1: each blob is bound to where it stands (thread, checkpoint, field …): moved elsewhere, it
        does not open.
Rule 2: with a key, plain data is refused; without one, encrypted data is.
Rule 3: what people and models wrote is encrypted: values, writes, journal, questions, errors,
        notes. Names of threads, nodes and fields, times and sizes are not.
"""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

from nbagent.errors import CorruptError, StoreError
from nbagent.stores.urls import options_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_MARK = b"\x00nbe1"  # no value that the codec writes begins with a nought and goes on
_TEXT = "nbe1:"
_NONCE = 12


def new_key() -> str:
    """A fresh key, as text: 64 hex digits. Whoever loses it loses the checkpoints."""
    return os.urandom(32).hex()


def key_in(url: str) -> str | None:
    """The key that a store's URL names with `key_env=VARIABLE`; None when it names none."""
    options = options_of(url)
    if "key_env" not in options:
        return None
    name = options["key_env"]
    key = os.environ.get(name)
    if not key:
        raise StoreError(
            f"{url!r}: the environment variable {name or '(none)'}, which is to hold the key, is "
            "not set: set it, or leave key_env= out for a store without encryption"
        )
    return key


class Plain:
    """No encryption: what a store does unless it is given a key."""

    is_on = False

    def seal(self, data: bytes, *place: object) -> bytes:
        return data

    def unseal(self, data: bytes, *place: object) -> bytes:
        return data

    def seal_text(self, text: str, *place: object) -> str:
        return text

    def unseal_text(self, text: str, *place: object) -> str:
        return text


class Cipher(Plain):
    """Encryption with a key of 32 bytes, given as 64 hex digits."""

    is_on = True

    def __init__(self, key: str) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as missing:
            raise StoreError(
                'an encrypted store needs cryptography: pip install "nbagent-jupyter[encryption]"'
            ) from missing
        try:
            raw = bytes.fromhex(key)
        except ValueError:
            raw = b""
        if len(raw) != 32:
            raise StoreError(
                "the key is not 64 hex digits: make one with nbagent.stores.encryption.new_key()"
            )
        self._aes: AESGCM = AESGCM(raw)

    def seal(self, data: bytes, *place: object) -> bytes:
        nonce = os.urandom(_NONCE)
        return _MARK + nonce + self._aes.encrypt(nonce, data, _bound(place))

    def unseal(self, data: bytes, *place: object) -> bytes:
        from cryptography.exceptions import InvalidTag

        if not data.startswith(_MARK):
            raise CorruptError("plain data in an encrypted store is refused", thread="")
        nonce, rest = data[len(_MARK) : len(_MARK) + _NONCE], data[len(_MARK) + _NONCE :]
        try:
            return self._aes.decrypt(nonce, rest, _bound(place))
        except InvalidTag:
            raise CorruptError(
                "encrypted data does not open here: it was changed or moved", thread=""
            ) from None

    def seal_text(self, text: str, *place: object) -> str:
        sealed = self.seal(text.encode(), *place)
        return _TEXT + base64.b64encode(sealed).decode() if text else ""

    def unseal_text(self, text: str, *place: object) -> str:
        if not text:
            return ""
        if not text.startswith(_TEXT):
            raise CorruptError("plain text in an encrypted store is refused", thread="")
        return self.unseal(base64.b64decode(text[len(_TEXT) :]), *place).decode()


def _bound(place: tuple[object, ...]) -> bytes:
    return "\x1f".join(map(str, place)).encode()
