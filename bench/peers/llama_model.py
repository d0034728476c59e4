"""A Llama without biases, written the way PyTorch runs it fastest."""

import llama_ranks
import torch
import torch.nn as nn
import torch.nn.functional as functional

ROTARY_BASE = 10000.0
NORM_EPS = 1e-5
INITIAL_DEVIATION = 0.02


def linear(inputs, outputs):
    return nn.Linear(inputs, outputs, bias=False)


def norm(options):
    return nn.RMSNorm(options.hidden, eps=NORM_EPS)


def rotary_tables(length, head_dim):
    frequencies = ROTARY_BASE ** (-torch.arange(0, head_dim, 2) / head_dim)
    angles = torch.arange(length)[:, None] * frequencies
    return angles.cos(), angles.sin()


def rotate(activations, cosine, sine):
    first, second = activations.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


class Projections(nn.Module):
    """Several projections of the same activations, joined in one matrix or with a matrix each."""

    def __init__(self, inputs, widths, joined):
        super().__init__()
        self.widths = widths
        self.joined = joined
        self.matrices = nn.ModuleList(linear(inputs, width) for width in ([sum(widths)] if joined else widths))

    def forward(self, activations):
        if self.joined:
            return self.matrices[0](activations).split(self.widths, dim=-1)
        return [matrix(activations) for matrix in self.matrices]


class Attention(nn.Module):
    def __init__(self, options):
        super().__init__()
        self.head_dim = options.hidden // options.heads
        self.group = options.heads // options.kv_heads
        self.repeat = options.attention == "repeated" and self.group > 1
        heads, kv_heads = options.heads // options.tensor, options.kv_heads // options.tensor
        widths = [count * self.head_dim for count in (heads, kv_heads, kv_heads)]
        self.query_key_value = Projections(options.hidden, widths, options.projections == "joined")
        self.output = linear(heads * self.head_dim, options.hidden)

    def split_heads(self, activations):
        return activations.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

    def forward(self, activations, cosine, sine):
        query, key, value = (self.split_heads(part) for part in self.query_key_value(activations))
        query, key = rotate(query, cosine, sine), rotate(key, cosine, sine)
        if self.repeat:
            key = key.repeat_interleave(self.group, dim=1)
            value = value.repeat_interleave(self.group, dim=1)
        grouped = self.group > 1 and not self.repeat
        attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=grouped)
        return self.output(attended.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self, options):
        super().__init__()
        width = options.intermediate // options.tensor
        self.gate_up = Projections(options.hidden, [width, width], options.projections == "joined")
        self.down = linear(width, options.hidden)

    def forward(self, activations):
        gate, up = self.gate_up(activations)
        return self.down(functional.silu(gate) * up)


class Layer(nn.Module):
    """With tensor-parallel ranks, attention and MLP are a share of each; norms and residuals are whole."""

    def __init__(self, options):
        super().__init__()
        self.shared = options.tensor > 1
        self.attention_norm = norm(options)
        self.attention = Attention(options)
        self.mlp_norm = norm(options)
        self.mlp = Mlp(options)

    def forward(self, activations, cosine, sine):
        if not self.shared:
            activations = activations + self.attention(self.attention_norm(activations), cosine, sine)
            return activations + self.mlp(self.mlp_norm(activations))
        normalized = llama_ranks.copy_to_ranks(self.attention_norm(activations))
        activations = activations + llama_ranks.sum_over_ranks(self.attention(normalized, cosine, sine))
        normalized = llama_ranks.copy_to_ranks(self.mlp_norm(activations))
        return activations + llama_ranks.sum_over_ranks(self.mlp(normalized))


class Llama(nn.Module):
    """The whole model, or a pipeline stage of it. Given targets, returns the mean cross-entropy directly, so that a
    compiled step fuses the loss too."""

    def __init__(self, options, stage=0, stages=1):
        super().__init__()
        first, last = options.layers * stage // stages, options.layers * (stage + 1) // stages
        self.embedding = nn.Embedding(options.vocab, options.hidden) if stage == 0 else None
        self.layers = nn.ModuleList(Layer(options) for _ in range(first, last))
        is_last = stage == stages - 1
        self.norm = norm(options) if is_last else None
        self.head = linear(options.hidden, options.vocab) if is_last else None
        if options.tied:
            self.head.weight = self.embedding.weight
        cosine, sine = rotary_tables(options.seq, options.hidden // options.heads)
        self.register_buffer("cosine", cosine)
        self.register_buffer("sine", sine)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=INITIAL_DEVIATION)

    def forward(self, inputs, targets=None):
        activations = self.embedding(inputs) if self.embedding else inputs
        for layer in self.layers:
            activations = layer(activations, self.cosine, self.sine)
        if not self.head:
            return activations
        logits = self.head(self.norm(activations))
        return logits if targets is None else cross_entropy(logits, targets)


def cross_entropy(logits, targets):
    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
