#!/bin/sh
# Trains and measures on a CUDA device what it does on the CPU, and compares; trains five seeds there one by one and
# together: `sh tests/gpu.sh` on a machine that has one. Its first argument is another device (`cuda:1`; `cpu`
# compares the CPU with itself, which tests this script), the others go to tests/benchmarks/devices.py: `--quick`
# takes small networks and few steps, `--keep FILE` writes what was measured as JSON. Ends with 1 where the two do
# not agree or a step waited for the device. PYTHON names a Python that has grokscope; else a virtual environment is
# made.
set -eu
cd "$(dirname "$0")/.."
device=${1:-cuda}
[ $# -eq 0 ] || shift
python=${PYTHON:-}
if [ -z "$python" ]; then
    venv=${GROKSCOPE_TEST_VENV:-.venv/tests}
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --constraint tests/constraints.txt --constraint tests/together.txt \
        --editable '.[dev]'
    python=$venv/bin/python
fi
exec "$python" tests/benchmarks/devices.py "$device" "$@"
