"""Prompt syntax, weights on embeddings, long prompts, learned words."""

from __future__ import annotations

import pytest
import torch

import tiny_models
from agreement import assert_agree
from segs_detailer.errors import InvalidTypeError
from segs_detailer.models.prompt_weights import weighted_parts
from segs_detailer.models.sd.text import TextEncoder
from segs_detailer.models.sd.tokens import SpecialTokens, token_rows

SPECIAL = SpecialTokens(start=-1, end=-2, padding=-3)


@pytest.fixture(scope="module")
def clip():
    return TextEncoder([tiny_models.make_tokenizer()], [tiny_models.make_text_encoder()])


@pytest.fixture(scope="module")
def clip_sdxl():
    encoders = [tiny_models.make_text_encoder(), tiny_models.make_text_encoder(seed=5, projection=True)]
    return TextEncoder([tiny_models.make_tokenizer(), tiny_models.make_tokenizer()], encoders)


# What ComfyUI reads in the same prompts.
@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("", []),
        ("a face", [("a face", 1.0)]),
        ("(a)", [("a", 1.1)]),
        ("((a))", [("a", 1.1 * 1.1)]),
        ("(a:1.3)", [("a", 1.3)]),
        ("((a:1.3))", [("a", 1.3)]),
        ("((a) b:0.5)", [("a", 0.5 * 1.1), (" b", 0.5)]),
        ("x (a:0) y", [("x ", 1.0), ("a", 0.0), (" y", 1.0)]),
        ("(a:-0.5)", [("a", -0.5)]),
        ("(a: b)", [("a: b", 1.1)]),
        ("(a:1.2:1.3)", [("a:1.2", 1.3)]),
        ("(:1.3)", [(":1.3", 1.1)]),
        ("(a:nan)", [("a:nan", 1.1)]),
        (r"\(a:1.3\)", [("(a:1.3)", 1.0)]),
        (r"(\(a\):1.3)", [("(a)", 1.3)]),
        ("[a] {b}", [("[a] {b}", 1.0)]),
        ("a) b", [("a) b", 1.0)]),
        ("(a", [("(a", 1.0)]),
        ("(a (b)", [("a ", 1.1), ("(b", 1.1)]),
        ("a BREAK b", [("a BREAK b", 1.0)]),
    ],
)
def test_weights_are_read_as_comfyui_reads_them(prompt, expected):
    parts = weighted_parts(prompt)
    assert [text for text, _ in parts] == [text for text, _ in expected]
    assert [weight for _, weight in parts] == pytest.approx([weight for _, weight in expected])


def test_rows_hold_whole_words_and_divide_long_ones():
    short, long = [1] * 7, [2] * 9
    (row,) = token_rows([], 10, SPECIAL)
    assert row.ids == [-1, -2, *[-3] * 10]
    first, second = token_rows([(short, 1.5), (short, 2.0)], 10, SPECIAL)
    assert first.ids == [-1, *short, -2, -3, -3, -3]
    assert first.weights == [1.0, *[1.5] * 7, 1.0, 1.0, 1.0, 1.0]
    assert second.ids == first.ids
    assert second.weights[1:8] == [2.0] * 7
    first, second = token_rows([(short, 1.0), (long, 2.0)], 10, SPECIAL)
    assert first.ids == [-1, *short, 2, 2, 2, -2]
    assert second.ids[:8] == [-1, 2, 2, 2, 2, 2, 2, -2]
    (row,) = token_rows([([3] * 10, 1.0)], 10, SPECIAL)
    assert row.ids == [-1, *[3] * 10, -2]


@pytest.mark.parametrize("kind", ["clip", "clip_sdxl"])
def test_weights_move_embeddings_from_the_empty_prompt(kind, request):
    encoder = request.getfixturevalue(kind)
    ((plain, plain_options),) = encoder.encode("a face")
    ((weighted, options),) = encoder.encode("a (face:1.5)")
    ((empty, _),) = encoder.encode("")
    # One token per letter: start, "a", then "face".
    expected = plain.clone()
    expected[:, 2:6] = empty[:, 2:6] + 1.5 * (plain[:, 2:6] - empty[:, 2:6])
    torch.testing.assert_close(weighted, expected)
    torch.testing.assert_close(options["pooled_output"], plain_options["pooled_output"])
    nothing = encoder.encode("a (face:0)")[0][0]
    torch.testing.assert_close(nothing[:, 2:6], empty[:, 2:6])
    assert torch.equal(encoder.encode("a (face:1.0)")[0][0], plain)
    assert torch.equal(encoder.encode(r"\(face\)")[0][0], encoder.encode(r"(\(face\):1)")[0][0])


def test_weights_of_later_rows_count_too(clip):
    words = "b" * 80
    plain, weighted = clip.encode(words)[0][0], clip.encode(f"({words}:2)")[0][0]
    empty = clip.encode("")[0][0]
    assert plain.shape == weighted.shape == (1, 154, tiny_models.CROSS)
    torch.testing.assert_close(weighted[:, 78:83], 2 * plain[:, 78:83] - empty[:, 1:6])
    assert_agree(weighted[:, 83:], plain[:, 83:])


def test_rows_of_two_tokenizers_are_as_many():
    tokenizers = [tiny_models.make_tokenizer(), tiny_models.make_tokenizer()]
    tokenizers[0].add_tokens("house")
    first = tiny_models.make_text_encoder()
    first.resize_token_embeddings(len(tokenizers[0]))
    clip = TextEncoder(tokenizers, [first, tiny_models.make_text_encoder(seed=5, projection=True)])
    assert clip.encode("house " * 20)[0][0].shape == (1, 154, tiny_models.CROSS + tiny_models.SECOND)


def test_learned_words_of_several_vectors_are_spelled_out(clip):
    tokenizer = tiny_models.make_tokenizer()
    encoder = tiny_models.make_text_encoder()
    tokenizer.add_tokens(["<cat>", "<cat>_1", "<cat>_2", "dog"])
    encoder.resize_token_embeddings(len(tokenizer))
    learned = TextEncoder([tokenizer], [encoder])
    by_hand = learned.encode("a <cat> <cat>_1 <cat>_2")[0][0]
    assert torch.equal(learned.encode("a <cat>")[0][0], by_hand)
    assert torch.equal(learned.encode("a embedding:cat")[0][0], by_hand)
    assert torch.equal(learned.encode("a embedding:dog")[0][0], learned.encode("a dog")[0][0])
    assert not torch.equal(learned.encode("a <cat>_1")[0][0], by_hand)
    with pytest.warns(UserWarning, match="embedding:bird is left out"):
        unknown = learned.encode("a embedding:bird")[0][0]
    assert torch.equal(unknown, learned.encode("a")[0][0])


def test_a_prompt_is_text(clip):
    with pytest.raises(InvalidTypeError, match="prompt: expected a str, got int"):
        clip.encode(3)
