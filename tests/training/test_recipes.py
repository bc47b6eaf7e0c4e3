import pytest

from grokscope.errors import SettingError, UnknownName
from grokscope.models import MODELS
from grokscope.tasks import TASKS
from grokscope.training import train
from grokscope.training.config import resolve_config
from grokscope.training.recipes import load_recipe, load_recipes, recipe_text
from grokscope.training.settings import TRAINING

RECIPES = load_recipes()


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_complete_and_is_what_it_resolves_to(name):
    recipe = RECIPES[name]
    assert recipe.name == name
    assert recipe.summary
    assert recipe.source
    assert recipe.must_show
    assert recipe.seen
    config = resolve_config(recipe.task, recipe=name)
    # TOML knows no None: what a recipe leaves unset, and only that, it does not name.
    assert {table: dict(recipe.settings[table]) for table in recipe.settings} == {
        table: {name: value for name, value in config[table].items() if value is not None}
        for table in ("task", "model", "training")
    }
    declared = {
        "task": TASKS[recipe.task].parameters,
        "model": MODELS[recipe.settings["model"]["name"]].parameters,
        "training": {
            name: parameter for name, parameter in TRAINING.items() if parameter.default is not None
        },
    }
    # What came later is left out at its default: the recipe's runs of before stay its runs.
    for table, parameters in declared.items():
        missing = set(parameters) - set(recipe.settings[table])
        assert all(parameters[name].param.local or parameters[name].param.later for name in missing)


def test_the_published_settings_of_clauw():
    config = resolve_config("modadd", recipe="clauw")
    training = config["training"]
    assert config["task"] == {
        "name": "modadd",
        "p": 97,
        "operation": "add",
        "train_fraction": 0.4,
        "split_seed": 0,
        "split": "torch",
    }
    assert config["model"] == {
        "name": "mlp",
        "hidden": [250],
        "last_bias": False,
        "hidden_bias": False,
    }
    assert (training["lr"], training["betas"], training["weight_decay"]) == (0.03, [0.9, 0.98], 2.0)
    assert (training["loss"], training["batch_size"], training["checkpoint_every"]) == (
        "cross_entropy",
        0,
        "5",
    )
    assert (training["warmup_steps"], training["init_scale"]) == (0, 1.0)


def test_clauw_with_the_bias_of_the_papers_formula_differs_in_nothing_else():
    plain, bias = (resolve_config("modadd", recipe=name) for name in ("clauw", "clauw-bias"))
    assert bias["model"] == {"name": "mlp", "hidden": [250], "last_bias": False}
    assert (plain["task"], plain["training"]) == (bias["task"], bias["training"])


def test_alpha_8_holds_the_norm_of_the_weights_as_drawn():
    config = resolve_config("modadd", recipe="clauw-alpha8")
    assert config["model"]["hidden_bias"] is False
    names = ("init_scale", "init_scale_only", "init_zero", "constrain_norm", "weight_decay")
    assert [config["training"][name] for name in names] == [8.0, "weights", "last_layer", "drawn", 0.0]


def test_the_published_settings_of_nanda():
    config = resolve_config("modadd", recipe="nanda")
    training = config["training"]
    assert config["task"] == {
        "name": "modadd",
        "p": 113,
        "operation": "add",
        "train_fraction": 0.3,
        "split_seed": 0,
        "split": "torch",
    }
    assert config["model"] == {"name": "transformer", "d_model": 128, "heads": 4, "d_head": 32, "d_mlp": 512}
    assert (training["lr"], training["betas"], training["weight_decay"]) == (1e-3, [0.9, 0.98], 1.0)
    assert (training["warmup_steps"], training["batch_size"], training["checkpoint_every"]) == (10, 0, "100")
    assert training["loss_dtype"] == "float64"


def test_where_there_is_no_accuracy_a_recipe_says_what_counts(tmp_path):
    assert RECIPES["polynomial"].outcome == {"column": "test_loss", "below": 0.1}
    text = (
        recipe_text("polynomial").replace("below = 0.1", "below = 5.0").replace("steps = 8000", "steps = 4")
    )
    path = tmp_path / "lenient.toml"
    path.write_text(text.replace("log_every = 20", "log_every = 1"))
    run = train("polynomial", recipe=str(path), out=tmp_path / "run")
    assert (run.memorisation_step(), run.grokking_step()) == (0, 0)
    assert run.goals[1].words == "test_loss ≤ 5"
    assert "outcome" not in resolve_config("modadd")


def test_each_task_has_at_most_one_default_recipe():
    defaults = [recipe.task for recipe in RECIPES.values() if recipe.default]
    assert len(set(defaults)) == len(defaults)
    assert RECIPES["clauw"].default


def test_a_recipe_may_be_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        recipe_text("clauw").replace('name = "clauw"', 'name = "mine"').replace("p = 97", "p = 31")
    )
    assert load_recipe(path).name == "mine"
    config = resolve_config("modadd", recipe=str(path))
    assert (config["recipe"], config["task"]["p"]) == ("mine", 31)


def test_an_unknown_recipe_lists_near_ones():
    with pytest.raises(UnknownName, match="unknown recipe 'claw': did you mean clauw"):
        load_recipe("claw")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = ", "cannot be read"),
        ('name = "x"', 'must say task.name = "..."'),
        ('nmae = "x"', "'nmae'"),
        ("name = 3", "name must be text"),
        ('name = "x"\ntask = "modadd"', "task must be a table"),
        ('[task]\nname = "modadd"\n[model]\nname = "mlp"', 'must say name = "..."'),
        ('name = "x"\n[outcome]\ncolumn = "test_loss"', "with either `above` or `below`"),
    ],
)
def test_a_bad_file_is_refused_with_its_path(tmp_path, text, words):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(SettingError) as caught:
        load_recipe(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(SettingError, match=r"none\.toml cannot be read"):
        load_recipe(tmp_path / "none.toml")
