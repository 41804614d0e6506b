"""Motion modules of one file, under AnimateDiff's own names, through the real loading code."""

from __future__ import annotations

import functools
import json
import re
import socket

import pytest
import torch
from diffusers import MotionAdapter
from safetensors.torch import save_file

import tiny_models
from segs_detailer.errors import ModelError
from segs_detailer.models.pipe import BasicPipe
from segs_detailer.models.sd.motion_file import _config_of, _kind, load_motion_file

SD, SDXL = (32, 64), (32, 32, 64)
KINDS = {
    "v1": {"block_out_channels": SD, "motion_max_seq_length": 24, "use_motion_mid_block": False},
    "v2": {"block_out_channels": SD, "motion_max_seq_length": 32, "use_motion_mid_block": True},
    "v3": {"block_out_channels": SD, "motion_max_seq_length": 32, "use_motion_mid_block": False},
    "SDXL": {"block_out_channels": SDXL, "motion_max_seq_length": 32, "use_motion_mid_block": False},
}


def original(weights, prefix="", positions=True):
    """The names of AnimateDiff's own files; each attention has position encodings there."""
    renamed = {}
    for name, value in weights.items():
        name = re.sub(r"(motion_modules\.\d+)\.", r"\1.temporal_transformer.", name)
        name = name.replace(".norm1.", ".norms.0.").replace(".norm2.", ".norms.1.").replace(".norm3.", ".ff_norm.")
        name = name.replace(".attn1.", ".attention_blocks.0.").replace(".attn2.", ".attention_blocks.1.")
        if not name.endswith("pos_embed.pe"):
            renamed[prefix + name] = value
        elif positions:
            for block in "01":
                place = name.replace("pos_embed.pe", f"attention_blocks.{block}.pos_encoder.pe")
                renamed[prefix + place] = value.clone()
    return renamed


@functools.cache
def tiny(kind):
    torch.manual_seed(3)
    adapter = MotionAdapter(**KINDS[kind], motion_layers_per_block=1).eval().requires_grad_(False)
    for name, weight in adapter.named_parameters():
        if "proj_out" in name:
            torch.nn.init.normal_(weight, std=0.3)
    return adapter


def outputs(adapter):
    """What each motion module makes of noise over four frames."""
    blocks = [*adapter.down_blocks, *([] if adapter.mid_block is None else [adapter.mid_block]), *adapter.up_blocks]
    for block in blocks:
        for module in block.motion_modules:
            torch.manual_seed(5)
            yield module(torch.randn(4, module.in_channels, 3, 3), num_frames=4)


@pytest.fixture
def save(tmp_path):
    def saved(weights, name="module.safetensors"):
        save_file({key: value.contiguous() for key, value in weights.items()}, tmp_path / name)
        return str(tmp_path / name)

    return saved


def load(path, dtype=torch.float32):
    import diffusers

    return load_motion_file(diffusers, path, dtype)


@pytest.mark.parametrize(
    ("kind", "prefix", "name"),
    [
        *((kind, "", "module.safetensors") for kind in KINDS),
        ("v3", "module.", "module.safetensors"),
        ("v3", "", "mm.ckpt"),
    ],
)
@torch.no_grad()
def test_files_under_the_original_names_are_the_adapter_itself(kind, prefix, name, save, monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a hub was asked"))
    expected = tiny(kind)
    loaded, found = load(save(original(expected.state_dict(), prefix), name))
    assert found == kind
    assert {key: loaded.config[key] for key in KINDS[kind]} == KINDS[kind]
    wanted = expected.state_dict()
    assert loaded.state_dict().keys() == wanted.keys()
    assert all(torch.equal(value, wanted[key]) for key, value in loaded.state_dict().items())
    for ours, theirs in zip(outputs(loaded), outputs(expected), strict=True):
        assert torch.equal(ours, theirs)


def test_diffusers_names_in_one_file_and_half_precision(save):
    expected = {name: value.half() for name, value in tiny("v3").state_dict().items()}
    loaded, kind = load(save(expected), torch.bfloat16)
    assert kind == "v3"
    assert {value.dtype for value in loaded.state_dict().values()} == {torch.bfloat16}
    name = "down_blocks.0.motion_modules.0.proj_in.weight"
    assert torch.equal(loaded.state_dict()[name], expected[name].bfloat16())


@pytest.mark.parametrize(
    ("kind", "channels"),
    [("v1", (320, 640, 1280, 1280)), ("v2", (320, 640, 1280, 1280)), ("SDXL", (320, 640, 1280))],
)
def test_published_modules_have_the_published_sizes(kind, channels):
    config = {**KINDS[kind], "block_out_channels": channels}
    with torch.device("meta"):
        weights = original(MotionAdapter(**config).state_dict())
    assert _kind(weights) == kind
    assert _config_of(weights) == {
        **config,
        "motion_layers_per_block": 2,
        "motion_mid_block_layers_per_block": 1,
        "motion_num_attention_heads": 8,
        "motion_norm_num_groups": 32,
    }


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_models.save_checkpoint(tmp_path_factory.mktemp("sd"))


def beside(save, tmp_path, **options):
    """A file with the configuration that diffusers would write beside it: the tiny module has fewer heads."""
    adapter = tiny_models.make_motion_adapter()
    path = save(original(adapter.state_dict(), **options))
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "MotionAdapter", **adapter.config}))
    return path


