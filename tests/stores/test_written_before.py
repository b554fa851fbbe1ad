"""Values as earlier versions wrote them are read as they were. (R47)"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import enum
import zlib
import zoneinfo
from typing import Any

import numpy
import pandas
import pydantic
import pytest

from nbagent import register_type
from nbagent.stores.codec.values import decode, encode, same


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Fix:
    column: str
    enabled: bool = True


class Open(pydantic.BaseModel, extra="allow"):
    name: str


class Hidden(pydantic.BaseModel):
    name: str
    _seen: int = pydantic.PrivateAttr(default=7)


for kind in (Colour, Fix, Open, Hidden):
    register_type(kind)
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


def table() -> pandas.DataFrame:
    made = pandas.DataFrame(
        {
            "n": pandas.array([1, None], dtype="Int64"),
            "z": pandas.to_datetime(["2020", "2021"]).tz_localize("Europe/Berlin"),
            "s": pandas.array(["a", None], dtype="str"),
            "c": pandas.Categorical(["x", "y"]),
            "o": pandas.Series([[1], None], dtype=object),
        }
    )
    made.index = pandas.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["x", "y"])
    return made


BEFORE = [
    (b"\x00\xff", "eNo7ziM4aWlSZUlq8RIDg7Q0ADIMBhM="),
    (
        numpy.arange(3, dtype=">i4"),
        "eNo7biw4aXleSmJRUWLl5MV2mSYTmY8rCE5amlRZklq8wwAVGEJpIwA0ghFs",
    ),
    (
        table(),
        "eNo7weglOGlDQWJeSmKxnktiSaJbUWJu6uTJSzPzUlIrJi9NTs3JKV5cXFI0dWHewqqFxQuTF+YfmLQ0tzSnJHMS"
        "pqpJCxMXJi2sgEpMWppXmltQOXmxTabFRKbjmoKTliZVlqQW31QwMDRABUao3IWVU6GmLvXMKzEzmcR4YPLSqvy8"
        "1JTJy218LaJLi2PRDDSwTDYzS00yMLdMMjAFGZGSbGpoaZqcmGQO4q91LS3KL0jVd0otysnMQ3XxgSkrkhNLUtPz"
        "i4BOrck0BJrMAzN5CdAkQ2z+rFhYeeAQzIML/ScyTZrIeAAAMp+JYQ==",
    ),
    (
        [Colour.RED, Fix("a")],
        "eNqbdNxEcNKS1LzS3Ek31UtSi0uK9YpL8otSi/VAnPjyosySktS8+KTUNKCgnnN+Tn5p0eIgV5fjroKTVqYkliQm"
        "5yQWF0+6qUJQr1tmRdOy5Pyc0ty8hYnLU/MSk3JSUw4DAK0dNm8=",
    ),
    (
        Open(name="n", more=1),
        "eNo77ik4aWlufkpqzqSbqiWpxSXFesUl+UWpxXogTnx5UWZJSWpefFJqGlBQz78gNW9S05K8xNzUhXlLcoFCjJPA"
        "FFgIAOxGINU=",
    ),
    (
        Hidden(name="n"),
        "eNo77iA4aWlufkpqzqSb6iWpxSXFesUl+UWpxXogTnx5UWZJSWpefFJqGlBQzyMzJSU1b1LjkrzE3NSFeRPBNADP"
        "rhzX",
    ),
    (
        (
            datetime.datetime(2020, 1, 1, tzinfo=BERLIN),
            datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
        ),
        "eNo7nio4aWlJaUFO6qTjeoKTVqQklqSWZOamTt5sZGBkoGtgCEQhBgZWYMSw1rW0KL8gVd8ptSgnM++4JkENpxmg"
        "AADAKSDV",
    ),
    (
        pandas.Timestamp("2020", tz="Europe/Berlin"),
        "eNo7ris4aUNBYl5KYrFeSGZuanFJYm7B5PMMrLPZX6fNYVhUWrzWtbQovyBV3ym1KCczDwDoVxPJ",
    ),
    (2**70, "eNo7LiM4aXFmXsk2Q0MLA1NLQzMjA3NDcxNDQ2MDYxMjEwCh9giR"),
    ({1: {2}}, "eNo7LiQ4aXFuYsHESYzH2YHM4tSSiUwAX7kIdQ=="),
]


@pytest.mark.parametrize(("value", "stored"), BEFORE, ids=range(len(BEFORE)))
def test_what_was_written_before_is_read(value: Any, stored: str) -> None:
    """Bytes as hex text, columns cell by cell, objects by their fields alone."""
    found = decode(zlib.decompress(base64.b64decode(stored)))

    assert encode(value) == encode(found)
    assert same(found, value)


def test_bytes_take_the_room_that_they_hold() -> None:
    """As do arrays and the numbers of a table. (W15)"""
    size = 80_000
    for value in (bytes(size), numpy.zeros(size // 8), pandas.DataFrame(numpy.zeros((1000, 10)))):
        assert len(encode(value)) < size + 500
