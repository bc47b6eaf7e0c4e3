"""Which layout of names a file has: the network's own, Nanda et al.'s, TransformerLens's, under a prefix."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grokscope.errors import UnknownName, UsageError
from grokscope.run.kinds import differences, kinds_of, untied, wrong_types
from grokscope.run.rename import Rule, arrange, read_rule

if TYPE_CHECKING:
    from torch import Tensor

    from grokscope.models.network import Network

PREFIXES = ("model", "net", "network", "module", "_orig_mod")

# By the file's names: the published code keeps embeddings as columns and attention as the network here does.
_NANDA = {"embed.W_E": "embed.weight.T", "pos_embed.W_pos": "pos_embed", "unembed.W_U": "unembed.weight.T"}
_LENS = {"embed.W_E": "embed.weight", "pos_embed.W_pos": "pos_embed", "unembed.W_U": "unembed.weight.T"}
_LENS_BLOCK = {
    **{f"attn.{name}": f"attn.{name}.T" for name in ("W_Q", "W_K", "W_V")},
    "attn.W_O": "attn.W_O.join.T",
    "mlp.W_in": "mlp.W_in.T",
    "mlp.W_out": "mlp.W_out.T",
    **{f"attn.{name}": "0" for name in ("b_Q", "b_K", "b_V", "b_O")},
}
_BUFFERS = ("mask", "IGNORE")


def _own(name: str) -> str:
    return name


def nanda(name: str) -> str:
    """Return what a tensor of Nanda et al.'s published code becomes; buffers become nothing."""
    return "" if name.rpartition(".")[2] in _BUFFERS else _NANDA.get(name, name)


def transformer_lens(name: str) -> str:
    """Return what a tensor of a TransformerLens HookedTransformer becomes; biases unknown here must be 0."""
    if name.rpartition(".")[2] in _BUFFERS:
        return ""
    if name == "unembed.b_U":
        return "0"
    block, _, inner = name.partition(".attn.") if ".attn." in name else name.partition(".mlp.")
    inner = name.removeprefix(f"{block}.")
    if block.startswith("blocks.") and inner in _LENS_BLOCK:
        new = _LENS_BLOCK[inner]
        return new if new == "0" else f"{block}.{new}"
    return _LENS.get(name, name)


LAYOUTS: dict[str, Callable[[str], str]] = {
    "own": _own,
    "nanda": nanda,
    "transformer_lens": transformer_lens,
}


@dataclass(frozen=True)
class Renaming:
    """The rules that were chosen, and the built-in layout that they come from."""

    layout: str
    rules: tuple[Rule, ...]


def choose(
    state: Mapping[str, Tensor],
    network: Network,
    layout: str,
    rename: Sequence[Rule],
    where: str,
) -> Renaming:
    """Return the first renaming under which `state` is the network's, `rename` standing over the layout's.

    Args:
        state: the file's tensors by its names.
        network: the network that they must be of.
        layout: `auto`, `own`, `nanda` or `transformer_lens`.
        rename: the rules that were given.
        where: the file, for the message.

    Raises UnknownName for a rule about a tensor that is not there, and UsageError with names and shapes when
    none fits.
    """
    if layout != "auto" and layout not in LAYOUTS:
        raise UnknownName("layout", layout, ["auto", *LAYOUTS])
    for rule in rename:
        if not any(rule.matches(name) for name in state):
            raise UnknownName("tensor to rename", rule.old, state)
    choices = list(_choices(state, network.state_dict(), layout, rename))
    complaints = [complaint(state, choice.rules, network) for choice in choices]
    best = min(range(len(choices)), key=lambda place: complaints[place][0])
    if complaints[best][0]:
        raise UsageError(
            f"{where} does not fit the network (layout {choices[best].layout}): {complaints[best][1]}; "
            "change the network's settings with `settings`, or names with `rename` "
            "(OLD= leaves a tensor out)"
        )
    return choices[best]


def _choices(
    state: Mapping[str, Tensor], expected: Mapping[str, Tensor], layout: str, rename: Sequence[Rule]
) -> Iterator[Renaming]:
    prefixes = ["", *(f"{word}." for word in PREFIXES if any(name.startswith(f"{word}.") for name in state))]
    for name in LAYOUTS if layout == "auto" else [layout]:
        for prefix in prefixes:
            built_in = _rules(state, expected, LAYOUTS[name], prefix)
            yield Renaming(name, (*rename, *(rule for rule in built_in if rule not in rename)))


def _rules(
    state: Mapping[str, Tensor], expected: Mapping[str, Tensor], new_name: Callable[[str], str], prefix: str
) -> Iterator[Rule]:
    for old, tensor in state.items():
        rule = read_rule(f"{old}={new_name(old.removeprefix(prefix))}")
        if rule.new == "unembed.weight" and rule.steps == (".T",):
            own = expected.get("unembed.weight")
            if own is not None and tensor.ndim == 2 and tensor.shape[1] == own.shape[0] + 1:
                rule = Rule(rule.old, rule.new, (".T", "[:-1]"))
        if rule != Rule(old, old):
            yield rule


def complaint(state: Mapping[str, Tensor], rules: Sequence[Rule], network: Network) -> tuple[int, str]:
    """Return how many things are wrong with `state` under `rules`, and what: (0, "") when it fits."""
    kinds, expected = kinds_of(network), network.state_dict()
    try:
        found = kinds.whole(arrange(state, rules))
    except ValueError as error:
        return len(expected) + 1, str(error)
    count, words = differences(expected, found)
    problem = "" if count else wrong_types(kinds.of(found)) or untied(kinds, found)
    return (1, problem) if problem else (count, words)
