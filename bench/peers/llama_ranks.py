"""What tensor-parallel ranks of the Llama tell each other, over gloo: Megatron's pair of operations."""

import torch
import torch.distributed


class CopyToRanks(torch.autograd.Function):
    """Before matrices that split their outputs: gradients of the ranks are summed."""

    @staticmethod
    def forward(_, activations):
        return activations

    @staticmethod
    def backward(_, gradient):
        gradient = gradient.contiguous()
        torch.distributed.all_reduce(gradient)
        return gradient


class SumOverRanks(torch.autograd.Function):
    """After matrices that split their inputs: results of the ranks are summed."""

    @staticmethod
    def forward(_, activations):
        activations = activations.contiguous()
        torch.distributed.all_reduce(activations)
        return activations

    @staticmethod
    def backward(_, gradient):
        return gradient


# Compiled code ends before a collective and goes on behind it.
@torch.compiler.disable
def copy_to_ranks(activations):
    return CopyToRanks.apply(activations)


@torch.compiler.disable
def sum_over_ranks(activations):
    return SumOverRanks.apply(activations)


def is_shared(name):
    """Ranks have a part each of the matrices within layers, and the whole of all else."""
    return ".attention." in name or ".mlp." in name


def agree_on_whole_parameters(model):
    for name, parameter in model.named_parameters():
        if not is_shared(name):
            torch.distributed.broadcast(parameter.data, 0)


def clip_gradients(model, largest, options):
    """By the norm over all ranks, in which every parameter counts once."""
    whole, mine = [], []
    for name, parameter in model.named_parameters():
        (mine if options.pipeline > 1 or is_shared(name) else whole).append(parameter.grad)
    squared = torch.nn.utils.get_total_norm(mine, foreach=True) ** 2
    torch.distributed.all_reduce(squared)
    if whole:
        squared += torch.nn.utils.get_total_norm(whole, foreach=True) ** 2
    torch.nn.utils.clip_grads_with_norm_(model.parameters(), largest, squared.sqrt(), foreach=True)
