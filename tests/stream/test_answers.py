"""What a NATS server's answers mean: park what an operator must put right, wait for the rest."""

from __future__ import annotations

import pytest

from agent.fates import BackOff, Park
from agent.stream import answers
from agent.stream.answers import meaning
from agent.stream.credentials import options
from agent.stream.publisher import refusal


@pytest.mark.parametrize(
    ("code", "text", "hint"),
    [
        (10059, "stream not found", "make-stream"),
        (10060, "expected stream does not match", "another stream"),
        (10076, "JetStream not enabled", "enable JetStream"),
        (10054, "message size exceeds maximum allowed", "max_msg_size"),
        (None, "nats: 'Authorization Violation'", "credentials_file"),
        (None, "nats: 'User Authentication Expired'", "credentials_file"),
        (None, 'nats: permissions violation for publish to "perps.x"', "may not use"),
    ],
)
def test_what_only_an_operator_can_cure_parks_with_a_hint(
    code: int | None, text: str, hint: str
) -> None:
    """Everything is kept, and the hint says what to do."""
    fate = meaning(code, text)
    assert isinstance(fate, Park)
    assert hint in fate.hint


def test_what_passes_is_waited_for() -> None:
    """A full stream for some seconds, a lost leader or connection as the back-off says."""
    full = meaning(10077, "maximum bytes exceeded")
    assert full == BackOff("maximum bytes exceeded", answers.FULL_RETRY_S)
    for code, text in [(10008, "temporarily unavailable"), (None, "timeout"), (99999, "new")]:
        assert isinstance(meaning(code, text), BackOff)


def test_what_the_server_said_aside_counts_before_a_timeout() -> None:
    """A violated permission is told beside the request, which merely gets no answer."""
    fate = meaning(None, "nats: timeout", said='permissions violation for publish to "x"')
    assert isinstance(fate, Park)


def test_an_acknowledgement_is_an_answer_with_a_number_and_no_error() -> None:
    """Duplicates are acknowledged too; anything else is not taken for one."""
    assert refusal(b'{"stream":"perps","seq":1}') is None
    assert refusal(b'{"stream":"perps","seq":1,"duplicate":true}') is None
    refused = refusal(b'{"error":{"code":503,"err_code":10077,"description":"maximum bytes"}}')
    assert refused == BackOff("maximum bytes (10077)", answers.FULL_RETRY_S)
    for odd in (b"", b"hello", b"[]", b"null", b'{"seq":"1"}', b'{"error":1}', b"[" * 100_000):
        assert isinstance(refusal(odd), BackOff)


def test_credentials_are_a_creds_file_a_pair_or_a_token() -> None:
    """Nothing else is taken, and no text of an error holds what was in the file."""
    assert options("user:pass:word") == {"user": "user", "password": "pass:word"}
    assert options("t0ken") == {"token": "t0ken"}
    for text in ("", "two words", "-----BEGIN NATS USER JWT-----\nabc\n"):
        with pytest.raises(ValueError, match=r"^ha|^holds") as caught:
            options(text)
        assert "abc" not in str(caught.value)
