#!/usr/bin/env bash
# Everything that is worth a GPU's minutes, in one go: the built-in models trained anew, what they can
# do, and the product beside PEFT. What is worth keeping lies under FOLDER, in files of at most 16 MiB,
# also when it is cut off.
#
#   scripts/gpu.sh FOLDER
#
# GPU_DATA  a folder with `tasks` (see benchmarks/builtin_model.py), and either `data` (the
#                 vocabulary.model and text.npy of an earlier run) or `corpus` (UTF-8 text files)
# GPU_SITE  Python packages that the machine lacks, unpacked
# TINY_SECONDS, MINI_SECONDS  how long to train, compiling apart; 0 leaves a model out
# TRY, BENCHES    1 (the default): the models' scores and the benchmarks too
#
# It needs Python 3.11 or later with JAX for the GPU, flax, optax and orbax.
set -uo pipefail
cd "$(dirname "$0")/.."

out=$(mkdir -p "$1" && cd "$1" && pwd)
data=${GPU_DATA:?a folder with tasks, and data or corpus}
work=$(mktemp -d)
export PYTHONPATH="$PWD:${GPU_SITE:-}" PYTHONUNBUFFERED=1
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-/tmp/ptsys-compiled}
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=1
# Choosing the fastest product for every shape takes minutes of compiling: more than it saves here.
export XLA_FLAGS="${XLA_FLAGS:-} --xla_gpu_autotune_level=0 --xla_gpu_enable_triton_gemm=false"
began=$SECONDS

say() { echo "== $((SECONDS - began)) s: $*"; }

pretrain() { # name, seconds, more bindings
    local name=$1 seconds=$2
    shift 2
    say "pretraining $name, $seconds seconds"
    mkdir -p "$work/$name" "$out/$name"
    if [ -d "$data/data" ]; then cp "$data/data/"* "$work/$name/"; fi
    python3 scripts/pretrain.py gin/runs/pretrain_gpu.gin "gin/models/$name.gin" -- \
        "PretrainRun.output='$work/$name'" "PretrainRun.steps=200000" "PretrainRun.seconds=$seconds" \
        "CORPUS=$(python3 -c 'import glob,sys;print(tuple(sorted(glob.glob(sys.argv[1]))))' \
            "$data/corpus/*.txt")" "$@" 2>&1 | tee "$out/$name.log"
    cp "$work/$name/metrics.jsonl" "$out/$name.metrics.jsonl"
    # at most 16 MiB a file
    tar -C "$work/$name" -cf - model meta_prompt.safetensors | split -b 15M - "$out/$name.tar."
    [ "${TRY:-1}" = 1 ] || return 0
    say "trying $name"
    python3 benchmarks/builtin_model.py "$data/tasks" --model "$work/$name/model" \
        --rates 0.1 0.3 --json "$out/$name.scores.json" 2>&1 | tee "$out/$name.scores.txt"
}

nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv || true
python3 -c 'import jax; print(jax.__version__, jax.devices())'
[ "${TINY_SECONDS:=150}" = 0 ] || pretrain tiny "$TINY_SECONDS"
[ "${MINI_SECONDS:=150}" = 0 ] || pretrain mini "$MINI_SECONDS" \
    PretrainOptimizer.learning_rate=1e-3 PretrainOptimizer.table_learning_rate=1e-2
if [ "${BENCHES:-1}" = 1 ]; then
    say "beside PEFT"
    JAX_DEFAULT_MATMUL_PRECISION=highest timeout 100 python3 benchmarks/vs_peft.py --turns 3 2>&1 | tee "$out/vs_peft.txt"
    say "residents"
    timeout 60 python3 -c "from ptsys.benches import residents; residents.main([1, 16, 64], 30, False)" 2>&1 | tee "$out/residents.txt"
fi
rm -rf "$work"
say done
