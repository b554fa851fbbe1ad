"""
What an error says about another attempt: that it passes by itself, or when to come back. (R4, W14)

Rule: it is told by the error's shape (its type's name, a status, a code in words); no client
library is imported for it.
"""

from __future__ import annotations

import asyncio
import email.utils
import http.client
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

from nbagent.engine.model.callables import takes
from nbagent.errors import CircuitOpen, NodeError

Kinds = type[BaseException] | tuple[type[BaseException], ...]


def origin(error: BaseException) -> BaseException:
    """The user's own exception, also when it came out of a node of a subgraph."""
    while isinstance(error, NodeError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def is_kind(error: BaseException, kinds: Kinds) -> bool:
    """True when it is one of these types, or a group (a TaskGroup's) of nothing else."""
    if isinstance(error, kinds):
        return True
    return isinstance(error, BaseExceptionGroup) and all(
        is_kind(one, kinds) for one in error.exceptions
    )


_TRANSIENT_STATUS = frozenset((408, 409, 425, 429, 500, 502, 503, 504, 529))
# Error codes in words: gRPC's status codes, and those that AWS's own clients try again.
_TRANSIENT_WORDS = frozenset((
    "UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "ABORTED", "INTERNAL", "Throttling",
    "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException",
    "TooManyRequestsException", "ProvisionedThroughputExceededException", "RequestLimitExceeded",
    "BandwidthLimitExceeded", "TransactionInProgressException", "PriorRequestNotComplete",
    "SlowDown", "EC2ThrottledException", "RequestTimeout", "RequestTimeoutException",
    "ServiceUnavailable", "ServiceUnavailableException", "InternalFailure", "InternalError",
    "InternalServerException", "ModelNotReadyException", "ModelTimeoutException",
))  # fmt: skip
# Libraries whose connection errors do not derive from OSError; named, never imported.
_TRANSIENT_NAMES = frozenset((
    "TransportError", "APIConnectionError", "APITimeoutError", "ClientConnectionError",
    "ClientPayloadError", "HTTPClientError", "ConnectionError", "ServiceRequestError",
    "ServiceResponseError", "ProtocolError", "TimeoutError", "MaxRetryError", "NewConnectionError",
    "ConnectionClosed", "ConnectionClosedError", "ServerDisconnectedError",
))  # fmt: skip
# These derive from one of those, and are no better the next time.
_LASTING_NAMES = frozenset((
    "UnsupportedProtocol", "LocalProtocolError", "TooManyRedirects", "MissingSchema", "InvalidURL",
    "InvalidSchema", "ClientConnectorCertificateError", "SSLCertVerificationError",
    "LocationParseError", "LocationValueError",
))  # fmt: skip
_LASTING_OS_ERRORS = (
    FileNotFoundError,
    FileExistsError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
    ProcessLookupError,
    ValueError,  # `requests` derives a wrong address from both
)


def is_transient(error: BaseException) -> bool:
    """Network trouble, a timeout, throttling, or a status that says to try later."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_transient, error.exceptions))
    if isinstance(error, CircuitOpen):
        return True
    if not isinstance(error, Exception):
        return False
    said = list(_codes(error))
    if any(code in _TRANSIENT_WORDS for code in said if isinstance(code, str)):
        return True
    status = next((code for code in said if isinstance(code, int)), None)
    if status is not None:
        return status in _TRANSIENT_STATUS
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & _LASTING_NAMES:
        return False
    if isinstance(error, (OSError, asyncio.TimeoutError)):
        return not isinstance(error, _LASTING_OS_ERRORS)
    if isinstance(error, (http.client.IncompleteRead, http.client.BadStatusLine)):
        return True
    return bool(names & _TRANSIENT_NAMES)


def _codes(error: BaseException) -> Iterator[int | str]:
    """What an error says of itself as a status: an HTTP number, or a code in words."""
    response = _get(error, "response")
    found = [_get(error, name) for name in ("status_code", "status", "code", "http_status")]
    found += [_get(response, name) for name in ("status_code", "status")]
    if isinstance(response, Mapping):  # botocore
        for part, name in (("Error", "Code"), ("ResponseMetadata", "HTTPStatusCode")):
            inner = response.get(part)
            found.append(inner.get(name) if isinstance(inner, Mapping) else None)
    for code in found:
        if callable(code) and takes(code, 0):  # gRPC's `error.code()`
            try:
                code = code()
            except Exception:
                continue
        code = getattr(code, "name", code) if not isinstance(code, int) else code
        if isinstance(code, str):
            yield int(code) if code.isascii() and code.isdigit() and len(code) == 3 else code
        elif isinstance(code, int) and not isinstance(code, bool) and 100 <= code < 600:
            yield int(code)


def _get(thing: Any, name: str) -> Any:
    """An attribute that may be a property, and may fail: httpx has such."""
    try:
        return getattr(thing, name, None)
    except Exception:
        return None


def retry_after(error: BaseException, now: float | None = None) -> float | None:
    """Seconds that the HTTP response behind the error asks to wait (RFC 9110, 10.2.3).

    now  Unix seconds; by default this machine's
    """
    if isinstance(error, CircuitOpen):
        return error.wait
    if isinstance(error, BaseExceptionGroup):
        waits = [retry_after(one, now) for one in error.exceptions]
        return max((wait for wait in waits if wait is not None), default=None)
    response = _get(error, "response")  # which may be false: `requests` says so of a 4xx
    if isinstance(response, Mapping):  # botocore
        inner = response.get("ResponseMetadata")
        headers = inner.get("HTTPHeaders") if isinstance(inner, Mapping) else None
    else:
        headers = _get(error if response is None else response, "headers")
    try:
        text = headers.get("retry-after") if headers is not None else None
    except Exception:
        return None
    if text is None:
        return None
    try:
        seconds = float(text)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    except (TypeError, ValueError):
        pass
    try:
        until = email.utils.parsedate_to_datetime(str(text)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
    return max(0.0, until - (time.time() if now is None else now))
