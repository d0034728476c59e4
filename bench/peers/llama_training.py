"""Timed training steps of a model, in one process, on the CPU or a GPU, or with tensor-, pipeline- or data-parallel
ranks over gloo."""

import contextlib
import json
import os
import statistics
import tempfile
import time

import torch
import torch.distributed
import torch.multiprocessing
from torch.distributed import pipelining
from torch.nn import attention

import gpt2_model
import llama_model
import llama_ranks

SEED = 1234
LEARNING_RATE = 3e-4
BETAS = (0.9, 0.95)
WEIGHT_DECAY = 0.1
CLIP_NORM = 1.0


KERNELS = {
    "cudnn": attention.SDPBackend.CUDNN_ATTENTION,
    "flash": attention.SDPBackend.FLASH_ATTENTION,
}


def random_micro_batches(options, generator):
    shape = (options.micro_batches, options.batch, options.seq + 1)
    tokens = torch.randint(options.vocab, shape, generator=generator).to(options.device)
    return [(part[:, :-1].contiguous(), part[:, 1:].contiguous()) for part in tokens]


def make_optimizer(model):
    matrices = [parameter for parameter in model.parameters() if parameter.dim() == 2]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() == 1]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=BETAS, fused=True)


def without_exchange(model):
    """Only the last micro-batch of a step needs the ranks to exchange gradients."""
    return model.no_sync() if hasattr(model, "no_sync") else contextlib.nullcontext()


def world_size(options):
    return options.ranks * options.tensor * options.pipeline


def clip(model, options):
    if options.tensor > 1 or options.pipeline > 1:
        llama_ranks.clip_gradients(model, CLIP_NORM, options)
    else:
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM, foreach=True)


def in_dtype(options):
    """Parameters, gradients and the optimizer stay in fp32."""
    return torch.autocast(options.device, dtype=torch.bfloat16, enabled=options.dtype == "bf16")


def with_kernel(options):
    return attention.sdpa_kernel(KERNELS[options.kernel]) if options.kernel in KERNELS else contextlib.nullcontext()


class WholeModel:
    """Accumulates the gradients of a step's micro-batches."""

    def __init__(self, options):
        self.options = options
        self.model = make_model(options)

    def run(self, micro_batches):
        loss = 0.0
        for number, (inputs, targets) in enumerate(micro_batches, start=1):
            last = number == len(micro_batches)
            with contextlib.nullcontext() if last else without_exchange(self.model):
                with in_dtype(self.options), with_kernel(self.options):
                    share = self.model(inputs, targets) / len(micro_batches)
                share.backward()
            loss += share.detach()
        return float(loss)


class OneStage:
    """Does so in a pipeline, by one of PyTorch's schedules with one stage per rank."""

    def __init__(self, options):
        torch.manual_seed(SEED)
        rank = torch.distributed.get_rank()
        self.model = llama_model.Llama(options, rank, options.pipeline)
        module = torch.compile(self.model) if options.compile else self.model
        stage = pipelining.PipelineStage(module, rank, options.pipeline, torch.device("cpu"))
        make = getattr(pipelining, f"Schedule{options.schedule}")
        self.schedule = make(stage, options.micro_batches, loss_fn=llama_model.cross_entropy)
        self.is_first, self.is_last = rank == 0, rank == options.pipeline - 1

    def run(self, micro_batches):
        inputs, targets = (torch.cat(parts) for parts in zip(*micro_batches))
        losses = []
        arguments = (inputs,) if self.is_first else ()
        targets = {"target": targets, "losses": losses} if self.is_last else {}
        self.schedule.step(*arguments, **targets, return_outputs=False)
        return float(sum(loss.detach() for loss in losses)) / len(micro_batches)


def training_step(passes, optimizer, micro_batches, options):
    loss = passes.run(micro_batches)
    clip(passes.model, options)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss


def timed_steps(options, passes, replica):
    optimizer = make_optimizer(passes.model)
    generator = torch.Generator().manual_seed(SEED + replica)
    losses, seconds = [], []
    for _ in range(options.warmup + options.steps):
        micro_batches = random_micro_batches(options, generator)
        start = time.perf_counter()
        losses.append(training_step(passes, optimizer, micro_batches, options))
        if options.device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return losses, seconds[options.warmup :]


def make_model(options):
    # Tensor-parallel ranks have different parts of the model, data-parallel ones the same.
    torch.manual_seed(SEED + (torch.distributed.get_rank() if options.tensor > 1 else 0))
    model = gpt2_model.Gpt2(options) if options.family == "gpt2" else llama_model.Llama(options)
    model.to(options.device)
    if options.tensor > 1:
        llama_ranks.agree_on_whole_parameters(model)
    if options.compile:
        model = torch.compile(model)
    if options.ranks > 1:
        model = torch.nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)
    return model


def model_flops_per_token(options, parameters):
    """Six per matrix weight, the embedding being a look-up, and attention to the earlier half of the sequence."""
    norms = (2 * options.layers + 1) * options.hidden
    if options.family == "gpt2":
        biases = options.layers * (5 * options.hidden + options.intermediate)
        matrices = parameters - 2 * norms - biases - options.seq * options.hidden
    else:
        matrices = parameters - norms - (0 if options.tied else options.vocab * options.hidden)
    attention = 6 * options.layers * options.seq * options.hidden
    return 6 * matrices + attention


def report(options, setting, parameters, losses, seconds):
    tokens = options.ranks * options.micro_batches * options.batch * options.seq
    flops = model_flops_per_token(options, parameters)
    median = tokens / statistics.median(seconds)
    return {
        "torch": torch.__version__,
        "ranks": options.ranks,
        "tensor": options.tensor,
        "pipeline": options.pipeline,
        "threads": options.threads,
        "setting": setting,
        "parameters": parameters,
        "tokens_per_step": tokens,
        "tokens_per_second": round(median, 1),
        "tokens_per_second_best": round(tokens / min(seconds), 1),
        "step_seconds": seconds,
        "model_mflop_per_token": round(flops / 1e6, 3),
        "model_gflops": round(median * flops / 1e9, 2),
        "device": torch.cuda.get_device_name() if options.device == "cuda" else "cpu",
        "dtype": options.dtype,
        "peak_memory_bytes": torch.cuda.max_memory_allocated() if options.device == "cuda" else None,
        "loss_first": losses[0],
        "loss_last": losses[-1],
    }


def run_rank(rank, options, setting, rendezvous):
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    if world_size(options) > 1:
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=world_size(options)
        )
    passes = OneStage(options) if options.pipeline > 1 else WholeModel(options)
    parameters = sum(parameter.numel() for parameter in passes.model.parameters())
    losses, seconds = timed_steps(options, passes, rank if options.ranks > 1 else 0)
    if world_size(options) > 1:
        torch.distributed.destroy_process_group()
    # The last rank knows the loss, whatever the layout.
    if rank == world_size(options) - 1:
        print(json.dumps(report(options, setting, parameters, losses, seconds)))


def run(options, setting):
    if world_size(options) == 1:
        run_rank(0, options, setting, None)
        return
    # All ranks are on this machine, where the host name need not resolve.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    with tempfile.TemporaryDirectory() as folder:
        arguments = (options, setting, os.path.join(folder, "rendezvous"))
        torch.multiprocessing.spawn(run_rank, args=arguments, nprocs=world_size(options))
