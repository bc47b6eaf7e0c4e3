from typing import Annotated

import pytest

from grokscope.declare import Param, task
from grokscope.errors import SettingError, UnknownName
from grokscope.tasks import TASKS
from grokscope.training.config import resolve_config
from grokscope.training.recipes import load_recipes, recipe_text


def test_settings_go_over_the_recipe():
    config = resolve_config("modadd", settings={"task.p": "53", "model.hidden": "8,9", "training.lr": "0.5"})
    assert config["recipe"] == "clauw"
    assert config["task"]["p"] == 53
    assert config["model"]["hidden"] == [8, 9]
    assert config["training"]["lr"] == 0.5
    assert config["training"]["weight_decay"] == 2.0


def test_another_model_takes_its_own_defaults():
    config = resolve_config("modadd", settings={"model.name": "transformer", "model.d_mlp": 64})
    assert config["model"] == {"name": "transformer", "d_model": 128, "heads": 4, "d_head": 32, "d_mlp": 64}


def test_a_task_without_recipe_takes_declared_defaults():
    @task
    def majority(*, bits: Annotated[int, Param(min=1)] = 4):
        """Majority."""

    config = resolve_config("majority", tasks={**TASKS, "majority": majority})
    assert config["recipe"] == ""
    assert config["task"] == {"name": "majority", "bits": 4}
    assert config["model"]["name"] == "mlp"
    assert config["training"]["lr"] == 1e-3


def test_the_schedule_is_text_however_it_is_given():
    for given in (7, "7", " 7 "):
        config = resolve_config("modadd", settings={"training.checkpoint_every": given})
        assert config["training"]["checkpoint_every"] == "7"


def test_everything_is_named_in_the_configuration():
    config = resolve_config("modadd")
    assert set(config) == {"recipe", "task", "model", "training"}
    assert set(config["training"]) == {
        *("loss", "optimizer", "lr", "betas", "eps", "weight_decay", "warmup_steps", "batch_size", "steps"),
        *("checkpoint_every", "log_every", "seed", "init_scale", "clip_norm", "dtype", "device"),
        *("init_scale_only", "init_zero", "perturb", "abelian", "anti_norm", "dropout", "constrain_norm"),
        *("subnetwork", "masked_units", "masked_layer", "grokfast_ema", "grokfast_ma", "orthogonal_gradient"),
    }


def test_interventions_are_off_unless_asked_for_and_none_takes_them_off():
    off = resolve_config("modadd")["training"]
    names = ("perturb", "abelian", "anti_norm", "dropout", "constrain_norm", "subnetwork", "masked_units")
    assert [off[name] for name in names] == [None] * len(names)
    given = {"training.perturb": "0.5,0.4", "training.abelian": "100", "training.grokfast_ma": "100,5"}
    on = resolve_config("modadd", settings=given)["training"]
    assert (on["perturb"], on["abelian"], on["grokfast_ma"]) == ([0.5, 0.4], 100.0, [100.0, 5.0])
    assert resolve_config("modadd", settings=dict.fromkeys(given, "none"))["training"] == off


def test_the_abelian_term_is_a_mean_where_it_is_given_anew_and_a_sum_where_it_was_stored_without(tmp_path):
    def reduction(**options):
        return resolve_config("modadd", **options)["training"].get("abelian_reduction", "left out")

    assert reduction() == "left out"
    assert reduction(settings={"abelian": 100}) == "mean"
    assert reduction(recipe="nanda", settings={"abelian": 100}) == "mean"
    assert reduction(recipe="nanda-abelian") == "mean"
    assert reduction(recipe="nanda-abelian", settings={"abelian": "none"}) == "left out"
    assert reduction(settings={"abelian": 100, "abelian_reduction": "sum"}) == "left out"
    before = recipe_text("nanda-abelian").replace('abelian_reduction = "mean"', "")
    (tmp_path / "before.toml").write_text(before)
    assert reduction(recipe=tmp_path / "before.toml") == "left out"
    assert reduction(recipe=tmp_path / "before.toml", settings={"abelian": 50}) == "left out"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("training.weigth_decay", "did you mean training.weight_decay"),
        ("task.q", "unknown setting 'task.q'"),
        ("task.name", "unknown setting 'task.name'"),
        ("wieght_decay", "did you mean weight_decay"),
        ("name", "unknown setting 'name'"),
        ("model.d_model", "unknown setting 'model.d_model'"),
    ],
)
def test_unknown_settings_are_refused(name, words):
    with pytest.raises(UnknownName) as caught:
        resolve_config("modadd", settings={name: 1})
    assert words in str(caught.value)


