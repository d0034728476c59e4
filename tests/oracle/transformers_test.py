#!/usr/bin/env python3
"""Weights go to transformers and come back: trained here, exported, loaded there; made there, imported here.

Run as: transformers_test.py TRIREME LOGITS FOLDER. Trains tiny Llama, Qwen2, Qwen3 and GPT-2 models with the
program, exports them, and compares logits and the loss of one batch with what transformers makes of the
export. Then saves random models of transformers, single and sharded, in fp32 and bf16, imports them, and
compares again. The loss of ours is that of a training step, on the same tokens; its logits those that LOGITS
prints of the checkpoint.
"""

import json
import math
import pathlib
import subprocess
import sys

import numpy
import torch
import transformers

LENGTH, BATCH, VOCABULARY = 32, 4, 257

COMMON = {
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "vocab_size": VOCABULARY,
}
MODELS = {
    "llama": {**COMMON, "num_key_value_heads": 2, "rope_theta": 500000.0,
              "rope_scaling": '{ rope_type = "llama3", factor = 8.0, low_freq_factor = 1.0, high_freq_factor = 4.0, '
                              "original_max_position_embeddings = 16 }"},
    "qwen2": {**COMMON, "num_key_value_heads": 2, "attention_bias": True, "tie_word_embeddings": True},
    "qwen3": {**COMMON, "num_key_value_heads": 2, "head_dim": 16, "qk_norm": True},
    "gpt2": {**COMMON, "model_type": "gpt2", "max_position_embeddings": 64, "intermediate_size": 192},
}


