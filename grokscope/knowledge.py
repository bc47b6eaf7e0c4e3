"""What a measure and its columns must know beside the weights and the inputs that were trained on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

KNOWLEDGE = {
    "labels": "what the right answers are",
    "test": "examples that the network was not trained on",
    "task": "what the task is: two operands, a group, frequencies",
}
LATER = "end"  # of a measure that compares with the last checkpoint: known only afterwards

Knows = Sequence[str] | None  # nothing: not said, or of a column as its measure


def knowing_less(columns: Iterable[tuple[str, Knows]]) -> dict[tuple[str, ...], list[str]]:
    """Return the columns that say that they must know less than their measure, by what they must know."""
    found: dict[tuple[str, ...], list[str]] = {}
    for name, knows in columns:
        if knows is not None:
            found.setdefault(tuple(knows), []).append(name)
    return found


def knowledge_problem(knows: Knows, known: Knows, columns: Mapping[str, Knows]) -> str:
    """Return what is wrong with what a measure says that it knows, and its columns, or nothing.

    `known` is with what its baseline knows.
    """
    if strange := [word for word in knows or () if word not in KNOWLEDGE]:
        return f"knows must be of {', '.join(KNOWLEDGE)}, got {strange[0]!r}"
    for name, own in columns.items():
        if strange := [word for word in own or () if word not in (known or ())]:
            told = ", ".join(known or ()) or "nothing"
            return f"knows of {name} must be of what the measure knows ({told}), got {strange[0]!r}"
    return ""
