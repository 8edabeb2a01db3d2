#!/usr/bin/env python3
"""Makes the goldens of training, training.safetensors in plain, dense and mtp, and the checkpoint of mtp, with transformers
(and torch, safetensors from PyPI). make_golden.py makes the other two checkpoints.

training.safetensors: input_ids [B, T]; curve [5, 4]: next-token loss, multi-token prediction's (unweighted), balance loss
(weighted) and gradient norm of five steps of AdamW; gradient.NAME [1 + n]: of the first step's total loss, the norm and n elements, the
i-th at (i * 7919) mod size; bias.NAME: a routing bias after the first step.
The layer of multi-token prediction is built from transformers' decoder layer as DeepSeek-V3 (arXiv:2412.19437, section 2.2) has it; the
balance loss is equations 17 to 20 there.
"""

import json, math
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import cross_entropy, one_hot
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM
from transformers.models.deepseek_v3 import modeling_deepseek_v3 as modeling

here = Path(__file__).resolve().parent
steps, samples, mtp_weight, balance_weight, bias_step = 5, 7, 0.3, 1e-4, 1e-3
# Odd sizes, an expert count that is no power of two, and a layer of multi-token prediction.
mtp = dict(
    architectures=["DeepseekV3ForCausalLM"],
    model_type="deepseek_v3",
    hidden_act="silu",
    rms_norm_eps=1e-5,
    bos_token_id=0,
    eos_token_id=1,
    scoring_func="sigmoid",
    topk_method="noaux_tc",
    num_nextn_predict_layers=1,
    attention_dropout=0.0,
    vocab_size=53,
    hidden_size=37,
    num_hidden_layers=2,
    first_k_dense_replace=1,
    num_attention_heads=3,
    num_key_value_heads=3,
    q_lora_rank=11,
    kv_lora_rank=9,
    qk_nope_head_dim=7,
    qk_rope_head_dim=6,
    v_head_dim=5,
    n_routed_experts=6,
    num_experts_per_tok=3,
    n_group=3,
    topk_group=2,
    n_shared_experts=1,
    moe_intermediate_size=13,
    intermediate_size=41,
    routed_scaling_factor=2.5,
    norm_topk_prob=True,
    attention_bias=False,
    tie_word_embeddings=False,
    torch_dtype="float32",
    max_position_embeddings=256,
    rope_theta=10000.0,
    rope_scaling=None,
)


class Prediction(nn.Module):
    """Tensors named as in the checkpoint, below model.layers.L."""

    def __init__(self, settings, config):
        super().__init__()
        size, epsilon = config["hidden_size"], config["rms_norm_eps"]
        norm = lambda: modeling.DeepseekV3RMSNorm(size, eps=epsilon)
        self.enorm, self.hnorm, self.eh_proj = norm(), norm(), nn.Linear(2 * size, size, bias=False)
        self.block = modeling.DeepseekV3DecoderLayer(settings, config["num_hidden_layers"])
        self.shared_head = nn.ModuleDict({"norm": norm()})


def named(model, prediction, config):
    """(name in the checkpoint, parameter or buffer, part of it) of all tensors."""
    modules = [("", model)]
    if prediction:
        modules.append((f"model.layers.{config['num_hidden_layers']}.", prediction))
    for prefix, module in modules:
        for name, tensor in module.state_dict(keep_vars=True).items():
            name = prefix + name.replace("block.", "") if prefix else name
            if name == "lm_head.weight" and config["tie_word_embeddings"]:
                continue
            width = config["moe_intermediate_size"]
            parts = {
                "gate_up_proj": (("gate_proj", slice(0, width)), ("up_proj", slice(width, None))),
                "down_proj": (("down_proj", slice(None)),),
            }
            fused = name.split(".")[-1]
            if ".experts." in name and fused in parts:
                for e in range(config["n_routed_experts"]):
                    for part, rows in parts[fused]:
                        yield name[: -len(fused)] + f"{e}.{part}.weight", tensor, (e, rows)
            else:
                yield name, tensor, ...


def least_difference(values, count):
    """Between the count-th and the next, in any row."""
    if values.shape[-1] == count:
        return 1.0
    best = values.detach().topk(count + 1, -1).values
    return float((best[..., -2] - best[..., -1]).min())


def choice_margin(biased, config):
    groups = biased.unflatten(-1, (config["n_group"], -1))
    scores = groups.topk(2, -1).values.sum(-1)
    chosen = scores.topk(config["topk_group"], -1).indices
    among = groups.gather(1, chosen[..., None].expand(-1, -1, groups.shape[-1])).flatten(1)
    return min(
        least_difference(scores, config["topk_group"]),
        least_difference(among, config["num_experts_per_tok"]),
    )