def toml(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value if value.startswith("{") else json.dumps(value)
    return repr(value)


class Bench:
    def __init__(self, program, logits, folder):
        self.program = program
        self.logits = logits
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        text = numpy.random.default_rng(5).integers(97, 123, 20000, dtype=numpy.uint8).tobytes()
        (folder / "text").write_bytes(text)
        self.run("data", "build", "--tokenizer", "bytes", "--output", folder / "corpus", folder / "text")

    def run(self, *arguments):
        done = subprocess.run([self.program, *map(str, arguments)], capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{arguments}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def config(self, name, model):
        path = self.folder / f"{name}.toml"
        lines = ["[model]", *(f"{key} = {toml(value)}" for key, value in model.items())]
        lines += ["[data]", f'train = ["{self.folder}/corpus"]', "shuffle = false"]
        lines += ["[train]", f"global_batch_size = {BATCH}", "micro_batch_size = 2", f"seq_length = {LENGTH}"]
        lines += ["threads = 1", "eval_interval = 0", "[optimizer]", "warmup_steps = 0"]
        lines += ["[run]", f'dir = "{self.folder}/{name}"']
        path.write_text("\n".join(lines) + "\n")
        return path

    def first_tokens(self):
        """The samples of the first step: documents are packed, a sample's last token begins the next one."""
        tokens = numpy.fromfile(self.folder / "corpus.bin", dtype=numpy.uint16).astype(numpy.int64)
        samples = [tokens[i * LENGTH:(i + 1) * LENGTH + 1] for i in range(BATCH)]
        return torch.from_numpy(numpy.stack(samples))

    def loss_of(self, config, checkpoint, name):
        """Our loss of the first samples with a checkpoint's weights."""
        run_folder = self.folder / f"{name}-loss"
        self.run("train", config, "--resume", checkpoint, "--reset", "optimizer,data,schedule",
                 "--set", "train.steps=1", "--set", "checkpoint.interval=0", "--set", f"run.dir={run_folder}")
        return json.loads((run_folder / "metrics.jsonl").read_text().splitlines()[0])["loss"]


    def logits_of(self, checkpoint):
        """Our logits of the first samples."""
        tokens = self.first_tokens()[:, :-1].to(torch.int32).contiguous().numpy().tobytes()
        done = subprocess.run([self.logits, str(checkpoint), str(LENGTH)], input=tokens, capture_output=True)
        if done.returncode != 0:
            raise SystemExit(f"logits of {checkpoint}: {done.stderr.decode()}")
        return torch.from_numpy(numpy.frombuffer(done.stdout, dtype="<f4").copy()).view(BATCH, LENGTH, VOCABULARY)


def theirs(folder, tokens):
    """Loss and logits."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        logits = model(tokens[:, :-1]).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).item(), logits


def step_in(folder):
    """The one checkpoint that is in a run's folder, or in one of checkpoints."""
    found = sorted(folder.glob("**/manifest.json"))
    if len(found) != 1:
        raise SystemExit(f"{folder}: {len(found)} checkpoints, not one")
    return found[0].parent


def expect_same_logits(what, ours, theirs, tolerance=1e-4):
    error = (ours - theirs).abs().max().item()
    print(f"{what}: logits up to {theirs.abs().max().item():.3f}, at most {error:.2e} apart")
    if not error <= tolerance:
        raise SystemExit(f"{what}: logits are {error} apart")


def expect_close(what, ours, theirs, tolerance=1e-4):
    error = abs(ours - theirs)
    print(f"{what}: ours {ours:.7f}, theirs {theirs:.7f}")
    if not (math.isfinite(ours) and error <= tolerance):
        raise SystemExit(f"{what}: {error} apart")


def check_export(bench, name, model):
    config = bench.config(name, model)
    bench.run("train", config, "--set", "train.steps=30", "--set", "checkpoint.interval=30",
              "--set", "optimizer.lr=0.01")
    exported = bench.folder / f"{name}-exported"
    bench.run("checkpoint", "export", bench.folder / name, "--output", exported, "--shard-gigabytes", "0.0001")
    ours = bench.loss_of(config, bench.folder / name, name)
    loss, logits = theirs(exported, bench.first_tokens())
    expect_close(f"{name} exported", ours, loss)
    expect_same_logits(f"{name} exported", bench.logits_of(step_in(bench.folder / name)), logits)
    # And back: the same weights, bit for bit.
    imported = bench.folder / f"{name}-imported"
    bench.run("checkpoint", "import", exported, "--output", imported)
    back = bench.loss_of(config, imported, f"{name}-back")
    expect_close(f"{name} exported and imported", back, ours, 0)


def random_model(name):
    torch.manual_seed(3)
    common = {"vocab_size": VOCABULARY, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3,
              "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}
    configs = {
        "llama": lambda: transformers.LlamaConfig(**common),
        "mistral": lambda: transformers.MistralConfig(**common, sliding_window=None),
        "qwen2": lambda: transformers.Qwen2Config(**common, tie_word_embeddings=True),
        "qwen3": lambda: transformers.Qwen3Config(**common, head_dim=16),
        "gpt2": lambda: transformers.GPT2Config(vocab_size=VOCABULARY, n_embd=48, n_layer=3, n_head=4, n_positions=64),
    }
    return transformers.AutoModelForCausalLM.from_config(configs[name]())


def check_import(bench, name, dtype, shard):
    what = f"{name}-theirs-{str(dtype).split('.')[-1]}-{shard}"
    folder = bench.folder / what
    random_model(name).to(dtype).save_pretrained(folder, max_shard_size=shard)
    bench.run("checkpoint", "import", folder, "--output", bench.folder / f"{what}-imported")
    config = bench.config(what, {"hf_config": str(folder)})
    imported = bench.folder / f"{what}-imported"
    loss, logits = theirs(folder, bench.first_tokens())
    expect_close(what, bench.loss_of(config, imported, what), loss)
    expect_same_logits(what, bench.logits_of(step_in(imported)), logits)


def main():
    torch.set_num_threads(2)
    bench = Bench(*(str(pathlib.Path(program).resolve()) for program in sys.argv[1:3]), pathlib.Path(sys.argv[3]).resolve())
    for name, model in MODELS.items():
        check_export(bench, name, model)
    for name in ("llama", "mistral", "qwen2", "qwen3", "gpt2"):
        check_import(bench, name, torch.float32, "50KB")
        check_import(bench, name, torch.bfloat16, "5GB")


if __name__ == "__main__":
    main()
