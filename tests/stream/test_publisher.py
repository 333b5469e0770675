"""A stream as a destination, against a real NATS server: acknowledged, once, or kept and why."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import nats
import pytest

from agent.config import NatsSink
from agent.delivery import Delivered, Paused
from agent.fates import BackOff, Park
from agent.stream.connection import CLOSE_S, CONNECT_S, REQUEST_S
from agent.stream.publisher import WINDOW, Publisher
from agent.stream.setup import make_stream
from tests.conftest import skip_loudly
from tests.natsd.server import open_nats
from tests.stream.accounts import Accounts
from tests.stream.conftest import STREAM, SUBJECT
from tests.stream.make import SLOT_NS, poll, record, snapshot

pytestmark = pytest.mark.slow

MakeSink = Callable[..., NatsSink]


async def held(jetstream: Any) -> list[tuple[str, list[str]]]:
    """Subject and lines of each message of the stream, in order."""
    info = await jetstream.stream_info(STREAM)
    found = []
    for seq in range(1, info.state.messages + 1):
        message = await jetstream.get_msg(STREAM, seq)
        found.append((message.subject, gzip.decompress(message.data).decode().splitlines()))
    return found


async def test_two_agents_of_a_group_fill_the_stream_once(jetstream: Any, sink: MakeSink) -> None:
    """The slot is there once; what each says of itself, and what only one has, is there too."""
    await jetstream.add_stream(name=STREAM, subjects=[f"{SUBJECT}.>"])
    one, other = Publisher(sink()), Publisher(sink())
    first = record([snapshot("BTC", "1.5"), poll("one")])
    second = record([snapshot("BTC", "1.6"), poll("two")])
    wider = record([snapshot("BTC", "1.6"), snapshot("ETH"), poll("two")], slot_ns=SLOT_NS)
    for agent, poll_record in [(one, first), (other, second), (one, first), (other, wider)]:
        outcome = await agent.deliver([poll_record])
        assert isinstance(outcome, Delivered)
        assert outcome.rejected == ()
    assert await held(jetstream) == [
        (f"{SUBJECT}.bybit.main", [snapshot("BTC", "1.5")]),
        (f"{SUBJECT}.agent.main", [poll("one")]),
        (f"{SUBJECT}.agent.main", [poll("two")]),
        (f"{SUBJECT}.bybit.main", [snapshot("BTC", "1.6"), snapshot("ETH")]),
    ]
    await one.close()
    await other.close()


async def test_a_batch_of_several_windows_is_taken_whole(jetstream: Any, sink: MakeSink) -> None:
    """Each message is acknowledged; delivering all of it again adds nothing."""
    await jetstream.add_stream(name=STREAM, subjects=[f"{SUBJECT}.>"])
    publisher = Publisher(sink())
    slots = range(SLOT_NS, SLOT_NS + 2 * WINDOW + 1)
    batch = [record([snapshot("BTC", slot_ns=slot)], slot_ns=slot) for slot in slots]
    for _ in range(2):
        assert isinstance(await publisher.deliver(batch), Delivered)
    assert (await jetstream.stream_info(STREAM)).state.messages == len(batch)
    await publisher.close()


async def test_no_stream_parks_until_it_is_made(jetstream: Any, sink: MakeSink) -> None:
    """Nothing is lost on the way: the doubt ends when the stream is there, and the batch goes."""
    publisher = Publisher(sink())
    batch = [record([snapshot("BTC")])]
    outcome = await publisher.deliver(batch)
    assert isinstance(outcome, Paused)
    assert isinstance(outcome.fate, Park)
    assert "stream not found" in outcome.fate.reason
    assert await publisher.doubt() is not None
    await jetstream.add_stream(name=STREAM, subjects=["elsewhere"])
    wrong = await publisher.doubt()
    assert isinstance(wrong, Park)
    assert f"holds elsewhere, not {SUBJECT}.>" in wrong.reason
    await jetstream.update_stream(name=STREAM, subjects=[f"{SUBJECT}.>"])
    assert await publisher.doubt() is None
    assert isinstance(await publisher.deliver(batch), Delivered)
    await publisher.close()


async def test_a_subject_of_another_stream_parks(jetstream: Any, sink: MakeSink) -> None:
    """What would land in a stream that was not meant is not published there."""
    await jetstream.add_stream(name="theirs", subjects=[f"{SUBJECT}.>"])
    publisher = Publisher(sink())
    outcome = await publisher.deliver([record([snapshot("BTC")])])
    assert isinstance(outcome, Paused)
    assert isinstance(outcome.fate, Park)
    assert (await jetstream.stream_info("theirs")).state.messages == 0
    await publisher.close()


async def test_a_full_stream_is_waited_for(jetstream: Any, sink: MakeSink) -> None:
    """It backs off while the stream refuses, and goes on when there is room."""
    await jetstream.add_stream(name=STREAM, subjects=[f"{SUBJECT}.>"], max_msgs=1, discard="new")
    publisher = Publisher(sink())
    batch = [record([snapshot("BTC"), poll("one")])]
    outcome = await publisher.deliver(batch)
    assert isinstance(outcome, Paused)
    assert isinstance(outcome.fate, BackOff)
    assert "maximum messages exceeded" in outcome.fate.reason
    await jetstream.update_stream(name=STREAM, subjects=[f"{SUBJECT}.>"], max_msgs=2, discard="new")
    assert isinstance(await publisher.deliver(batch), Delivered)
    assert len(await held(jetstream)) == 2
    await publisher.close()


async def test_a_server_that_goes_and_comes_is_found_again(tmp_path: Path) -> None:
    """Gone: a pause that names the server. Back: the same batch is delivered, once."""
    with open_nats(tmp_path) as server:
        client = await nats.connect(server.url)
        await client.jetstream().add_stream(name=STREAM, subjects=[f"{SUBJECT}.>"])
        await client.close()
        publisher = Publisher(
            NatsSink(nats_url=f"nats://127.0.0.1:1,{server.url}", stream=STREAM, subject=SUBJECT)
        )
        assert isinstance(await publisher.deliver([record([snapshot("BTC")])]), Delivered)
        server.kill()
        batch = [record([snapshot("ETH")], seq=2)]
        reasons = []
        for _ in range(2):  # the broken connection, then no connection
            outcome = await publisher.deliver(batch)
            assert isinstance(outcome, Paused)
            assert isinstance(outcome.fate, BackOff)
            reasons.append(outcome.fate.reason)
        assert server.url in reasons[-1]
        server.start()
        server.wait()
        assert isinstance(await publisher.deliver(batch), Delivered)
        client = await nats.connect(server.url)
        assert len(await held(client.jetstream())) == 2
        await client.close()
        await publisher.close()


async def test_a_server_that_answers_nothing_is_waited_for_in_bounds(tmp_path: Path) -> None:
    """Frozen: each try ends in time, connected or not. Thawed: everything is there once."""
    with open_nats(tmp_path) as server:
        config = NatsSink(nats_url=server.url, stream=STREAM, subject=SUBJECT)
        await make_stream(config, replicas=1, bytes_max=2**24, age_max_s=60)
        publisher = Publisher(config)
        assert isinstance(await publisher.deliver([record([snapshot("A")])]), Delivered)
        lines = [snapshot(f"T{random.randrange(10**9)}", str(random.random())) for _ in range(5000)]
        batch = [record(lines, seq=2, slot_ns=SLOT_NS)]
        server.freeze()
        for _ in range(2):
            async with asyncio.timeout(REQUEST_S + CONNECT_S + 5):
                outcome = await publisher.deliver(batch)
            assert isinstance(outcome, Paused)
            assert isinstance(outcome.fate, BackOff)
            await publisher.close()
        server.thaw()
        assert isinstance(await publisher.deliver(batch), Delivered)
        client = await nats.connect(server.url)
        found = [line for _, lines in await held(client.jetstream()) for line in lines]
        assert sorted(found) == sorted([snapshot("A"), *lines])
        await client.close()
        await publisher.close()


USERS = """
authorization { users: [
  { user: right, password: s3cret }
  { user: weak, password: s3cret, permissions: { publish: "nothing", subscribe: "_INBOX.>" } }
] }
"""


async def test_wrong_credentials_park_and_are_read_again(tmp_path: Path) -> None:
    """A missing file, a wrong password, a user who may not: each says so; the cure is taken up."""
    with open_nats(tmp_path / "server", USERS) as server:
        client = await nats.connect(server.url, user="right", password="s3cret")
        await client.jetstream().add_stream(name=STREAM, subjects=[f"{SUBJECT}.>"])
        await client.close()
        secret = tmp_path / "credentials"
        publisher = Publisher(
            NatsSink(nats_url=server.url, stream=STREAM, subject=SUBJECT, credentials_file=secret)
        )
        batch = [record([snapshot("BTC")])]
        for text, words in [
            (None, "No such file"),
            ("right:wrong", "authorization violation"),
            ("weak:s3cret", "permissions violation"),
        ]:
            if text is not None:
                secret.write_text(text)
            outcome = await publisher.deliver(batch)
            assert isinstance(outcome, Paused)
            assert isinstance(outcome.fate, Park)
            assert words.lower() in outcome.fate.reason.lower()
            assert "s3cret" not in outcome.fate.reason
            await publisher.close()
        secret.write_text("right:s3cret\n")
        assert await publisher.doubt() is None
        assert isinstance(await publisher.deliver(batch), Delivered)
        await publisher.close()


async def test_a_creds_file_opens_the_door(tmp_path: Path) -> None:
    """JWT and nkey of a user: the server takes the signature, and another user's is refused."""
    ours, theirs = Accounts.make(), Accounts.make()
    with open_nats(tmp_path / "server", ours.settings) as server:
        secret = tmp_path / "user.creds"
        config = NatsSink(
            nats_url=server.url, stream=STREAM, subject=SUBJECT, credentials_file=secret
        )
        publisher = Publisher(config)
        secret.write_text(theirs.creds)
        outcome = await publisher.deliver([record([snapshot("BTC")])])
        assert isinstance(outcome, Paused)
        assert isinstance(outcome.fate, Park)
        secret.write_text(ours.creds)
        await make_stream(config, replicas=1, bytes_max=2**20, age_max_s=60)
        assert isinstance(await publisher.deliver([record([snapshot("BTC")])]), Delivered)
        await publisher.close()


