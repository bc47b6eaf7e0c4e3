"""Which layout of names a file has: the network's own, Nanda et al.'s, TransformerLens's, under prefixes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from grokscope.errors import UnknownName, UsageError
from grokscope.importing.prefixes import COUNTER, check_strip, peelings
from grokscope.run.kinds import Kinds, differences, kinds_of, too_wide, untied, wrong_types
from grokscope.run.rename import Rule, arrange, new_names, read_rule, tied

if TYPE_CHECKING:
    from torch import Tensor

    from grokscope.models.network import Network

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
    """The rules that were chosen.

    Attributes:
        layout: the built-in layout that they come from.
        rules: from the file's names to the network's.
        ties: further names of the network for tensors that have one in the file, each with that one.
        taken: a beginning of the file's names that was taken off, and that no known wrapper has.
    """

    layout: str
    rules: tuple[Rule, ...]
    ties: Mapping[str, str] = field(default_factory=dict)
    taken: str = ""

    def apply(self, state: Mapping[str, Tensor], kinds: Kinds) -> dict[str, Tensor]:
        """Return the network's state dict of the file's; raises ValueError as `arrange` does."""
        return kinds.whole(tied(arrange(state, self.rules), self.ties))


@dataclass(frozen=True)
class Naming:
    """What is asked for of names.

    Attributes:
        layout: `auto`, `own`, `nanda` or `transformer_lens`.
        rename: rules that stand over the layout's.
        strip: what is taken off names' beginnings.
        ties: further names for tensors, the network's, each with the one that the file has.
    """

    layout: str = "auto"
    rename: Sequence[Rule] = ()
    strip: Sequence[str] = ()
    ties: Mapping[str, str] = field(default_factory=dict)


def choose(state: Mapping[str, Tensor], network: Network, naming: Naming, where: str) -> Renaming:
    """Return the first renaming under which `state`, the tensors of the file `where`, is the network's.

    Raises UnknownName for a rule about a tensor that is not there, and UsageError with names and shapes when
    none fits.
    """
    if naming.layout != "auto" and naming.layout not in LAYOUTS:
        raise UnknownName("layout", naming.layout, ["auto", *LAYOUTS])
    for rule in naming.rename:
        if not any(rule.matches(name) for name in state):
            raise UnknownName("tensor to rename", rule.old, state)
    expected, kinds = network.state_dict(), kinds_of(network)
    check_strip(naming.strip, [*state, *expected])
    for name in (*naming.ties, *naming.ties.values()):
        if name not in expected:
            raise UnknownName("tensor to tie", name, expected)
    best = _best_by_name(_choices(state, expected, naming), state, kinds, expected)
    complaints = [complaint(state, choice, network) for choice in best]
    place = min(range(len(best)), key=lambda place: complaints[place][0])
    if complaints[place][0]:
        raise UsageError(
            f"{where} does not fit the network (layout {best[place].layout}): {complaints[place][1]}; "
            "change the network's settings with `settings`, or names with `rename` "
            "(OLD= leaves a tensor out)"
        )
    return best[place]


def _choices(
    state: Mapping[str, Tensor], expected: Mapping[str, Tensor], naming: Naming
) -> Iterator[Renaming]:
    """Yield the renamings that may fit; those of the first layout, and that change names least, first."""
    own, theirs = peelings(list(expected), naming.strip), peelings(list(state), naming.strip)
    for layout in LAYOUTS if naming.layout == "auto" else [naming.layout]:
        for there in own:
            back = {short: name for name, short in there.names.items()}
            for here in theirs:
                new = {old: LAYOUTS[layout](short) for old, short in here.names.items()}
                built_in = [rule for rule in _rules(state, expected, new, back) if rule not in naming.rename]
                yield Renaming(layout, (*naming.rename, *built_in), naming.ties, here.taken)


def _rules(
    state: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    new: Mapping[str, str],
    back: Mapping[str, str],
) -> Iterator[Rule]:
    """Yield a rule for each tensor that is renamed.

    `new` has what a layout makes of the file's names, `back` the network's names by their short forms.
    """
    for old, tensor in state.items():
        rule = read_rule(f"{old}={new[old]}")
        rule = replace(rule, new=back.get(rule.new, "" if rule.new == COUNTER else rule.new))
        if rule.new == "unembed.weight" and rule.steps == (".T",):
            own = expected.get("unembed.weight")
            if own is not None and tensor.ndim == 2 and tensor.shape[1] == own.shape[0] + 1:
                rule = Rule(rule.old, rule.new, (".T", "[:-1]"))
        if rule != Rule(old, old):
            yield rule


def _best_by_name(
    choices: Iterable[Renaming], state: Iterable[str], kinds: Kinds, expected: Mapping[str, Tensor]
) -> list[Renaming]:
    """Return the choices under which the fewest names are missing or unknown; no tensor is looked at."""
    best: list[Renaming] = []
    fewest = -1
    for choice in choices:
        arranged = tied(new_names(state, choice.rules), choice.ties)
        wrong = len(kinds.whole(arranged).keys() ^ expected.keys())
        if fewest < 0 or wrong < fewest:
            best, fewest = [], wrong
        if wrong == fewest and choice.rules not in [known.rules for known in best]:
            best.append(choice)
    return best


def complaint(state: Mapping[str, Tensor], renaming: Renaming, network: Network) -> tuple[int, str]:
    """Return how many things are wrong with `state` once renamed, and what: (0, "") when it fits."""
    kinds, expected = kinds_of(network), network.state_dict()
    try:
        found = renaming.apply(state, kinds)
    except ValueError as error:
        return len(expected) + 1, str(error)
    count, words = differences(expected, found)
    problem = "" if count else wrong_types(kinds.of(found)) or untied(kinds, found) or too_wide(found)
    return (1, problem) if problem else (count, words)
