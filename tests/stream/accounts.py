"""An operator, an account and a user of NATS, made for a test: keys, JWTs and a .creds file.

https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/jwt
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from nacl.signing import SigningKey

PREFIX_SEED: Final = 18 << 3
PREFIXES: Final = {"operator": 14 << 3, "account": 0, "user": 20 << 3}
UNLIMITED: Final = -1
_LIMITS: Final = ("subs", "data", "payload", "imports", "exports", "conn", "leaf")
_STORES: Final = ("mem_storage", "disk_storage", "streams", "consumer")
IAT_S: Final = 1_700_000_000


def crc16(data: bytes) -> bytes:
    """CRC-16/XMODEM, little end first."""
    value = 0
    for byte in data:
        value ^= byte << 8
        for _ in range(8):
            value = ((value << 1) ^ 0x1021 if value & 0x8000 else value << 1) & 0xFFFF
    return value.to_bytes(2, "little")


def encoded(prefix: bytes, raw: bytes) -> str:
    """A key as NATS writes it."""
    return base64.b32encode(prefix + raw + crc16(prefix + raw)).decode().rstrip("=")


@dataclass(frozen=True)
class Party:
    """Somebody with a key."""

    kind: str
    key: SigningKey = field(default_factory=SigningKey.generate)

    @property
    def public(self) -> str:
        """The public key."""
        return encoded(bytes([PREFIXES[self.kind]]), bytes(self.key.verify_key))

    @property
    def seed(self) -> str:
        """The secret."""
        kind = PREFIXES[self.kind]
        return encoded(bytes([PREFIX_SEED | kind >> 5, (kind & 31) << 3]), bytes(self.key))

    def sign(self, subject: Party, claims: dict[str, Any]) -> str:
        """A JWT that says this of somebody."""
        body = {"iat": IAT_S, "iss": self.public, "sub": subject.public, "name": subject.kind}
        body["nats"] = {"type": subject.kind, "version": 2, **claims}
        body["jti"] = base64.b32encode(sha256(json.dumps(body).encode()).digest()).decode()
        head = _part({"typ": "JWT", "alg": "ed25519-nkey"})
        text = f"{head}.{_part(body)}"
        signature = self.key.sign(text.encode()).signature
        return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


@dataclass(frozen=True)
class Accounts:
    """One of each.

    Attributes:
        settings: lines of a server's configuration that trust the operator.
        creds: the user's .creds file.
    """

    settings: str
    creds: str

    @classmethod
    def make(cls) -> Accounts:
        """New keys, signed all the way."""
        operator, account, user = (Party(kind) for kind in PREFIXES)
        system = Party("account")
        limits = dict.fromkeys((*_LIMITS, *_STORES), UNLIMITED)
        of_system = operator.sign(system, {"limits": dict.fromkeys(_LIMITS, UNLIMITED)})
        of_account = operator.sign(account, {"limits": {**limits, "wildcards": True}})
        of_user = account.sign(user, dict.fromkeys(("subs", "data", "payload"), UNLIMITED))
        settings = (
            f"operator: {operator.sign(operator, {})}\nresolver: MEMORY\n"
            f"system_account: {system.public}\nresolver_preload: {{\n"
            f"{account.public}: {of_account}\n{system.public}: {of_system}\n}}\n"
        )
        line, end = "-----", "------"
        creds = (
            f"{line}BEGIN NATS USER JWT{line}\n{of_user}\n{end}END NATS USER JWT{end}\n\n"
            f"{line}BEGIN USER NKEY SEED{line}\n{user.seed}\n{end}END USER NKEY SEED{end}\n"
        )
        return cls(settings, creds)


def _part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
