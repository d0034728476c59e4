#!/usr/bin/env python3
"""Trains the tiny models for five steps and writes tests/golden/<name>.json and <name>.f32.

<name>.f32 holds little-endian float32 values: the gradients of the first step before clipping, then the
weights after the last step. Offsets in the index count values, not bytes.
Every entry of the index carries its rounding noise: the largest difference to the same run in double
precision. It is what a tolerance has to cover, and it is large where Adam divides one tiny number by another:
the key biases, whose gradient is zero in exact arithmetic (gpt2) or nearly so (llama).
"""

import argparse
import json
import pathlib

import numpy
import torch

import closed_form
import models

STEPS = 5
MICRO_BATCHES = 2
SEQUENCES = 3
LENGTH = 16
TARGETS_PER_STEP = MICRO_BATCHES * SEQUENCES * LENGTH

MATRIX_SCALE = 0.1
NORM_SCALE = 0.1
BIAS_SCALE = 0.05

OPTIMIZER = {
    "name": "adamw",
    "learning_rate": 1e-2,
    "beta1": 0.9,
    "beta2": 0.95,
    "eps": 1e-8,
    "weight_decay": 0.1,
    "clip_norm": 1.0,
}


def initial_value(name, shape):
    if len(shape) == 2:
        return closed_form.values(name, shape, MATRIX_SCALE)
    if name.endswith(".bias"):
        return closed_form.values(name, shape, BIAS_SCALE)
    return 1.0 + closed_form.values(name, shape, NORM_SCALE)


def initial_parameters(config, precision):
    parameters = {}
    for name, shape in models.parameter_shapes(config).items():
        # Rounded to float32 first in either precision, so both runs start at the same point.
        rounded = torch.from_numpy(initial_value(name, shape).astype(numpy.float32))
        parameters[name] = rounded.to(precision).requires_grad_()
    return parameters


def all_tokens(config):
    """Token ids as [step, micro-batch, sequence, column]; a sequence has one column more than its inputs."""
    shape = (STEPS, MICRO_BATCHES, SEQUENCES, LENGTH + 1)
    hashes = closed_form.hashes("tokens", int(numpy.prod(shape)))
    identifiers = hashes % numpy.uint64(config["vocab_size"])
    return torch.from_numpy(identifiers.astype(numpy.int64).reshape(shape))


def make_optimizer(parameters):
    matrices = [parameter for parameter in parameters.values() if parameter.dim() == 2]
    vectors = [parameter for parameter in parameters.values() if parameter.dim() == 1]
    groups = [
        {"params": matrices, "weight_decay": OPTIMIZER["weight_decay"]},
        {"params": vectors, "weight_decay": 0.0},
    ]
    betas = (OPTIMIZER["beta1"], OPTIMIZER["beta2"])
    return torch.optim.AdamW(groups, lr=OPTIMIZER["learning_rate"], betas=betas, eps=OPTIMIZER["eps"], foreach=False)


def accumulate_gradients(parameters, config, step_tokens):
    loss = 0.0
    for tokens in step_tokens:
        total = models.summed_cross_entropy(parameters, config, tokens[:, :-1], tokens[:, 1:])
        share = total / TARGETS_PER_STEP
        share.backward()
        loss += share.item()
    return loss


def gradient_norm(parameters):
    return sum(parameter.grad.double().square().sum().item() for parameter in parameters.values()) ** 0.5


def clip_gradients(parameters, norm):
    if norm <= OPTIMIZER["clip_norm"]:
        return
    for parameter in parameters.values():
        parameter.grad.mul_(OPTIMIZER["clip_norm"] / norm)


def train(config, precision):
    parameters = initial_parameters(config, precision)
    optimizer = make_optimizer(parameters)
    losses, norms, first_gradients = [], [], {}
    for step, step_tokens in enumerate(all_tokens(config)):
        optimizer.zero_grad()
        losses.append(accumulate_gradients(parameters, config, step_tokens))
        norms.append(gradient_norm(parameters))
        if step == 0:
            first_gradients = {name: parameter.grad.clone() for name, parameter in parameters.items()}
        clip_gradients(parameters, norms[-1])
        optimizer.step()
    weights = {name: parameter.detach() for name, parameter in parameters.items()}
    return {"losses": losses, "gradient_norms": norms, "gradients": first_gradients, "weights": weights}


def largest_difference(single, double):
    return (single.double() - double).abs().max().item()


def tensor_index(tensors, exact_tensors, offset):
    index = []
    for name, tensor in tensors.items():
        noise = largest_difference(tensor, exact_tensors[name])
        index.append({"name": name, "shape": list(tensor.shape), "offset": offset, "rounding_noise": noise})
        offset += tensor.numel()
    return index, offset


def description(config, run, exact_run):
    gradients, end_of_gradients = tensor_index(run["gradients"], exact_run["gradients"], 0)
    weights, end_of_weights = tensor_index(run["weights"], exact_run["weights"], end_of_gradients)
    return {
        "config": config,
        "batch": {"micro_batches": MICRO_BATCHES, "sequences": SEQUENCES, "length": LENGTH},
        "optimizer": OPTIMIZER,
        "initial_scales": {"matrix": MATRIX_SCALE, "norm": NORM_SCALE, "bias": BIAS_SCALE},
        "first_tokens": all_tokens(config)[0, 0, 0].tolist(),
        "losses": run["losses"],
        "gradient_norms": run["gradient_norms"],
        "values": end_of_weights,
        "gradients": gradients,
        "weights": weights,
    }


def write_golden(folder, name, config, run, exact_run):
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(description(config, run, exact_run), indent=1)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    tensors = [*run["gradients"].values(), *run["weights"].values()]
    flat = numpy.concatenate([tensor.numpy().ravel() for tensor in tensors])
    flat.astype("<f4").tofile(folder / f"{name}.f32")


def print_rounding_noise(name, run, exact_run):
    for kind in ("losses", "gradient_norms"):
        worst = max(abs(value - exact) / exact for value, exact in zip(run[kind], exact_run[kind]))
        print(f"{name}: {kind}: largest relative difference to double {worst:.2e}")
    for kind in ("gradients", "weights"):
        print(f"{name}: {kind}: largest difference to double")
        for tensor_name, tensor in run[kind].items():
            print(f"  {largest_difference(tensor, exact_run[kind][tensor_name]):.2e} {tensor_name}")


def main():
    golden_folder = pathlib.Path(__file__).resolve().parent.parent / "golden"
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--output", type=pathlib.Path, default=golden_folder)
    arguments.add_argument("--double", action="store_true", help="print the rounding noise of single precision")
    options = arguments.parse_args()
    # One thread and no denormal flushing: the files come out the same on every run.
    torch.set_num_threads(1)
    for name, config in models.MODELS.items():
        run = train(config, torch.float32)
        exact_run = train(config, torch.float64)
        write_golden(options.output, name, config, run, exact_run)
        print(f"{name}: losses {run['losses']}")
        if options.double:
            print_rounding_noise(name, run, exact_run)


if __name__ == "__main__":
    main()
