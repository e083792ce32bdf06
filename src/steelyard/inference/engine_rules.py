"""Which row of tables/engines.csv a name, a version and a date mean, and what it says of an engine."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from steelyard import catalog
from steelyard.catalog import Row
from steelyard.errors import CatalogError, InputError, UnknownError, unknown

_GAP = r"[\W_]*"  # "tensorrt-llm", "TensorRT LLM" and "tensorrtllm" are one name
_END = r"(?![a-z])"  # what follows a name is a version or a remark, not more of the word
_VERSION = re.compile(r"[\s@=:v-]*\d+\.\d|[\s@=:]+v?\d+\s*(?:$|[(,;])")  # "-0.9", or a number alone (" 1", "@1", "==1")
_ANNOUNCED = ("@", "=", ":", "/")  # what stands before a version or an image


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRules:
    """A row of the engines, over that of the engine which runs inside where it leaves cells empty."""

    row: Row
    inside: EngineRules | None = None

    @property
    def name(self) -> str:
        return self.row["engine"]

    @property
    def kernels(self) -> str:
        """The engine that does the work: the innermost one."""
        return self.inside.kernels if self.inside else self.name

    def text(self, column: str) -> str:
        """Return a text cell; empty where neither states it."""
        return self.row.get(column) or (self.inside.text(column) if self.inside else "")

    def value(self, column: str, default: float | None = None) -> float:
        """Return a figure in SI, or `default` where nobody states it.

        Raises:
            CatalogError: Nobody states it, and there is no default.
        """
        if self.row.figure(column) is None:
            if self.inside is not None:
                return self.inside.value(column, default)
            if default is not None:
                return default
        return self.row.value(column)


def engine_rules(name: str, version: str = "", *, as_of: str = "") -> EngineRules:
    """Return the rules of an engine.

    Args:
        name: As users and tables write it, with a version behind it or not ("TensorRT-LLM 0.9").
        version: Rules are those of the last row not after it.
        as_of: Without a version, rules are those of this date (YYYY-MM); of the newest when empty.

    Raises:
        CatalogError: It runs itself inside, or an engine that the catalogue does not have.
        InputError: The version has no number, or what is announced as one behind the name.
        UnknownError: The catalogue has no such engine; names those that are most like it.

    Example:
        >>> rules = engine_rules("NVIDIA NIM", "1.8")
        >>> rules.name, rules.kernels
        ('nim', 'tensorrt-llm')
    """
    if version and not version_numbers(version):
        wrong = "is the name of an image" if "/" in version else "has no number"
        raise InputError(f"engine version: {version!r} {wrong}; allowed: versions like 0.11.1, or none for the newest")
    return _resolved(name, version, as_of, ())


def _resolved(name: str, version: str, as_of: str, around: tuple[str, ...]) -> EngineRules:
    rows = catalog.table("engines").rows
    asked = name.casefold().strip()
    reach = {row.where: _reach(row, asked) for row in rows}
    longest = max(reach.values(), default=0)
    if longest == 0:
        known = {word for row in rows for word in (row["engine"], *row["matches"].split(";"))}
        raise UnknownError(unknown("engine", name, known, key=_bare, next_step="see `steelyard catalog list engines`"))
    matching = [row for row in rows if reach[row.where] == longest]
    stated = _stated_version(asked[longest:])
    row = _of_version(matching, version_numbers(version) or stated, as_of)
    if row["engine"] in around:
        raise CatalogError(f"{row.where}: {row['engine']} runs itself inside; see the column inside")
    return EngineRules(row=row, inside=_inside(row, as_of, (*around, row["engine"])))


def _inside(row: Row, as_of: str, around: tuple[str, ...]) -> EngineRules | None:
    if not row.get("inside"):
        return None
    try:
        return _resolved(row["inside"], "", as_of, around)
    except UnknownError as error:
        raise CatalogError(f"{row.where}: inside: {error}") from None


def _reach(row: Row, asked: str) -> int:
    """Return how many characters of a name one of a row's words takes up that it begins with; 0 where none does.

    The engine's own name must be all of it: "vllm-v0" is an engine, "vLLM v0.11" a version of another.
    """
    if _bare(asked) == _bare(row["engine"]) and not asked.endswith(_ANNOUNCED):
        return len(asked)
    found = [re.match(_pattern(word), asked) for word in row["matches"].split(";")]
    return max((match.end() for match in found if match), default=0)


@functools.lru_cache(maxsize=256)
def _pattern(word: str) -> re.Pattern[str]:
    return re.compile(_GAP.join(re.findall(r"[^\W\d_]+|\d+", word.casefold())) + _END)


def _bare(name: str) -> str:
    """Return a name without what stands between its words."""
    return re.sub(r"[\W_]+", "", name.casefold())


def _of_version(rows: list[Row], numbers: tuple[int, ...], as_of: str) -> Row:
    """Return the last row not after a version, else not after a date, else of all; the first where all are after."""
    ordered = sorted(rows, key=lambda row: version_numbers(row["version"]))  # of equal ones the file's last stays last
    if numbers:
        before = [row for row in ordered if version_numbers(row["version"]) <= numbers]
    elif as_of:
        ordered.sort(key=lambda row: row.get("since"))
        before = [row for row in ordered if row.get("since") <= as_of]
    else:
        before = ordered
    return (before or ordered)[-1 if before else 0]


def _stated_version(rest: str) -> tuple[int, ...]:
    """Return the version that stands behind an engine's name; none where a remark does.

    Raises:
        InputError: A version or an image is announced ("@", "=", ":", "/"), and none stands there that can be compared.
    """
    if _VERSION.match(rest):
        return version_numbers(rest)
    if rest.strip().startswith(_ANNOUNCED):
        raise InputError(
            f"engine: {rest.strip()!r} behind its name is no version; allowed: versions like @0.11.1, or none"
        )
    return ()


def version_numbers(version: str) -> tuple[int, ...]:
    """Return the first two numbers of a version, to compare versions by; none where it has no number.

    The name of an image ("registry/image:tag") is no version: its numbers are of what it was made from.

    Example:
        >>> version_numbers("0.11.1") < version_numbers("1") == version_numbers("1.0.0rc3")
        True
    """
    numbers = [] if "/" in version else [int(part) for part in re.findall(r"\d+", version)]
    return (*numbers, 0)[:2] if numbers else ()
