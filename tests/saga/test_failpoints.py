"""Fail-points: an armed one ends the process exactly there, an unarmed one does nothing."""

import os
import signal
import subprocess
import sys

import pytest

from contracts.failure import InvalidContract
from saga import failpoints

PASSES = """
import os
from saga import failpoints
failpoints.arm(os.environ)
for round in ("first", "second"):
    for step in ("a", "b"):
        print(round, step, flush=True)
        failpoints.at("do.effect.before", step)
"""


def passing(point: str) -> tuple[int, list[str]]:
    told = {**os.environ, failpoints.VARIABLE: point}
    done = subprocess.run(
        [sys.executable, "-c", PASSES], env=told, capture_output=True, text=True, timeout=30, check=False
    )
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize(
    ("point", "last"),
    [
        ("do.effect.before", "first a"),
        ("do.effect.before:b", "first b"),
        ("do.effect.before::3", "second a"),
        ("do.effect.before:b:2", "second b"),
    ],
)
def test_an_armed_point_kills_the_process_there(point: str, last: str) -> None:
    code, passed = passing(point)
    assert (code, passed[-1]) == (-signal.SIGKILL, last)


def test_another_point_is_passed() -> None:
    assert passing("undo.effect.before") == (0, ["first a", "first b", "second a", "second b"])


@pytest.mark.parametrize(
    "wanted", ["nowhere", "do.effect.before:a:0", "do.effect.before:a:x", "do.ack.after:a:1:b"]
)
def test_a_point_that_does_not_exist_is_told_with_those_that_do(wanted: str) -> None:
    with pytest.raises(InvalidContract, match=r"one of do\.abort\.after"):
        failpoints.arm({failpoints.VARIABLE: wanted})
    failpoints.arm({})
