#!/usr/bin/env python3
"""Makes the golden folders small, plain, dense and quantized with transformers (and torch, safetensors from PyPI).

    make_golden.py          each folder: config.json, model.safetensors, golden.safetensors

golden.safetensors: input_ids [B, T], logits [B, T, V], hidden.0 … hidden.L [B, T, H], router.k.topk_ids, greedy_tokens [B, N].
"""

import json, math
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM
from transformers.models.deepseek_v3 import modeling_deepseek_v3 as modeling

here = Path(__file__).resolve().parent
common = dict(
    model_type="deepseek_v3",
    architectures=["DeepseekV3ForCausalLM"],
    hidden_act="silu",
    rms_norm_eps=1e-6,
    bos_token_id=0,
    eos_token_id=1,
    scoring_func="sigmoid",
    topk_method="noaux_tc",
    num_nextn_predict_layers=0,
    attention_dropout=0.0,
)
folders = {
    # What the report's model has, small: low-rank queries, groups, a shared expert.
    "small": dict(
        vocab_size=96,
        hidden_size=48,
        num_hidden_layers=3,
        first_k_dense_replace=1,
        num_attention_heads=3,
        num_key_value_heads=3,
        q_lora_rank=24,
        kv_lora_rank=20,
        qk_nope_head_dim=12,
        qk_rope_head_dim=8,
        v_head_dim=10,
        n_routed_experts=12,
        num_experts_per_tok=3,
        n_group=4,
        topk_group=2,
        n_shared_experts=1,
        moe_intermediate_size=20,
        intermediate_size=72,
        routed_scaling_factor=2.5,
        norm_topk_prob=True,
        attention_bias=False,
        tie_word_embeddings=False,
        torch_dtype="bfloat16",
        max_position_embeddings=256,
        rope_theta=10000.0,
        rope_scaling=None,
    ),
    # What it has not: full queries with biases, one group, odd sizes, tied embeddings, YaRN, halves rotated.
    "plain": dict(
        vocab_size=61,
        hidden_size=35,
        num_hidden_layers=2,
        first_k_dense_replace=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        q_lora_rank=None,
        kv_lora_rank=13,
        qk_nope_head_dim=7,
        qk_rope_head_dim=6,
        v_head_dim=9,
        n_routed_experts=5,
        num_experts_per_tok=2,
        n_group=1,
        topk_group=1,
        n_shared_experts=2,
        moe_intermediate_size=11,
        intermediate_size=29,
        routed_scaling_factor=1.0,
        norm_topk_prob=False,
        attention_bias=True,
        tie_word_embeddings=True,
        torch_dtype="float32",
        max_position_embeddings=256,
        rope_theta=500.0,
        rope_interleave=False,
        rope_scaling=dict(
            type="yarn",
            factor=4.0,
            original_max_position_embeddings=64,
            beta_fast=32,
            beta_slow=1,
            mscale=1.0,
            mscale_all_dim=0.7,
        ),
    ),
    # No layer with experts, one head.
    "dense": dict(
        vocab_size=40,
        hidden_size=24,
        num_hidden_layers=1,
        first_k_dense_replace=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        q_lora_rank=None,
        kv_lora_rank=16,
        qk_nope_head_dim=8,
        qk_rope_head_dim=4,
        v_head_dim=8,
        n_routed_experts=4,
        num_experts_per_tok=2,
        n_group=1,
        topk_group=1,
        n_shared_experts=1,
        moe_intermediate_size=8,
        intermediate_size=33,
        routed_scaling_factor=1.0,
        norm_topk_prob=True,
        attention_bias=False,
        tie_word_embeddings=False,
        torch_dtype="bfloat16",
        max_position_embeddings=256,
        rope_theta=10000.0,
        rope_scaling=None,
    ),
    # An FP8 checkpoint as DeepSeek publishes them, with blocks that the matrices do not fill.
    "quantized": dict(
        vocab_size=64,
        hidden_size=136,
        num_hidden_layers=2,
        first_k_dense_replace=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        q_lora_rank=40,
        kv_lora_rank=24,
        qk_nope_head_dim=16,
        qk_rope_head_dim=8,
        v_head_dim=16,
        n_routed_experts=4,
        num_experts_per_tok=2,
        n_group=2,
        topk_group=1,
        n_shared_experts=1,
        moe_intermediate_size=40,
        intermediate_size=144,
        routed_scaling_factor=2.5,
        norm_topk_prob=True,
        attention_bias=False,
        tie_word_embeddings=False,
        torch_dtype="bfloat16",
        max_position_embeddings=256,
        rope_theta=10000.0,
        rope_scaling=None,
        quantization_config=dict(
            quant_method="fp8",
            fmt="e4m3",
            weight_block_size=[128, 128],
            activation_scheme="dynamic",
        ),
    ),
}