async def test_what_speaks_another_language_is_given_up_in_time() -> None:
    """TLS is announced and never spoken: the try ends, with a reason, and nothing hangs."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = {"server_id": "x", "version": "2.9.10", "max_payload": 2**20, "tls_required": True}
        writer.write(f"INFO {json.dumps(info)}\r\nno TLS\r\n".encode())
        await reader.read()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        publisher = Publisher(
            NatsSink(nats_url=f"nats://127.0.0.1:{port}", stream=STREAM, subject=SUBJECT)
        )
        async with asyncio.timeout(CONNECT_S + CLOSE_S + 5):
            outcome = await publisher.deliver([record([snapshot("BTC")])])
            await publisher.close()
    assert isinstance(outcome, Paused)
    assert f"127.0.0.1:{port}" in outcome.fate.reason


async def test_a_certificate_must_be_of_a_known_authority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown one parks and says so; with its authority known the points go over TLS."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    openssl = shutil.which("openssl")
    if openssl is None:
        skip_loudly("there is no openssl to make a certificate with")
    made = await asyncio.create_subprocess_exec(
        *(str(openssl), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
        *("-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost"),
        *("-addext", "subjectAltName=IP:127.0.0.1"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await made.wait() == 0
    settings = f'tls {{ cert_file: "{certificate}", key_file: "{key}" }}'
    with open_nats(tmp_path / "server", settings) as server:
        config = NatsSink(
            nats_url=server.url.replace("nats:", "tls:"), stream=STREAM, subject=SUBJECT
        )
        publisher = Publisher(config)
        outcome = await publisher.deliver([record([snapshot("BTC")])])
        assert isinstance(outcome, Paused)
        assert isinstance(outcome.fate, Park)
        assert "certificate" in outcome.fate.hint
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        await make_stream(config, replicas=1, bytes_max=2**20, age_max_s=60)
        assert isinstance(await publisher.deliver([record([snapshot("BTC")])]), Delivered)
        await publisher.close()


async def test_a_server_without_jetstream_is_told_from_an_outage(tmp_path: Path) -> None:
    """It has no streams: what to look at is said, and nothing counts as delivered."""
    with open_nats(tmp_path, jetstream=False) as server:
        publisher = Publisher(NatsSink(nats_url=server.url, stream=STREAM, subject=SUBJECT))
        outcome = await publisher.deliver([record([snapshot("BTC")])])
        assert isinstance(outcome, Paused)
        assert "no JetStream answers" in outcome.fate.reason
        await publisher.close()
