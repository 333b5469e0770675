"""Writes YAML: as much of it as the provisioning files need, without a library.

Texts are quoted as in JSON, which YAML includes; those of several lines are literal blocks.
"""

from __future__ import annotations

import json
from typing import Any, Final

_STEP: Final = "  "


def yaml_text(value: Any) -> str:
    """The document: dicts, lists, texts, numbers and truth values."""
    return "\n".join(_lines(value, "")) + "\n"


def _lines(value: Any, indent: str) -> list[str]:
    if isinstance(value, dict):
        return [line for key, each in value.items() for line in _entry(f"{key}:", each, indent)]
    lines = []
    for each in value:
        if isinstance(each, dict):
            first, *rest = _lines(each, indent + _STEP)
            lines += [f"{indent}- {first.lstrip()}", *rest]
        else:
            lines.append(f"{indent}- {json.dumps(each, ensure_ascii=False)}")
    return lines


def _entry(head: str, value: Any, indent: str) -> list[str]:
    if isinstance(value, dict | list):
        return [indent + head, *_lines(value, indent + _STEP)]
    if isinstance(value, str) and "\n" in value:
        inner = indent + _STEP
        return [f"{indent}{head} |-", *(inner + line if line else "" for line in value.split("\n"))]
    return [f"{indent}{head} {json.dumps(value, ensure_ascii=False)}"]
