"""Three tiny language models in plain PyTorch, as functions of a dictionary of named parameters."""

import math

import torch
import torch.nn.functional as functional

LLAMA = {
    "family": "llama",
    "hidden_size": 32,
    "intermediate_size": 56,
    "layers": 2,
    "heads": 4,
    "kv_heads": 2,
    "head_dim": 8,
    "vocab_size": 61,
    "norm_eps": 1e-5,
    "qkv_bias": True,
    "tied_embeddings": False,
    "rope_theta": 10000.0,
    "rope_scaling": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    },
}

GPT2 = {
    "family": "gpt2",
    "hidden_size": 32,
    "intermediate_size": 128,
    "layers": 2,
    "heads": 4,
    "kv_heads": 4,
    "head_dim": 8,
    "vocab_size": 61,
    "max_positions": 24,
    "norm_eps": 1e-5,
    "qkv_bias": True,
    "tied_embeddings": True,
}

# Norms of the heads of q and k, a head size of its own, tied embeddings, no biases.
QWEN3 = {
    **LLAMA,
    "head_dim": 12,
    "qkv_bias": False,
    "qk_norm": True,
    "tied_embeddings": True,
}

MODELS = {"llama": LLAMA, "gpt2": GPT2, "qwen3": QWEN3}


def norm_shapes(prefix, config):
    shapes = {f"{prefix}.weight": (config["hidden_size"],)}
    if config["family"] == "gpt2":
        shapes[f"{prefix}.bias"] = (config["hidden_size"],)
    return shapes


def projection_shapes(prefix, outputs, inputs, bias):
    shapes = {f"{prefix}.weight": (outputs, inputs)}
    if bias:
        shapes[f"{prefix}.bias"] = (outputs,)
    return shapes


def attention_shapes(prefix, config):
    hidden = config["hidden_size"]
    query_width = config["heads"] * config["head_dim"]
    key_width = config["kv_heads"] * config["head_dim"]
    return {
        **projection_shapes(f"{prefix}.q_proj", query_width, hidden, config["qkv_bias"]),
        **projection_shapes(f"{prefix}.k_proj", key_width, hidden, config["qkv_bias"]),
        **projection_shapes(f"{prefix}.v_proj", key_width, hidden, config["qkv_bias"]),
        **head_norm_shapes(prefix, config),
        **projection_shapes(f"{prefix}.o_proj", hidden, query_width, config["family"] == "gpt2"),
    }


def head_norm_shapes(prefix, config):
    if not config.get("qk_norm"):
        return {}
    return {f"{prefix}.{name}.weight": (config["head_dim"],) for name in ("q_norm", "k_norm")}


def mlp_shapes(prefix, config):
    hidden, intermediate = config["hidden_size"], config["intermediate_size"]
    bias = config["family"] == "gpt2"
    shapes = {}
    if config["family"] == "llama":
        shapes.update(projection_shapes(f"{prefix}.gate_proj", intermediate, hidden, bias))
    shapes.update(projection_shapes(f"{prefix}.up_proj", intermediate, hidden, bias))
    shapes.update(projection_shapes(f"{prefix}.down_proj", hidden, intermediate, bias))
    return shapes


def layer_shapes(prefix, config):
    return {
        **norm_shapes(f"{prefix}.input_layernorm", config),
        **attention_shapes(f"{prefix}.self_attn", config),
        **norm_shapes(f"{prefix}.post_attention_layernorm", config),
        **mlp_shapes(f"{prefix}.mlp", config),
    }


def parameter_shapes(config):
    hidden, vocab = config["hidden_size"], config["vocab_size"]
    shapes = {"model.embed_tokens.weight": (vocab, hidden)}
    if config["family"] == "gpt2":
        shapes["model.embed_positions.weight"] = (config["max_positions"], hidden)
    for layer in range(config["layers"]):
        shapes.update(layer_shapes(f"model.layers.{layer}", config))
    shapes.update(norm_shapes("model.norm", config))
    if not config["tied_embeddings"]:
        shapes["lm_head.weight"] = (vocab, hidden)
    return shapes