def quantize(weight):
    """weight [N, K] as E4M3 with a scale a block, and what the two stand for."""
    rows, columns = -(-weight.shape[0] // 128), -(-weight.shape[1] // 128)
    scale = torch.zeros(rows, columns)
    code = torch.zeros_like(weight, dtype=torch.float8_e4m3fn)
    back = torch.zeros_like(weight)
    for i in range(rows):
        for j in range(columns):
            at = slice(128 * i, 128 * i + 128), slice(128 * j, 128 * j + 128)
            scale[i, j] = weight[at].abs().max() / 448
            code[at] = (weight[at] / scale[i, j]).to(torch.float8_e4m3fn)
            back[at] = code[at].float() * scale[i, j]
    return code, scale, back


def checkpoint_tensors(model, config):
    """The model's tensors under the names of published checkpoints, experts one by one; each with a setter for its value."""
    for name, tensor in model.state_dict(keep_vars=True).items():
        if "lm_head" in name and config["tie_word_embeddings"]:
            continue
        if ".experts.gate_up_proj" in name:
            stem, width = name.replace("gate_up_proj", "{}."), config["moe_intermediate_size"]
            for e in range(config["n_routed_experts"]):
                yield stem.format(e) + "gate_proj.weight", tensor.data[e, :width]
                yield stem.format(e) + "up_proj.weight", tensor.data[e, width:]
        elif ".experts.down_proj" in name:
            for e in range(config["n_routed_experts"]):
                yield name.replace("down_proj", f"{e}.down_proj.weight"), tensor.data[e]
        else:
            yield name, tensor.data


for folder, own in folders.items():
    torch.manual_seed(len(folder))
    config = common | own
    out = here / folder
    out.mkdir(exist_ok=True)
    (out / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    known = {k: v for k, v in config.items() if k not in ("quantization_config", "torch_dtype")}
    settings = DeepseekV3Config(**known)
    settings._attn_implementation = settings._experts_implementation = "eager"
    model = DeepseekV3ForCausalLM(settings).float().eval()
    stored = {}
    for name, value in checkpoint_tensors(model, config):
        draw = torch.randn(value.shape)
        if name.endswith("e_score_correction_bias"):
            value.copy_(0.1 * draw)
        elif value.dim() == 1:
            value.copy_(0.1 * draw + (0 if name.endswith("bias") else 1))
        else:
            value.copy_(draw * (0.5 if "embed" in name else 1 / math.sqrt(value.shape[1])))
        kind = (
            torch.float32
            if name.endswith("correction_bias")
            else getattr(torch, config["torch_dtype"])
        )
        stored[name] = value.to(kind).clone().contiguous()
        value.copy_(stored[name].float())
        if (
            "quantization_config" in config
            and name.endswith("_proj.weight")
            or "kv_a_proj_with_mqa" in name
            and "quantization_config" in config
        ):
            stored[name], stored[name + "_scale_inv"], back = quantize(value)
            value.copy_(back)
    model.tie_weights()
    save_file(stored, out / "model.safetensors")

    ids = torch.randint(2, config["vocab_size"], (2, 21))
    chosen, hidden = {}, {}
    for i, layer in enumerate(model.model.layers):
        layer.register_forward_hook(
            lambda m, a, o, i=i: hidden.__setitem__(i + 1, o if torch.is_tensor(o) else o[0])
        )
        if hasattr(layer.mlp, "gate"):
            layer.mlp.gate.register_forward_hook(
                lambda m, a, o, i=i: chosen.update({i: chosen.get(i, o)})
            )
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits
        golden = {"input_ids": ids, "logits": logits, "hidden.0": model.model.embed_tokens(ids)}
        golden |= {f"hidden.{i}": h.clone() for i, h in hidden.items()}
        for i, result in chosen.items():
            picks = next(t for t in result if torch.is_tensor(t) and not t.is_floating_point())
            golden[f"router.{i}.topk_ids"] = picks.sort(dim=-1).values.to(torch.int32)
        whole = ids
        for _ in range(12):
            whole = torch.cat(
                [
                    whole,
                    model(input_ids=whole, use_cache=False).logits[:, -1].argmax(-1, keepdim=True),
                ],
                1,
            )
        golden["greedy_tokens"] = whole[:, ids.shape[1] :]
    save_file({k: v.contiguous() for k, v in golden.items()}, out / "golden.safetensors")
    print(
        folder,
        sum(t.numel() for t in stored.values()),
        "numbers; transformers",
        transformers.__version__,
        sorted(golden),
    )
