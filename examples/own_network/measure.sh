#!/bin/sh
# From the files of torch.save to a report, in this folder, after `python train.py`.
set -eu
grokscope import run --checkpoints 'checkpoints/*.pt' --step-from 'step_(\d+)' --model mine:net --data mine:digits
grokscope analyze run --model mine:net --measure weight_norm,pe,pmi,oinfo,activation_sparsity,circuit_complexity,sharpness,cka
grokscope report run -o run.html --model mine:net
