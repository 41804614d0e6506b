"""Stand-ins for models that tell subjects apart: they see how colors lie, and go through the real loading code."""

from __future__ import annotations

import json

import numpy as np


def write_tiny_sface(path):
    """Write a network of SFace's form: 112 x 112 pixels of a face in, its colors out, their mean taken off."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    count = 3 * 4 * 4
    center = (np.eye(count) - 1 / count).astype(np.float32)
    nodes = [
        helper.make_node("AveragePool", ["data"], ["pooled"], kernel_shape=[28, 28], strides=[28, 28]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "center"], ["fc1"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 3, 112, 112])],
        [helper.make_tensor_value_info("fc1", TensorProto.FLOAT, [1, count])],
        [numpy_helper.from_array(center, "center")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)])
    model.ir_version = 8
    onnx.save(model, str(path))
    return path


def write_tiny_vision(folder, kind):
    """Write a vision model of transformers with random weights: dinov2, clip, siglip or vit."""
    import torch
    import transformers

    torch.manual_seed(0)
    layers = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {
        **layers,
        "vocab_size": 40,
        "max_position_embeddings": 8,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    vision = {**layers, "image_size": 28, "patch_size": 14}
    if kind == "dinov2":
        model = transformers.Dinov2Model(transformers.Dinov2Config(**vision, mlp_ratio=1))
    elif kind == "vit":
        model = transformers.ViTModel(transformers.ViTConfig(**vision))
    elif kind == "clip":
        model = transformers.CLIPModel(
            transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)
        )
    else:
        model = transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=vision))
    model.save_pretrained(folder)
    about = {"do_resize": True, "size": {"height": 28, "width": 28}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(about))
    return folder
