"""A sink's `credentials_file`: who we are to the NATS server. No text here names a secret.

https://docs.nats.io/using-nats/developer/connecting/creds
"""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path
from typing import Any, Final

BYTES_MAX: Final = 16 * 1024

_JWT: Final = re.compile(r"-+BEGIN NATS USER JWT-+\s+(\S+)")
_SEED: Final = re.compile(r"-+BEGIN USER NKEY SEED-+\s+(\S+)")
_SEED_BYTES: Final = 36
"""Two of prefix, 32 of key, two of checksum:
https://docs.nats.io/reference/reference-protocols/nkeys"""


def read(path: Path) -> dict[str, Any]:
    """The options of `connect`, read anew at each call.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds nothing that can be used; the text says why.
    """
    with path.open("rb") as file:
        raw = file.read(BYTES_MAX + 1)
    if len(raw) > BYTES_MAX:
        raise ValueError(f"is larger than {BYTES_MAX} bytes")
    try:
        return options(raw.decode("ascii").strip())
    except UnicodeDecodeError:
        raise ValueError("is no text in ASCII") from None


def options(text: str) -> dict[str, Any]:
    """A .creds file's text; or `user:password`; or a token. Raises ValueError."""
    if "BEGIN NATS USER JWT" in text:
        jwt, seed = _JWT.search(text), _SEED.search(text)
        if jwt is None or seed is None:
            raise ValueError("has no user JWT, or no seed of an nkey")
        key = _key(seed[1])
        return {
            "user_jwt_cb": lambda: bytearray(jwt[1].encode()),
            "signature_cb": lambda nonce: base64.b64encode(key.sign(nonce.encode()).signature),
        }
    if not text or len(text.split()) != 1:
        raise ValueError("holds neither .creds, nor user:password, nor a token")
    user, colon, password = text.partition(":")
    return {"user": user, "password": password} if colon else {"token": text}


def _key(seed: str) -> Any:
    from nacl.signing import SigningKey  # noqa: PLC0415  # only for .creds files

    try:
        raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
    except binascii.Error:
        raw = b""
    if len(raw) != _SEED_BYTES or not seed.startswith("SU"):
        raise ValueError("has a seed that is no user's")
    return SigningKey(raw[2:34])
