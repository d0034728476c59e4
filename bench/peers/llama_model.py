"""A Llama without biases and with an untied head, written the way PyTorch runs it fastest."""

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
        widths = [heads * self.head_dim for heads in (options.heads, options.kv_heads, options.kv_heads)]
        self.query_key_value = Projections(options.hidden, widths, options.projections == "joined")
        self.output = linear(options.hidden, options.hidden)

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
        widths = [options.intermediate, options.intermediate]
        self.gate_up = Projections(options.hidden, widths, options.projections == "joined")
        self.down = linear(options.intermediate, options.hidden)

    def forward(self, activations):
        gate, up = self.gate_up(activations)
        return self.down(functional.silu(gate) * up)


class Layer(nn.Module):
    def __init__(self, options):
        super().__init__()
        self.attention_norm = norm(options)
        self.attention = Attention(options)
        self.mlp_norm = norm(options)
        self.mlp = Mlp(options)

    def forward(self, activations, cosine, sine):
        activations = activations + self.attention(self.attention_norm(activations), cosine, sine)
        return activations + self.mlp(self.mlp_norm(activations))


class Llama(nn.Module):
    """Returns the mean cross-entropy directly, so that a compiled step fuses the loss too."""

    def __init__(self, options):
        super().__init__()
        self.embedding = nn.Embedding(options.vocab, options.hidden)
        self.layers = nn.ModuleList(Layer(options) for _ in range(options.layers))
        self.norm = norm(options)
        self.head = linear(options.hidden, options.vocab)
        cosine, sine = rotary_tables(options.seq, options.hidden // options.heads)
        self.register_buffer("cosine", cosine)
        self.register_buffer("sine", sine)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=INITIAL_DEVIATION)

    def forward(self, inputs, targets):
        activations = self.embedding(inputs)
        for layer in self.layers:
            activations = layer(activations, self.cosine, self.sine)
        logits = self.head(self.norm(activations))
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
