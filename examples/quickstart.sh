#!/bin/sh
# Makes a virtual environment, installs grokscope, trains a small network on modular addition until it groks,
# measures its checkpoints, and prints the tables. Run again, it finds everything done.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
venv=.venv/quickstart

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "grokscope needs Python 3.11 or newer; $python is $("$python" --version). Set PYTHON to a newer one." >&2
    exit 2
}
[ -x "$venv/bin/grokscope" ] || {
    "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --constraint tests/constraints.txt ".[report]"
}
PATH="$PWD/$venv/bin:$PATH"

run=$(grokscope train modadd)
grokscope show "$run"
echo
measures=fit,weight_norm,pmi,oinfo,activation_sparsity,weight_entropy,abelian
steps=every:2  # of 121 checkpoints; all of them take twice as long and name the same columns
grokscope analyze "$run" --measure "$measures" --steps "$steps"
echo
grokscope score "$run" --measure "$measures" --steps "$steps"  # its last line says what moved first, and when
echo
echo "Next:  . $venv/bin/activate"
echo "       grokscope measures"
echo "       grokscope analyze $run"
