#!/usr/bin/env python3
"""Makes model/: a small DeepSeek-V3 checkpoint with the King James tokenizer, trained by transformers on a text.

    make_model.py TEXT TOKENIZER [--minutes 6]      wants torch and transformers (PyPI)

Used until hadal itself trains the quickstart's model. TEXT: ../../../shared/models/kjv/train.txt; TOKENIZER: its tokenizer.json.
"""
import argparse, json, shutil, time
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("text", type=Path)
parser.add_argument("tokenizer", type=Path)
parser.add_argument("--minutes", type=float, default=6)
args = parser.parse_args()
out = Path(__file__).resolve().parent / "model"
torch.manual_seed(0)

config = DeepseekV3Config(
    vocab_size=2048, hidden_size=112, num_hidden_layers=3, first_k_dense_replace=1, num_attention_heads=4, num_key_value_heads=4,
    q_lora_rank=64, kv_lora_rank=48, qk_nope_head_dim=24, qk_rope_head_dim=16, v_head_dim=24, n_routed_experts=8,
    num_experts_per_tok=2, n_shared_experts=1, n_group=2, topk_group=1, moe_intermediate_size=64, intermediate_size=320,
    max_position_embeddings=512, bos_token_id=0, eos_token_id=1, rope_scaling=None, torch_dtype="bfloat16",
)
model = DeepseekV3ForCausalLM(config).float()
ids = torch.tensor(Tokenizer.from_file(str(args.tokenizer)).encode(args.text.read_text(), add_special_tokens=False).ids)
print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(ids):,} tokens", flush=True)

optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.1)
begin, step, budget = time.monotonic(), 0, args.minutes * 60
while (done := (time.monotonic() - begin) / budget) < 1:
    for group in optimizer.param_groups:
        group["lr"] = 3e-3 * min(1, (step + 1) / 50) * (1 - 0.97 * done)
    starts = torch.randint(len(ids) - 129, (12,))
    batch = torch.stack([ids[s : s + 129] for s in starts])
    logits = model(input_ids=batch[:, :-1], use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    step += 1
    if step % 50 == 0:
        print(f"step {step} loss {loss.item():.3f} {100 * done:.0f} %", flush=True)
out.mkdir(exist_ok=True)
model.to(torch.bfloat16).save_pretrained(out)
(out / "generation_config.json").unlink(missing_ok=True)
shutil.copy(args.tokenizer, out / "tokenizer.json")
print(json.dumps({"steps": step, "loss": loss.item()}))
