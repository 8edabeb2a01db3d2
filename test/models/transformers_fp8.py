#!/usr/bin/env python3
"""An FP8 folder that hadal-compile writes, read by transformers' FineGrainedFP8 loader.

Run by hand: wants torch, transformers, accelerate and safetensors from PyPI.

    transformers_fp8.py BIN

Makes a model whose widths are multiples of 128 (the loader derives blocks from shapes), quantizes
it, and loads it twice: dequantized, as on a machine without a GPU, for weights and logits; and in
FP8 modules, whose kernels want a GPU, for codes and scales. Exit status 1 when a claim fails.
"""

import re, sys, tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, DeepseekV3Config, DeepseekV3ForCausalLM

from frame import Frame

frame = Frame(sys.argv[1], "transformers fp8")
claim, run = frame.claim, frame.run


def make(folder):
    torch.manual_seed(7)
    config = DeepseekV3Config(
        vocab_size=200,
        hidden_size=256,
        num_hidden_layers=3,
        first_k_dense_replace=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        q_lora_rank=128,
        kv_lora_rank=128,
        qk_nope_head_dim=128,
        qk_rope_head_dim=128,
        v_head_dim=128,
        n_routed_experts=8,
        num_experts_per_tok=3,
        n_group=4,
        topk_group=2,
        n_shared_experts=1,
        moe_intermediate_size=128,
        intermediate_size=384,
        max_position_embeddings=256,
    )
    model = DeepseekV3ForCausalLM(config).to(torch.bfloat16)
    for value in model.state_dict().values():
        scale = value.shape[-1] ** -0.5 if value.dim() > 1 else 0.1
        value.copy_((value.dim() == 1) + scale * torch.randn(value.shape))
    model.save_pretrained(folder)


def stored_of(name):
    """The checkpoint's names of what a parameter of transformers holds, experts stacked."""
    found = re.match(r"(.*\.experts)\.(gate_up_proj|down_proj)(_scale_inv)?$", name)
    if not found:
        return [[name]]
    kinds = ["gate_proj", "up_proj"] if found[2] == "gate_up_proj" else ["down_proj"]
    names = lambda e: [f"{found[1]}.{e}.{kind}.weight{found[3] or ''}" for kind in kinds]
    return [names(e) for e in range(8)]


def holds(parameter, name, values):
    """Whether a parameter has the numbers, or codes, of the checkpoint's tensors."""
    wanted = [torch.cat([values(n) for n in names]) for names in stored_of(name)]
    wanted = (torch.stack(wanted) if len(wanted) > 1 else wanted[0]).to(parameter.dtype)
    raw = lambda t: t.contiguous().view(torch.uint8)
    return wanted.shape == parameter.shape and torch.equal(raw(parameter), raw(wanted))


def load(folder, dtype):
    words = dict(dtype=dtype, attn_implementation="eager", output_loading_info=True)
    model, told = AutoModelForCausalLM.from_pretrained(folder, **words)
    claim("nothing is missing or left over", not any(told.values()), told)
    return model


with tempfile.TemporaryDirectory() as t:
    t = Path(t)
    make(t / "bf16")
    run("hadal-compile", t / "bf16", "--quantize=fp8", "--emit=checkpoint", "-o", t / "fp8")
    stored = load_file(t / "fp8/model.safetensors")

    def number(name):
        value, scale = stored[name].float(), stored.get(name + "_scale_inv")
        if scale is None:
            return stored[name]
        rows = scale.repeat_interleave(128, 0)[: value.shape[0]]
        return value * rows.repeat_interleave(128, 1)[:, : value.shape[1]]

    model = load(t / "fp8", torch.float32)
    wrong = [n for n, p in model.state_dict().items() if not holds(p, n, number)]
    claim("each weight is code * scale", not wrong, wrong)

    ids = torch.randint(0, 200, (2, 12), generator=torch.Generator().manual_seed(1))
    save_file({"input_ids": ids}, t / "ids")
    run("hadal-compile", t / "fp8", "-o", t / "m.hadal")
    words = ("--weights", t / "fp8", "--input", t / "ids", "-o", t / "out")
    run("hadal-run", "logits", t / "m.hadal", *words)
    with torch.no_grad():
        wanted = model(ids).logits
    off = (load_file(t / "out")["logits"].reshape(wanted.shape) - wanted).norm(dim=-1)
    off = (off / wanted.norm(dim=-1)).max().item()
    claim("logits of W8A16 are those of its weights", off < 1e-4, off)

    torch.cuda.is_available = lambda: True  # as far as the loader asks
    torch.cuda.get_device_capability = lambda *device: (9, 0)
    model = load(t / "fp8", torch.bfloat16)
    kinds = {type(m).__name__ for m in model.modules()}
    claim("products are FP8 modules", {"FP8Linear", "FP8Experts"} <= kinds, kinds)
    wrong = [n for n, p in model.state_dict().items() if not holds(p, n, stored.__getitem__)]
    claim("which have the codes and scales", not wrong, wrong)
    print(f"{len(model.state_dict())} tensors, logits within {off:.1e}")
frame.end()