def test_a_file_goes_into_a_checkpoint_as_a_folder_does(checkpoint, save, tmp_path):
    model = BasicPipe.from_pretrained(checkpoint, motion_adapter=beside(save, tmp_path)).model
    expected = tiny_models.make_motion_unet().state_dict()
    assert model.unet.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in model.unet.state_dict().items())
    assert len(model.table.sigmas) == 1000


def test_a_module_without_position_encodings_is_animatelcms(checkpoint, save, tmp_path):
    path = beside(save, tmp_path, positions=False)
    model = BasicPipe.from_pretrained(checkpoint, motion_adapter=path).model
    expected = tiny_models.make_motion_unet().state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.unet.state_dict().items())
    assert len(model.table.sigmas) == 50


def test_a_configuration_of_something_else_beside_it_does_not_count(save, tmp_path):
    (tmp_path / "config.json").write_text('{"_class_name": "UNet2DConditionModel"}')
    assert load(save(original(tiny("v3").state_dict())))[1] == "v3"


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", ["module.safetensors", "module.ckpt"])
def test_pickles_are_refused_unread_whatever_they_are_called(legacy, name, tmp_path, checkpoint):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was read",))

    path = tmp_path / name
    torch.save({"state_dict": Bomb()}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ModelError, match=r"it is a pickle.*safetensors only; docs/models/animatediff\.md"):
        BasicPipe.from_pretrained(checkpoint, motion_adapter=path)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        (
            "down_blocks.0.motion_modules.0.temporal_transformer.attention_blocks.0.processor.to_q_lora.down.weight",
            "LoRA",
        ),
        ("controlnet_cond_embedding.conv_in.weight", "SparseCtrl"),
        ("down_blocks.0.temporal_attentions.0.norm.weight", "HotshotXL"),
        ("img_encoder.conv.weight", "image-to-video"),
        ("conv_in.weight", "PIA"),
        ("model.diffusion_model.input_blocks.0.0.weight", "holds none, but model.diffusion_model"),
    ],
)
def test_files_of_other_kinds_say_what_they_are(name, what, save):
    with pytest.raises(ModelError, match=f"cannot load the motion module .*{what}"):
        load(save({name: torch.zeros(2)}))


def test_what_does_not_fit_is_named(save, tmp_path):
    weights = original(tiny("v3").state_dict())
    name = "down_blocks.1.motion_modules.0.temporal_transformer.proj_in.weight"
    with pytest.raises(ModelError, match=r"it lacks down_blocks\.1\.motion_modules\.0\.proj_in\.weight$"):
        load(save({key: value for key, value in weights.items() if key != name}))
    with pytest.raises(ModelError, match=r"proj_in\.weight has shape \(2, 2\), expected \(64, 64\)"):
        load(save({**weights, name: torch.zeros(2, 2)}))
    own = next(key for key in weights if key.endswith(".pe"))
    with pytest.raises(ModelError, match="position encodings of its own"):
        load(save({**weights, own: weights[own] * 2}))
    with pytest.raises(ModelError, match="there is no such file"):
        load(str(tmp_path / "nothing.safetensors"))
    (tmp_path / "text.safetensors").write_text("<html>not found</html>")
    with pytest.raises(ModelError, match="it is no safetensors file"):
        load(str(tmp_path / "text.safetensors"))
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes((tmp_path / "module.safetensors").read_bytes()[:5000])
    with pytest.raises(ModelError, match=r"cannot load the motion module .*cut\.safetensors"):
        load(str(cut))


def test_what_is_not_a_motion_module_is_left_out_with_a_warning(save):
    weights = original(tiny("v3").state_dict())
    path = save({**weights, "time_embed.0.bias": torch.zeros(2)})
    with pytest.warns(UserWarning, match=r"only the motion module is used, not time_embed\.0\.bias"):
        load(path)
