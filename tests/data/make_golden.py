"""Writes tests/data/golden: small tokenizers and what the reference libraries encode with them.

Usage: make_golden.py FOLDER. Needs the packages tokenizers (0.23) and sentencepiece (0.2).
"""

import io
import json
import random
import sys
import unicodedata

import sentencepiece
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

FOLDER = sys.argv[1]

LLAMA = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN = LLAMA.replace(r"\p{N}{1,3}", r"\p{N}")

TEXTS = [
    "",
    " ",
    "a",
    "Hello, world! It's the runtime's turn; we'll see, they'd say. HE'LL SHOUT 'TIL I'M DONE.",
    "The quick brown fox  jumps   over the    lazy dog.     ",
    "tabs\tand\t\ttabs, lines\nand\n\n\nlines, \r\nDOS lines\r\n\r\n  \r\n mixed \n \n\t\n end",
    "1 12 123 1234 12345 3.14159 1,000,000 2026-11-20 0x1F 1e-5 ½ Ⅷ ٣٤٥ 一二三",
    "for (int i = 0; i < 10; ++i) {\n    sum += x[i] * y[i];  // a dot product\n}\n",
    "naïve café, Ünïcödé, œuvre, ſ'ſ 'ſ Straße İstanbul ǅ",
    "Привет, мир! Как дела? Γειά σου Κόσμε. שלום עולם مرحبا بالعالم",
    "你好,世界。こんにちは世界、カタカナ。 안녕하세요 세계. สวัสดีชาวโลก नमस्ते दुनिया",
    "😀😃👍🏽 👩‍👩‍👧‍👦 🇩🇪 ❤️ ♥ ☃ \U0001f9ff\U00020000",
    "e\u0301 versus é, A\u030a Å \u212b, \u1e9b\u0323, q\u0307\u0323, \u0958 \u0915\u093c",
    "\u1112\u1161\u11ab\u1100\u1173\u11af 한글 \uf900 \u2126 \U0001d15e \u0344 \u0f73",
    "\u00a0no-break\u00a0 \u2003em\u2003\u2003space \u3000 \u2028 line \u2029 \u0085 next\u200bzero",
    "\u180e mongolian \u180e\u180e \u1680ogham\ufeffbom \u001c\u001f \x0b\x0c",
    "special <|endoftext|> inside <|end_of_text|> <think>hm</think> text <|im_end|>",
    "https://example.org/a_b-c?d=e&f=%20#g user@host ~/path ../.. C:\\dir !!! ??? ... --- ***",
    "a" * 300 + " " * 50 + "ab" * 60 + "\n" * 20 + "!" * 40 + "7" * 30,
    "null \x00 byte \x7f delete \x01\x02",
    "don't DON'T don\u2019t o'clock rock'n'roll 'sup 's 't''ve'",
]

rng = random.Random(20240520)
ALPHABET = list("abcdefgh ABC  '\t\n\r012.,!?é\u0301\u00a0ж中あ한😀\u180e\u2028'srevl") + ["'ll", "the", "  "]
TEXTS += ["".join(rng.choices(ALPHABET, k=rng.randint(5, 120))) for _ in range(24)]


def corpus():
    with open("/usr/share/common-licenses/GPL-3") as file:
        yield from file
    for text in TEXTS:
        yield text


def base_tokenizer():
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        corpus(),
        trainers.BpeTrainer(
            vocab_size=900,
            special_tokens=["<|endoftext|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return json.loads(tokenizer.to_str())


def merge_patch(target, patch):
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    target = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = merge_patch(target.get(key), value)
    return target


def added(number, content, special):
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": number, "content": content, "special": special, **flags}


def split(pattern, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def byte_level(prefix=False, regex=False):
    return {
        "type": "ByteLevel",
        "add_prefix_space": prefix,
        "trim_offsets": True,
        "use_regex": regex,
    }


def sequence(*steps):
    return {"pre_tokenizer": {"type": "Sequence", "pretokenizers": list(steps)}}


base = base_tokenizer()
size = len(base["model"]["vocab"])
llama = {
    **sequence(split({"Regex": LLAMA}), byte_level()),
    "added_tokens": [
        added(size, "<|begin_of_text|>", True),
        added(size + 1, "<|end_of_text|>", True),
    ],
    # Without the last merges, whole pieces of the vocabulary are reached by no merge.
    "model": {"ignore_merges": True, "merges": base["model"]["merges"][:-150]},
    "post_processor": {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<|begin_of_text|>", "type_id": 0}},
                   {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<|begin_of_text|>": {
            "id": "<|begin_of_text|>", "ids": [size], "tokens": ["<|begin_of_text|>"]}},
    },
}
qwen = {
    **sequence(split({"Regex": QWEN}), byte_level()),
    "normalizer": {"type": "NFC"},
    "added_tokens": [
        added(0, "<|endoftext|>", True),
        added(size, "<|im_start|>", True),
        added(size + 1, "<|im_end|>", True),
        added(size + 2, "<think>", False),
        added(size + 3, "</think>", False),
    ],
}
VARIANTS = {
    "gpt2": {},
    "llama3": llama,
    "qwen": qwen,
    "keep_matches": sequence(split({"Regex": LLAMA}, "Removed", True), byte_level()),
    "remove_spaces": sequence(split({"String": " "}, "Removed"), byte_level()),
    "digits_and_prefix": sequence(
        {"type": "Digits", "individual_digits": True}, byte_level(True, True)
    ),
}

cases = []
for name, patch in VARIANTS.items():
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(merge_patch(base, patch)))
    for specials in (False, True) if "added_tokens" in patch else (False,):
        tokenizer.encode_special_tokens = not specials  # that is, as text
        cases.append({
            "name": name,
            "patch": patch,
            "specials_as_tokens": specials,
            "ids": [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS],
        })

sentencepiece_model = io.BytesIO()
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=corpus(),
    model_writer=sentencepiece_model,
    vocab_size=700,
    model_type="bpe",
    byte_fallback=True,
    normalization_rule_name="identity",
    remove_extra_whitespaces=False,
    minloglevel=2,
)
with open(f"{FOLDER}/tiny.model", "wb") as file:
    file.write(sentencepiece_model.getvalue())
processor = sentencepiece.SentencePieceProcessor(model_proto=sentencepiece_model.getvalue())


def write(name, value):
    with open(f"{FOLDER}/{name}", "w") as file:
        json.dump(value, file, separators=(",", ":"))
        file.write("\n")


write("tokenizer.json", base)
write("encodings.json", {
    "texts": TEXTS,
    "nfc": [unicodedata.normalize("NFC", text) for text in TEXTS],
    "cases": cases,
    "sentence_piece": [processor.encode(text) for text in TEXTS],
})
