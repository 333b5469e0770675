"""Where the InfluxDB token is: looked up anew at each use, so that a rotated one is taken."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import SecretStr

from agent.config.problems import escaped
from agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN_BYTES_MAX: Final = 4096
CREDENTIAL_NAME: Final = "influx_token"
INFLUX_VARIABLE: Final = "INFLUXDB_V2_TOKEN"

_OPERATION: Final = "read the token"
_TOKEN: Final = re.compile(rb"[!-~]+")
"""Visible ASCII: it goes into an HTTP header."""
_HINT: Final = (
    "set influxdb.token_file, or give the systemd credential "
    f"{CREDENTIAL_NAME} (LoadCredential=), or set {INFLUX_VARIABLE}"
)
_FILE_HINT: Final = (
    "write the token into that file, or leave token_file out where the store asks for none"
)


class NoToken:
    """The token of a store that asks for none."""

    def read(self) -> SecretStr:
        """Nothing: no header is sent."""
        return SecretStr("")


@dataclass(frozen=True, slots=True)
class TokenSource:
    """Finds the token: token_file, systemd's credential `influx_token`, `INFLUXDB_V2_TOKEN`.

    A place that is not there is passed over; one that is there but unusable is an error, so that
    no other token is taken in silence. For a sink: `TokenSource(sink.token_file, {})`.
    https://systemd.io/CREDENTIALS/

    Args:
        token_file: None = only the other places.
        environ: the process's environment.
    """

    token_file: Path | None
    environ: Mapping[str, str] = field(repr=False)

    def read(self) -> SecretStr:
        """The token as it is now.

        Raises:
            ConfigError: no place has one, or the first that has one is unusable.
        """
        return self.find()[1]

    def find(self) -> tuple[str, SecretStr]:
        """The place it was found in, in words, and the token as it is now. Raises as `read`."""
        places: list[tuple[str, Path]] = []
        if self.token_file is not None:
            places.append((f"token_file {escaped(str(self.token_file))}", self.token_file))
        directory = self.environ.get("CREDENTIALS_DIRECTORY")
        if directory:
            path = Path(directory) / CREDENTIAL_NAME
            places.append((f"systemd credential {escaped(str(path))}", path))
        for place, path in places:
            raw = _read_bounded(place, path)
            if raw is not None:
                return place, _token(place, raw)
        text = self.environ.get(INFLUX_VARIABLE)
        if text:
            raw = text.encode(errors="surrogateescape")
            return INFLUX_VARIABLE, _token(INFLUX_VARIABLE, raw)
        absent = [f"{place} does not exist" for place, _ in places]
        hint = _FILE_HINT if self.token_file and not self.environ else _HINT
        raise ConfigError(_OPERATION, "; ".join(["no token found", *absent]), hint)


def _read_bounded(place: str, path: Path) -> bytes | None:
    """What the file holds, cut just above the bound; None where there is no file."""
    try:
        with path.open("rb") as file:
            return file.read(TOKEN_BYTES_MAX + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        raise ConfigError(
            _OPERATION,
            f"{place} may not be read by the user perpflux runs as",
            "give that user read access, or pass it as a systemd credential",
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "unusable path"
        raise ConfigError(
            _OPERATION, f"{place} cannot be read: {reason}", "name a plain file with the token"
        ) from None


def _token(place: str, raw: bytes) -> SecretStr:
    """Raises ConfigError, which never holds any of `raw`."""
    if len(raw) > TOKEN_BYTES_MAX:
        raise ConfigError(
            _OPERATION,
            f"{place} is larger than {TOKEN_BYTES_MAX} bytes",
            "it must hold the token and nothing else",
        )
    token = raw.strip()
    if not token:
        raise ConfigError(_OPERATION, f"{place} is empty", "it must hold the token")
    if _TOKEN.fullmatch(token) is None:
        raise ConfigError(
            _OPERATION,
            f"{place} holds white space, control characters or non-ASCII within the token",
            "it must hold the token and nothing else",
        )
    return SecretStr(token.decode("ascii"))