def objective(model, prediction, config, ids):
    """The three losses, what each router chose, [(bias, experts [B*T, K])], and the least by which a choice was made."""
    routed = []

    def remember(gate, inputs, output):
        logits, weights, choice = output
        routed.append((gate.e_score_correction_bias, logits.sigmoid(), choice))

    gates = [
        m
        for part in (model, prediction)
        if part
        for m in part.modules()
        if isinstance(m, modeling.DeepseekV3TopkRouter)
    ]
    hooks = [gate.register_forward_hook(remember) for gate in gates]
    hidden = model.model(ids, use_cache=False).last_hidden_state
    main = cross_entropy(model.lm_head(hidden)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    ahead = torch.zeros(())
    if prediction:
        rows = ids.shape[1] - 1
        embedded = prediction.enorm(model.model.embed_tokens(ids[:, 1:]))
        joined = prediction.eh_proj(torch.cat([embedded, prediction.hnorm(hidden[:, :-1])], -1))
        positions = torch.arange(rows)[None]
        mask = torch.full((rows, rows), float("-inf")).triu(1)[None, None]
        out = prediction.block(
            joined,
            attention_mask=mask,
            position_ids=positions,
            position_embeddings=model.model.rotary_emb(joined, positions),
        )
        out = prediction.shared_head["norm"](out[0] if isinstance(out, tuple) else out)
        ahead = cross_entropy(model.lm_head(out)[:, :-1].flatten(0, 1), ids[:, 2:].flatten())
    for hook in hooks:
        hook.remove()
    balance, margin = torch.zeros(()), 1.0
    for bias, scores, choice in routed:
        scores = scores.view(ids.shape[0], -1, scores.shape[-1])
        best = scores.topk(config["num_experts_per_tok"] + 1, -1)
        margin = min(
            margin,
            least_difference(scores, config["num_experts_per_tok"]),
            choice_margin((scores + bias).flatten(0, 1), config),
        )
        count, experts = scores.shape[1], scores.shape[2]
        often = (
            one_hot(best.indices[..., :-1], experts).sum((1, 2))
            * experts
            / (config["num_experts_per_tok"] * count)
        )
        share = (scores / scores.sum(-1, keepdim=True)).mean(1)
        balance = balance + balance_weight * (often * share).sum(-1).mean()
    return main, ahead, balance, [(bias, choice) for bias, _, choice in routed], margin


def make(folder, config, seed):
    known = {k: v for k, v in config.items() if k not in ("quantization_config", "torch_dtype")}
    settings = DeepseekV3Config(**known)
    settings._attn_implementation = settings._experts_implementation = "eager"
    torch.manual_seed(seed)
    model = DeepseekV3ForCausalLM(settings).float().train()
    prediction = (
        Prediction(settings, config).float().train() if config["num_nextn_predict_layers"] else None
    )
    stored = load_file(folder / "model.safetensors") if folder.name != "mtp" else {}
    with torch.no_grad():
        for name, tensor, part in named(model, prediction, config):
            if name in stored:
                tensor[part] = stored[name].float()
                continue
            draw = torch.randn(tensor[part].shape)
            scale = (
                0.1
                if draw.dim() == 1
                else 0.5 if "embed" in name else 1 / math.sqrt(draw.shape[-1])
            )
            tensor[part] = scale * draw + (1 if name.endswith("norm.weight") else 0)
    model.tie_weights()
    ids = torch.randint(2, config["vocab_size"], (2, 15))
    first = {
        name: tensor[part].detach().clone()
        for name, tensor, part in named(model, prediction, config)
    }

    golden, curve, low = {"input_ids": ids}, [], 1.0
    parameters = [p for m in (model, prediction) if m for p in m.parameters()]
    optimizer = torch.optim.AdamW(
        parameters, lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1
    )
    for step in range(steps):
        optimizer.zero_grad(set_to_none=False)
        main, ahead, balance, routed, margin = objective(model, prediction, config, ids)
        (main + mtp_weight * ahead + balance).backward()
        low = min(low, margin)
        if step == 0:
            for name, tensor, part in named(model, prediction, config):
                if name.endswith("e_score_correction_bias"):
                    continue
                gradient = (torch.zeros_like(tensor) if tensor.grad is None else tensor.grad)[
                    part
                ].flatten()
                at = torch.arange(min(samples, gradient.numel())) * 7919 % gradient.numel()
                golden["gradient." + name] = torch.cat(
                    [gradient.double().norm().float()[None], gradient[at]]
                )
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        curve.append([main.item(), ahead.item(), balance.item(), norm.item()])
        for bias, choice in routed:
            load = torch.bincount(choice.flatten(), minlength=bias.numel()).float()
            bias.data += bias_step * torch.sign(load.mean() - load)
        if step == 0:
            for name, tensor, part in named(model, prediction, config):
                if name.endswith("e_score_correction_bias"):
                    golden["bias." + name] = tensor.detach().clone()
    golden["curve"] = torch.tensor(curve)
    if low < 1e-4:
        return False  # a choice of experts hangs on rounding: another seed
    if not stored:
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        save_file(
            {name: tensor.contiguous() for name, tensor in first.items()},
            folder / "model.safetensors",
        )
    save_file(
        {name: tensor.detach().contiguous() for name, tensor in golden.items()},
        folder / "training.safetensors",
    )
    print(folder.name, "seed", seed, "margin", low, "curve", curve)
    return True


for name in ("plain", "dense", "mtp"):
    folder = here / name
    config = mtp if name == "mtp" else json.loads((folder / "config.json").read_text())
    next(seed for seed in range(100) if make(folder, config, seed))
