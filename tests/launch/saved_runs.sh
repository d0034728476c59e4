# What the tests of saved runs share: a config, its corpus, and ways to compare runs. Sourced after
# checks.sh, with $trireme and $with_ranks set.
alone() { timeout -k 5 120 "$trireme" "$@"; }
ranks() { "$with_ranks" "$1" "$trireme" "${@:2}"; }

run=$folder/run.toml
cat >"$run" <<END
[model]
hidden_size = 32
intermediate_size = 64
num_hidden_layers = 4
num_attention_heads = 4
vocab_size = 257
[data]
train = [{ path = "$folder/a", weight = 2.0 }, { path = "$folder/b", weight = 1.0 }]
[optimizer]
lr = 1e-2
warmup_steps = 2
[train]
steps = 40
global_batch_size = 8
micro_batch_size = 1
seq_length = 32
threads = 1
eval_interval = 0
log_interval = 0
[checkpoint]
interval = 5
[run]
dir = "$folder/whole"
END
seq 1 4000 >text-a
seq 40000 -3 20000 >text-b
alone data build --tokenizer bytes --output a text-a >/dev/null
alone data build --tokenizer bytes --output b text-b >/dev/null

# The numbers of a run that must not depend on interruptions.
numbers() { python3 -c '
import json, sys
for line in open(sys.argv[1] + "/metrics.jsonl"):
    step = json.loads(line)
    print(step["step"], repr(step["loss"]), repr(step["grad_norm"]), repr(step["lr"]), step["tokens"])
' "$1"; }

# same_run A B: every step of both, to the bit, and every tensor of their last checkpoints.
same_run() {
  cmp <(numbers "$1") <(numbers "$2") && alone checkpoint diff "$1" "$2"
}

# good CHECKPOINTS: every one that is visible is whole.
good() {
  [ ! -d "$1/checkpoints" ] || ! compgen -G "$1/checkpoints/step-*[0-9]" >/dev/null || alone checkpoint verify "$1"
}

# flip FILE BYTE: one bit of it.
flip() { python3 -c '
import sys
with open(sys.argv[1], "r+b") as file:
    file.seek(int(sys.argv[2])); byte = file.read(1)[0]
    file.seek(int(sys.argv[2])); file.write(bytes([byte ^ 16]))
' "$1" "$2"; }