def scaled_frequency(frequency, scaling):
    """Llama 3 scaling: long wavelengths are stretched, short ones kept, those between are blended."""
    context = scaling["original_max_position_embeddings"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    wavelength = 2.0 * math.pi / frequency
    if wavelength < context / high:
        return frequency
    if wavelength > context / low:
        return frequency / scaling["factor"]
    kept = (context / wavelength - low) / (high - low)
    return (1.0 - kept) * frequency / scaling["factor"] + kept * frequency


def rotary_tables(config, length, precision):
    head_dim = config["head_dim"]
    frequencies = [
        scaled_frequency(config["rope_theta"] ** (-2.0 * pair / head_dim), config["rope_scaling"])
        for pair in range(head_dim // 2)
    ]
    positions = torch.arange(length, dtype=torch.float64)
    # Angles stay in double precision until here, so the tables are correctly rounded.
    angles = positions[:, None] * torch.tensor(frequencies, dtype=torch.float64)[None, :]
    return angles.cos().to(precision), angles.sin().to(precision)


def rotate_halves(heads, cosine, sine):
    first, second = heads.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


def normalize(parameters, prefix, config, activations):
    weight = parameters[f"{prefix}.weight"]
    if config["family"] == "gpt2":
        activations = activations - activations.mean(dim=-1, keepdim=True)
    mean_square = activations.square().mean(dim=-1, keepdim=True)
    normalized = activations * torch.rsqrt(mean_square + config["norm_eps"]) * weight
    if config["family"] == "gpt2":
        normalized = normalized + parameters[f"{prefix}.bias"]
    return normalized


def project(parameters, prefix, activations):
    return functional.linear(activations, parameters[f"{prefix}.weight"], parameters.get(f"{prefix}.bias"))


def project_to_heads(parameters, prefix, activations, head_dim):
    projected = project(parameters, prefix, activations)
    return projected.unflatten(-1, (-1, head_dim)).transpose(1, 2)


def causal_attention(query, key, value):
    length, head_dim = query.shape[-2:]
    scores = query @ key.transpose(-1, -2) / math.sqrt(head_dim)
    future = torch.ones(length, length, dtype=torch.bool).triu(diagonal=1)
    return torch.softmax(scores.masked_fill(future, -math.inf), dim=-1) @ value


def attention(parameters, prefix, config, activations):
    head_dim = config["head_dim"]
    query = project_to_heads(parameters, f"{prefix}.q_proj", activations, head_dim)
    key = project_to_heads(parameters, f"{prefix}.k_proj", activations, head_dim)
    value = project_to_heads(parameters, f"{prefix}.v_proj", activations, head_dim)
    if config.get("qk_norm"):
        query = normalize(parameters, f"{prefix}.q_norm", config, query)
        key = normalize(parameters, f"{prefix}.k_norm", config, key)
    if config["family"] == "llama":
        cosine, sine = rotary_tables(config, activations.shape[1], activations.dtype)
        query, key = rotate_halves(query, cosine, sine), rotate_halves(key, cosine, sine)
    group = config["heads"] // config["kv_heads"]
    key, value = key.repeat_interleave(group, dim=1), value.repeat_interleave(group, dim=1)
    attended = causal_attention(query, key, value).transpose(1, 2).flatten(2)
    return project(parameters, f"{prefix}.o_proj", attended)


def mlp(parameters, prefix, config, activations):
    raised = project(parameters, f"{prefix}.up_proj", activations)
    if config["family"] == "llama":
        gate = project(parameters, f"{prefix}.gate_proj", activations)
        raised = functional.silu(gate) * raised
    else:
        raised = functional.gelu(raised, approximate="tanh")
    return project(parameters, f"{prefix}.down_proj", raised)


def embed(parameters, config, tokens):
    activations = functional.embedding(tokens, parameters["model.embed_tokens.weight"])
    if config["family"] == "gpt2":
        activations = activations + parameters["model.embed_positions.weight"][: tokens.shape[1]]
    return activations


def logits(parameters, config, tokens):
    activations = embed(parameters, config, tokens)
    for layer in range(config["layers"]):
        prefix = f"model.layers.{layer}"
        normalized = normalize(parameters, f"{prefix}.input_layernorm", config, activations)
        activations = activations + attention(parameters, f"{prefix}.self_attn", config, normalized)
        normalized = normalize(parameters, f"{prefix}.post_attention_layernorm", config, activations)
        activations = activations + mlp(parameters, f"{prefix}.mlp", config, normalized)
    head = "model.embed_tokens.weight" if config["tied_embeddings"] else "lm_head.weight"
    return functional.linear(normalize(parameters, "model.norm", config, activations), parameters[head])


def summed_cross_entropy(parameters, config, inputs, targets):
    predictions = logits(parameters, config, inputs)
    return functional.cross_entropy(predictions.flatten(0, 1), targets.flatten(), reduction="sum")
