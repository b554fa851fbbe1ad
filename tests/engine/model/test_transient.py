"""What `Retry()` takes for trouble that passes: by the shape of the errors that clients raise."""

import enum
import http.client
import socket
import ssl
import urllib.error

import httpx
import openai
import pytest
import requests

from nbagent.engine.model.transient import is_transient, retry_after
from nbagent.errors import CircuitOpen

REQUEST = httpx.Request("GET", "http://here")


def httpx_status(code, **headers):
    response = httpx.Response(code, headers=headers, request=REQUEST)
    return httpx.HTTPStatusError("x", request=REQUEST, response=response)


def requests_status(code):
    response = requests.Response()
    response.status_code = code
    return requests.HTTPError(response=response)


def openai_status(kind, code):
    return kind("x", response=httpx.Response(code, request=REQUEST), body=None)


class ClientError(Exception):
    """As botocore's: a dict in place of a response, and the code in words."""

    def __init__(self, code, status, headers=None):
        self.response = {
            "Error": {"Code": code, "Message": "m"},
            "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers or {}},
        }


class HTTPClientError(Exception):
    """As botocore's, which is no OSError."""


class StatusCode(enum.Enum):
    """As gRPC's."""

    UNAVAILABLE = (14, "unavailable")
    RESOURCE_EXHAUSTED = (8, "resource exhausted")
    DEADLINE_EXCEEDED = (4, "deadline exceeded")
    NOT_FOUND = (5, "not found")
    INVALID_ARGUMENT = (3, "invalid argument")


class RpcError(Exception):
    """As gRPC's: the code is a method."""

    def __init__(self, code):
        self._code = code

    def code(self):
        return self._code


class Status(Exception):
    """As aiohttp's, google.api_core's and many a client's."""

    def __init__(self, **facts):
        vars(self).update(facts)


class Unset(Exception):
    """As httpx's, whose property fails where nothing was set."""

    @property
    def response(self):
        raise RuntimeError("the response has not been set")

    headers = status_code = response


PASSING = [
    ClientError("ThrottlingException", 429),
    ClientError("ThrottlingException", 400),
    ClientError("ServiceUnavailable", 503),
    ClientError("Anything", 500),
    type("EndpointConnectionError", (HTTPClientError,), {})(),
    RpcError(StatusCode.UNAVAILABLE),
    RpcError(StatusCode.RESOURCE_EXHAUSTED),
    RpcError(StatusCode.DEADLINE_EXCEEDED),
    Status(status=503),
    Status(code=429),
    Status(status_code="503"),
    Status(code=http.HTTPStatus.SERVICE_UNAVAILABLE),
    httpx.ConnectError("x"),
    httpx.ReadTimeout("x"),
    httpx.RemoteProtocolError("x"),
    httpx_status(503),
    httpx_status(429),
    requests.ConnectionError(),
    requests.Timeout(),
    requests.exceptions.ChunkedEncodingError(),
    requests_status(503),
    openai.APIConnectionError(request=REQUEST),
    openai.APITimeoutError(request=REQUEST),
    openai_status(openai.RateLimitError, 429),
    openai_status(openai.InternalServerError, 500),
    socket.gaierror(),
    ConnectionResetError(),
    TimeoutError(),
    http.client.IncompleteRead(b""),
    urllib.error.URLError("x"),
    urllib.error.HTTPError("u", 503, "x", {}, None),
    ExceptionGroup("both", [ConnectionError(), TimeoutError()]),
    CircuitOpen("x", wait=1),
]
LASTING = [
    ClientError("ValidationException", 400),
    ClientError("AccessDeniedException", 403),
    RpcError(StatusCode.NOT_FOUND),
    RpcError(StatusCode.INVALID_ARGUMENT),
    Status(status=404),
    Status(code=14),
    Status(code="invalid_api_key"),
    Status(status=True),
    Unset(),
    httpx.UnsupportedProtocol("x"),
    httpx.LocalProtocolError("x"),
    httpx.TooManyRedirects("x"),
    httpx_status(404),
    requests.exceptions.MissingSchema("x"),
    requests.TooManyRedirects(),
    requests_status(400),
    openai_status(openai.BadRequestError, 400),
    openai_status(openai.AuthenticationError, 401),
    ssl.SSLCertVerificationError(),
    ValueError(),
    KeyError(),
    FileNotFoundError(),
    PermissionError(),
    SystemExit(503),
    urllib.error.HTTPError("u", 404, "x", {}, None),
    ExceptionGroup("both", [ConnectionError(), ValueError()]),
]


@pytest.mark.parametrize("error", PASSING, ids=lambda error: f"{type(error).__name__}")
def test_what_passes(error):
    """Throttling, outages and network trouble."""
    assert is_transient(error)


@pytest.mark.parametrize("error", LASTING, ids=lambda error: f"{type(error).__name__}")
def test_what_does_not(error):
    """Mistakes in what was asked, and who asks."""
    assert not is_transient(error)


def test_when_to_come_back():
    """From a response's header, whoever's response; `now` is the run's clock."""
    assert 3.0 == retry_after(httpx_status(429, **{"Retry-After": "3"}))
    assert 4.0 == retry_after(ClientError("T", 429, {"retry-after": "4"}))
    date = httpx_status(503, **{"Retry-After": "Thu, 01 Jan 1970 00:01:40 GMT"})
    assert 60.0 == retry_after(date, now=40.0)
    assert 7.0 == retry_after(ExceptionGroup("g", [ClientError("T", 1, {"retry-after": "7"})]))
    assert retry_after(Unset()) is None
    assert retry_after(httpx_status(429, **{"Retry-After": "nan"})) is None
