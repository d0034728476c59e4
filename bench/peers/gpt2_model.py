"""GPT-2 with a tied head, written the way PyTorch runs it fastest."""

import torch
import torch.nn as nn
import torch.nn.functional as functional

NORM_EPS = 1e-5
INITIAL_DEVIATION = 0.02


class Layer(nn.Module):
    def __init__(self, options):
        super().__init__()
        self.head_dim = options.hidden // options.heads
        self.attention_norm = nn.LayerNorm(options.hidden, eps=NORM_EPS)
        self.query_key_value = nn.Linear(options.hidden, 3 * options.hidden)
        self.output = nn.Linear(options.hidden, options.hidden)
        self.mlp_norm = nn.LayerNorm(options.hidden, eps=NORM_EPS)
        self.up = nn.Linear(options.hidden, options.intermediate)
        self.down = nn.Linear(options.intermediate, options.hidden)

    def attend(self, activations):
        query, key, value = (
            part.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for part in self.query_key_value(activations).chunk(3, dim=-1)
        )
        attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.output(attended.transpose(1, 2).flatten(2))

    def forward(self, activations):
        activations = activations + self.attend(self.attention_norm(activations))
        return activations + self.down(functional.gelu(self.up(self.mlp_norm(activations)), approximate="tanh"))


class Gpt2(nn.Module):
    """Given targets, returns the mean cross-entropy, so that a compiled step fuses the loss too."""

    def __init__(self, options):
        super().__init__()
        self.embedding = nn.Embedding(options.vocab, options.hidden)
        self.positions = nn.Embedding(options.seq, options.hidden)
        self.layers = nn.ModuleList(Layer(options) for _ in range(options.layers))
        self.norm = nn.LayerNorm(options.hidden, eps=NORM_EPS)
        self.head = nn.Linear(options.hidden, options.vocab, bias=False)
        self.head.weight = self.embedding.weight
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=INITIAL_DEVIATION)

    def forward(self, inputs, targets):
        positions = torch.arange(inputs.shape[1], device=inputs.device)
        activations = self.embedding(inputs) + self.positions(positions)
        for layer in self.layers:
            activations = layer(activations)
        logits = self.head(self.norm(activations))
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
