"""Files that hold one secret each: written at once or not at all, readable by whom it is for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from agent.errors import PerpfluxError

SECRET_BYTES_MAX: Final = 4096
FOLDER_MODE: Final = 0o700


def read_secret(path: Path) -> SecretStr | None:
    """What the file holds without white space around it; None = no such file, or an empty one.

    Raises:
        PerpfluxError: it is there but cannot be read.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(SECRET_BYTES_MAX + 1)
        text = raw.decode("ascii").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it holds no token"
        raise PerpfluxError("read a token file", f"{path}: {reason}", "name another file") from None
    if len(raw) > SECRET_BYTES_MAX:
        raise PerpfluxError("read a token file", f"{path} holds no token", "name another file")
    return SecretStr(text) if text else None


def write_secret(path: Path, secret: SecretStr, mode: int) -> None:
    """Write the secret and a line end; folders are made for the owner only.

    Raises:
        PerpfluxError: it cannot be written; what was there before is still there.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        # Made with its mode and never opened by anyone else's: no moment in which others may read.
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            os.fchmod(descriptor, mode)
            file.write(f"{secret.get_secret_value()}\n")
            file.flush()
            os.fsync(descriptor)
        beside.replace(path)
    except OSError as error:
        raise PerpfluxError(
            "write a token file", f"{path}: {error.strerror}", "name a file that may be written"
        ) from None
