#!/bin/sh
# Makes a virtual environment, installs grokscope with what its tests need, checks style and types, and runs
# the tests. Arguments go to pytest: `sh tests/run.sh -m slow` runs the slow reproductions, `-m crash` the
# harness that kills, fills disks and damages. With --lowest as the first argument it installs the lowest
# versions that pyproject.toml admits, into another environment, and leaves style and types out. With --coverage
# it says which branches the tests go through, and fails below the floor in pyproject.toml. With --benchmarks it
# races grokscope against other packages, in an environment of their own, and writes the guide to speed anew.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
venv=${GROKSCOPE_TEST_VENV:-.venv/tests}
lowest=
coverage=
benchmarks=
if [ "${1:-}" = --lowest ]; then
    shift
    lowest=yes
    venv=${GROKSCOPE_TEST_VENV:-.venv/lowest}
elif [ "${1:-}" = --coverage ]; then
    shift
    coverage=yes
elif [ "${1:-}" = --benchmarks ]; then
    shift
    benchmarks=yes
    venv=${GROKSCOPE_TEST_VENV:-.venv/benchmarks}
fi

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "grokscope needs Python 3.11 or newer; $python is $("$python" --version). Set PYTHON to a newer one." >&2
    exit 2
}
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
install() {
    "$venv/bin/python" -m pip install --quiet --constraint tests/constraints.txt "$@"
}
if [ "$lowest" ]; then
    "$venv/bin/python" tests/lowest.py > "$venv/lowest.txt"
    install --constraint "$venv/lowest.txt" --editable '.[dev]'
elif [ "$benchmarks" ]; then
    install --editable '.[bench]'
    # Two rivals ask for it and none uses it here; one of another torch's keeps transformers from being imported.
    "$venv/bin/python" -c 'import torchvision' 2>/dev/null || "$venv/bin/python" -m pip uninstall --quiet --yes torchvision
    export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
    # What rivals warn of is not grokscope's to mend.
    "$venv/bin/python" -m pytest tests/benchmarks --override-ini addopts= --quiet -W ignore \
        --races examples/results/speed.json "$@"
    exec "$venv/bin/python" examples/speed_tables.py
else
    install --constraint tests/together.txt --editable '.[dev]'
    "$venv/bin/ruff" check .
    "$venv/bin/ruff" format --check .
    "$venv/bin/mypy"
fi
if [ "$coverage" ]; then
    "$venv/bin/python" -m coverage run -m pytest "$@"
    exec "$venv/bin/python" -m coverage report
fi
exec "$venv/bin/python" -m pytest "$@"