def test_unknown_tasks_models_and_recipes_list_near_ones():
    with pytest.raises(UnknownName, match="unknown task 'modad': did you mean modadd"):
        resolve_config("modad")
    with pytest.raises(UnknownName, match="unknown model 'transfomer': did you mean transformer"):
        resolve_config("modadd", settings={"model.name": "transfomer"})
    with pytest.raises(UnknownName, match="unknown recipe 'nand': did you mean nanda"):
        resolve_config("modadd", recipe="nand")


def test_a_recipe_of_another_task_is_refused():
    @task
    def majority(*, bits: int = 4):
        """Majority."""

    with pytest.raises(SettingError, match="recipe clauw must be one for task majority, got one for modadd"):
        resolve_config("majority", recipe="clauw", tasks={"majority": majority})


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("training.lr", 0, "training.lr must be float > 0"),
        ("training.lr", "inf", "training.lr must be float"),
        ("training.lr", "fast", "got 'fast'"),
        ("training.betas", [0.9], "training.betas must be two numbers"),
        ("training.betas", [0.9, 1.0], "training.betas must be list of float"),
        ("training.steps", 0, "training.steps must be int >= 1"),
        ("training.steps", 10**8, "training.steps must be int"),
        ("training.batch_size", -1, "training.batch_size must be int >= 0"),
        ("training.log_every", 0, "training.log_every must be int >= 1"),
        ("training.loss", "hinge", "training.loss must be cross_entropy | mse"),
        ("training.dtype", "float16", "training.dtype must be float32 | float64"),
        ("training.optimizer", "lion", "training.optimizer must be adamw | adam | sgd | muon"),
        ("training.checkpoint_every", "log:x", "training.checkpoint_every must be N"),
        ("training.checkpoint_every", "5,601", "up to training.steps=600"),
        ("training.init_scale", 0, "training.init_scale must be float > 0"),
        ("training.seed", 2**63, "training.seed must be int"),
        ("training.perturb", "0.5", "training.perturb must be two numbers"),
        ("training.perturb", "0.5,-1", "training.perturb must be list of float or none >= 0"),
        ("training.abelian", 0, "training.abelian must be float or none > 0"),
        ("training.anti_norm", -1, "training.anti_norm must be float or none > 0"),
        ("training.dropout", 1, "training.dropout must be float or none > 0, < 1"),
        ("training.constrain_norm", "biases", "must be all | weights | drawn or none"),
        ("training.grokfast_ema", "1,2", "training.grokfast_ema must have alpha < 1, got 1"),
        ("training.grokfast_ma", "0,2", "training.grokfast_ma must have a whole window >= 1, got 0"),
        ("training.grokfast_ma", "2.5,2", "training.grokfast_ma must have a whole window >= 1, got 2.5"),
        ("training.grokfast_ma", "5", "training.grokfast_ma must be two numbers"),
        ("training.orthogonal_gradient", "yes", "must be tensor | network or none"),
        ("training.masked_units", "-1", "training.masked_units must be list of int or none >= 0"),
        ("training.subnetwork", "somewhere", "training.subnetwork must be RUN@STEP"),
        ("training.subnetwork", "@5", "training.subnetwork must be RUN@STEP"),
        ("training.subnetwork", "run@five", "training.subnetwork must be RUN@STEP"),
        ("training.subnetwork", "run@5:backwards", "training.subnetwork must be RUN@STEP"),
    ],
)
def test_bad_values_are_refused(name, value, words):
    with pytest.raises(SettingError) as caught:
        resolve_config("modadd", settings={name: value})
    assert words in str(caught.value)


