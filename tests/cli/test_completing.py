"""A shell that asks gets values: of measures, columns, tasks, recipes, figures, plugins, and runs."""

import pytest

from grokscope.cli import completing

ASKED = {
    ("analyze", "run", "-m", "pmi,weight_n"): "pmi,weight_norm",
    ("train", "mod"): "modadd",
    ("train", "modadd", "--oper"): "--operation",
    ("train", "modadd", "--loss", "m"): "mse",
}


def test_a_shell_is_offered_values_and_torch_is_not_loaded(fresh):
    variables = [
        {
            "_GROKSCOPE_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(["grokscope", *words]),
            "COMP_CWORD": str(len(words)),
        }
        for words in ASKED
    ]
    answers = fresh(*ASKED, variables=variables)
    for (offered, loaded), has in zip(answers, ASKED.values(), strict=True):
        assert has in offered.split()
        assert "torch" not in loaded


@pytest.mark.parametrize(
    ("offer", "incomplete", "has"),
    [
        (completing.measures, "activation_s", "activation_sparsity"),
        (completing.measure_names, "fit,oinfo.syn", "fit,oinfo.synergy"),
        (completing.measure_names, "matrix", "matrix_information"),
        (completing.columns, "oinfo.synergy,oinfo.red", "oinfo.synergy,oinfo.redundancy"),
        (completing.column, "weight_norm.l2_a", "weight_norm.l2_all"),
        (completing.tasks, "par", "parity"),
        (completing.models, "trans", "transformer"),
        (completing.recipes, "nan", "nanda"),
        (completing.figures, "clauw-2", "clauw-2"),
        (completing.plugin_names, "oin", "oinfo"),
    ],
)
def test_what_is_registered_is_offered(offer, incomplete, has):
    offered = offer(incomplete)
    assert has in offered
    assert all(each.startswith(incomplete) for each in offered)
    assert offer("no such thing") == []


def test_run_directories_are_offered_and_folders_that_may_hold_some(run_path, tmp_path, monkeypatch):
    (tmp_path / "more" / "deep").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "file.txt").write_text("")
    monkeypatch.chdir(tmp_path)
    assert completing.runs("") == ["more/", "run"]
    assert completing.runs("ru") == ["run"]
    assert completing.runs("more/") == ["more/deep/"]
    assert completing.runs("nowhere/") == []
