"""What is said of a library that is missing: what needs it, which extra brings it, how to do without."""

import pytest

from grokscope.errors import DataError, UsageError
from grokscope.extras import from_extra


@pytest.mark.parametrize(
    ("module", "library"),
    [("ruptures", "ruptures"), ("sklearn.datasets", "scikit-learn")],
)
def test_a_missing_library_is_named_with_the_extra_that_brings_it(module, library):
    with pytest.raises(UsageError) as error, from_extra("report", "a change point"):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)
    assert str(error.value) == f"a change point needs {library}: pip install 'grokscope[report]'"


def test_it_may_say_how_to_do_without_and_be_another_error():
    with (
        pytest.raises(DataError) as error,
        from_extra("data", "`download`", otherwise="put them there yourself", fault=DataError),
    ):
        import no_such_library  # noqa: F401
    said = "`download` needs no_such_library: pip install 'grokscope[data]', or put them there yourself"
    assert str(error.value) == said