def test_two_grokfast_filters_are_one_too_many():
    given = {"training.grokfast_ema": "0.98,2", "training.grokfast_ma": "100,5"}
    with pytest.raises(SettingError, match=r"grokfast_ema and training\.grokfast_ma must not both be set"):
        resolve_config("modadd", settings=given)


IN_VAIN = [
    ("synergistic_dropout_share", 0.3, "`synergistic_dropout` or `dropped_units`, got none"),
    ("synergistic_dropout_share", 0.5, "`synergistic_dropout` or `dropped_units`, got none"),
    ("dropped_layer", "layers.0_post", "`synergistic_dropout` or `dropped_units`, got none"),
    ("masked_layer", "layers.0_post", "`subnetwork` or `masked_units`, got none"),
    ("abelian_reduction", "sum", "`abelian`, got none"),
    ("abelian_reduction", "mean", "`abelian`, got none"),
    ("init_scale_only", "weights", "an `init_scale` other than 1, got 1.0"),
    ("momentum", 0.9, "`optimizer` sgd, got adamw"),
    ("nesterov", True, "`optimizer` sgd, got adamw"),
    ("muon_ns_steps", 6, "`optimizer` muon, got adamw"),
    ("muon_nesterov", False, "`optimizer` muon, got adamw"),
]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        *(({name: value}, f"`{name}` must be given with {words}") for name, value, words in IN_VAIN),
        ({"optimizer": "sgd", "betas": "0.9,0.99"}, "with `optimizer` adamw, adam or muon, got sgd"),
        ({"optimizer": "sgd", "eps": 1e-9}, "`eps` must be given with `optimizer` adamw, adam or muon"),
        ({"dtype": "float64", "loss_dtype": "float32"}, "with `dtype` float32, got float64"),
        ({"dropped_units": [], "synergistic_dropout_share": 0.3}, "got none: it has no effect otherwise"),
    ],
    ids=str,
)
def test_a_setting_that_would_have_no_effect_is_refused(given, words):
    with pytest.raises(SettingError) as caught:
        resolve_config("modadd", settings={f"training.{name}": value for name, value in given.items()})
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        {"masked_layer": "none", "dropped_layer": "none", "init_scale_only": "none", "muon_lr": "none"},
        {"betas": "0.9,0.99", "eps": 1e-9},
        {"optimizer": "muon", "betas": "0.9,0.99", "muon_lr": 0.1},
        {"dtype": "float64", "loss_dtype": "float64"},
        {"dropped_units": "1", "dropped_layer": "layers.0_post", "synergistic_dropout_share": 0.3},
        {"masked_units": "1", "masked_layer": "layers.0_post"},
    ],
    ids=str,
)
def test_a_setting_that_is_off_or_has_an_effect_is_taken(given):
    training = resolve_config("modadd", settings=given)["training"]
    assert resolve_config("modadd", settings=training)["training"] == training


@pytest.mark.parametrize("name", load_recipes())
def test_what_a_recipe_trains_can_be_trained_from_its_stored_configuration(name):
    recipe = load_recipes()[name]
    stored = resolve_config(recipe.task, recipe=name)
    settings = {f"training.{key}": value for key, value in stored["training"].items()}
    assert resolve_config(recipe.task, recipe=name, settings=settings) == stored


def test_a_recipe_may_have_what_acts_only_beside_what_is_given(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(recipe_text("clauw") + "synergistic_dropout_share = 0.3\ninit_scale_only = 'weights'\n")
    plain = resolve_config("modadd", recipe=str(path))["training"]
    assert "synergistic_dropout_share" not in plain
    given = {"dropped_units": "1,2", "init_scale": 2}
    training = resolve_config("modadd", recipe=str(path), settings=given)["training"]
    assert training["synergistic_dropout_share"] == 0.3
    assert resolve_config("modadd", recipe=str(path), settings=plain)["training"] == plain
