"""Timed training steps of the Llama, in one process or data-parallel over gloo."""

import contextlib
import json
import os
import statistics
import tempfile
import time

import torch
import torch.distributed
import torch.multiprocessing

import llama_model

SEED = 1234
LEARNING_RATE = 3e-4
BETAS = (0.9, 0.95)
WEIGHT_DECAY = 0.1
CLIP_NORM = 1.0


def random_micro_batches(options, generator):
    shape = (options.micro_batches, options.batch, options.seq + 1)
    tokens = torch.randint(options.vocab, shape, generator=generator)
    return [(part[:, :-1].contiguous(), part[:, 1:].contiguous()) for part in tokens]


def make_optimizer(model):
    matrices = [parameter for parameter in model.parameters() if parameter.dim() == 2]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() == 1]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=BETAS, fused=True)


def without_exchange(model):
    """Only the last micro-batch of a step needs the ranks to exchange gradients."""
    return model.no_sync() if hasattr(model, "no_sync") else contextlib.nullcontext()


def training_step(model, optimizer, micro_batches):
    loss = 0.0
    for number, (inputs, targets) in enumerate(micro_batches, start=1):
        last = number == len(micro_batches)
        with contextlib.nullcontext() if last else without_exchange(model):
            share = model(inputs, targets) / len(micro_batches)
            share.backward()
        loss += share.detach()
    torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM, foreach=True)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(loss)


def timed_steps(options, model, rank):
    optimizer = make_optimizer(model)
    generator = torch.Generator().manual_seed(SEED + rank)
    losses, seconds = [], []
    for _ in range(options.warmup + options.steps):
        micro_batches = random_micro_batches(options, generator)
        start = time.perf_counter()
        losses.append(training_step(model, optimizer, micro_batches))
        seconds.append(time.perf_counter() - start)
    return losses, seconds[options.warmup :]


def make_model(options):
    torch.manual_seed(SEED)
    model = llama_model.Llama(options)
    if options.compile:
        model = torch.compile(model)
    if options.ranks > 1:
        model = torch.nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)
    return model


def model_flops_per_token(options, parameters):
    """Six per matrix weight, the embedding being a look-up, and attention to the earlier half of the sequence."""
    norms = (2 * options.layers + 1) * options.hidden
    matrices = parameters - norms - options.vocab * options.hidden
    attention = 6 * options.layers * options.seq * options.hidden
    return 6 * matrices + attention


def report(options, setting, parameters, losses, seconds):
    tokens = options.ranks * options.micro_batches * options.batch * options.seq
    flops = model_flops_per_token(options, parameters)
    median = tokens / statistics.median(seconds)
    return {
        "torch": torch.__version__,
        "ranks": options.ranks,
        "threads": options.threads,
        "setting": setting,
        "parameters": parameters,
        "tokens_per_step": tokens,
        "tokens_per_second": round(median, 1),
        "tokens_per_second_best": round(tokens / min(seconds), 1),
        "step_seconds": seconds,
        "model_mflop_per_token": round(flops / 1e6, 3),
        "model_gflops": round(median * flops / 1e9, 2),
        "loss_first": losses[0],
        "loss_last": losses[-1],
    }


def run_rank(rank, options, setting, rendezvous):
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    if options.ranks > 1:
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=options.ranks
        )
    model = make_model(options)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    losses, seconds = timed_steps(options, model, rank)
    if options.ranks > 1:
        torch.distributed.destroy_process_group()
    if rank == 0:
        print(json.dumps(report(options, setting, parameters, losses, seconds)))


def run(options, setting):
    if options.ranks == 1:
        run_rank(0, options, setting, None)
        return
    # All ranks are on this machine, where the host name need not resolve.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    with tempfile.TemporaryDirectory() as folder:
        arguments = (options, setting, os.path.join(folder, "rendezvous"))
        torch.multiprocessing.spawn(run_rank, args=arguments, nprocs=options.ranks)
