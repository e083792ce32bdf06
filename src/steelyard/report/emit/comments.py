"""Comments in emitted files: a heading of lines, and a word beside the keys that need one."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

WIDTH = 118


def comment(lines: Iterable[str]) -> str:
    """Return lines as a comment; long ones are broken, but a command (it begins with two spaces) is not.

    Example:
        >>> print(comment(["One replica.", "  vllm serve x"]), end="")
        # One replica.
        #   vllm serve x
    """
    broken: list[str] = []
    for line in lines:
        shown = "".join(letter if letter.isprintable() else " " for letter in line)
        broken += [shown] if shown.startswith("  ") else textwrap.wrap(shown, WIDTH - 2) or [""]
    return "".join(f"# {line}".rstrip() + "\n" for line in broken)


def yaml_text(content: Any, notes: Mapping[str, str] | None = None) -> str:
    """Return content as YAML, in its own order, with a comment above the first key of each name in `notes`.

    Example:
        >>> print(yaml_text({"port": 8000}, {"port": "of the address"}), end="")
        # of the address
        port: 8000
    """
    text = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
    for key, note in (notes or {}).items():
        pattern = re.compile(rf"^(?P<indent> *)(?P<item>- )?{re.escape(key)}:", re.MULTILINE)
        text = pattern.sub(rf"\g<indent># {note}\n\g<0>", text, count=1)
    return text


class _Dumper(yaml.SafeDumper):
    """Writes several lines as a block, and lists indented under their key."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - its own rule
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the same value twice is written twice
        return True


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _block)
