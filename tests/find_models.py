"""Tiny random models that find or follow subjects, made of configurations and saved as a user has them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

SIDE = 128
"""Side of the square that the tiny segmenters see."""

SAM3_SIDE = 112

WORDS = ["person", "left", "hand", "in", "red", "a", "photo", "of", "cup"]


def _bert_tokenizer(folder: Path):
    from transformers import BertTokenizer

    # Where Grounding DINO looks for beginning, end and full stop.
    vocab = {100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 0: "[PAD]", 1012: ".", 1029: "?"}
    vocab |= dict(enumerate(WORDS, start=200))
    names = [vocab.get(index, f"[unused{index}]") for index in range(1040)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(names), encoding="utf-8")
    return BertTokenizer(str(folder / "vocab.txt"))


def _clip_tokenizer(folder: Path):
    from transformers import CLIPTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz"
    # A text whose first token is 0 counts as none.
    names = ["!", "<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({name: index for index, name in enumerate(names)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))


def _picture_processor(name: str, **options):
    """Of the library's two of that name, the one that works here; before its version 5 there is one."""
    import transformers
    from transformers.utils import is_torchvision_available

    usual = getattr(transformers, name)
    return (usual if is_torchvision_available() else getattr(transformers, f"{name}Pil", usual))(**options)


def save_grounding_dino(folder: Path, *, kind: str = "grounding-dino") -> Path:
    from transformers import (
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoProcessor,
        MMGroundingDinoConfig,
        MMGroundingDinoForObjectDetection,
    )

    torch.manual_seed(0)
    backbone = {
        "model_type": "swin",
        "image_size": 64,
        "embed_dim": 8,
        "depths": [1, 1, 1, 1],
        "num_heads": [1, 1, 1, 1],
        "window_size": 4,
        "out_features": ["stage2", "stage3", "stage4"],
    }
    text = {
        "model_type": "bert",
        "vocab_size": 1040,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 64,
    }
    config_class, model_class = {
        "grounding-dino": (GroundingDinoConfig, GroundingDinoForObjectDetection),
        "mm-grounding-dino": (MMGroundingDinoConfig, MMGroundingDinoForObjectDetection),
    }[kind]
    config = config_class(
        backbone_config=backbone,
        text_config=text,
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_queries=10,
        encoder_n_points=2,
        decoder_n_points=2,
        fusion_droppath=0.0,
        fusion_dropout=0.0,
        max_text_len=32,
        two_stage=True,
        decoder_bbox_embed_share=True,
    )
    model_class(config).eval().save_pretrained(folder)
    pictures = _picture_processor("GroundingDinoImageProcessor", size={"shortest_edge": 128, "longest_edge": 256})
    GroundingDinoProcessor(pictures, _bert_tokenizer(folder / "words")).save_pretrained(folder)
    return folder


def save_owlv2(folder: Path) -> Path:
    from transformers import Owlv2Config, Owlv2ForObjectDetection, Owlv2Processor

    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Owlv2Config(
        text_config={
            **small,
            "vocab_size": 55,
            "max_position_embeddings": 32,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 2,
        },
        vision_config={**small, "image_size": 64, "patch_size": 16},
        projection_dim=16,
    )
    Owlv2ForObjectDetection(config).eval().save_pretrained(folder)
    pictures = _picture_processor("Owlv2ImageProcessor", size={"height": 64, "width": 64})
    Owlv2Processor(pictures, _clip_tokenizer(folder / "words")).save_pretrained(folder)
    return folder


def _sam2_vision():
    from transformers import Sam2VisionConfig
    from transformers.models.sam2.configuration_sam2 import Sam2HieraDetConfig

    backbone = Sam2HieraDetConfig(
        hidden_size=8,
        num_attention_heads=1,
        image_size=[SIDE, SIDE],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 1, 2, 2],
        window_size_per_stage=[8, 4, 4, 4],
        global_attention_blocks=[3],
        window_positional_embedding_background_size=[4, 4],
    )
    return Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[64, 32, 16, 8],
        backbone_feature_sizes=[[SIDE // 4] * 2, [SIDE // 8] * 2, [SIDE // 16] * 2],
        fpn_hidden_size=128,
    )


def save_segmenter(folder: Path, *, kind: str = "sam2_video") -> Path:
    from transformers import EdgeTamVideoConfig, EdgeTamVideoModel, Sam2VideoConfig, Sam2VideoModel

    torch.manual_seed(0)
    values = {
        "vision_config": _sam2_vision(),
        "prompt_encoder_config": {"hidden_size": 128, "image_size": SIDE},
        "mask_decoder_config": {
            "hidden_size": 128,
            "mlp_dim": 64,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 32,
        },
        "image_size": SIDE,
        "memory_attention_hidden_size": 128,
        "memory_attention_num_layers": 1,
        "memory_attention_rope_feat_sizes": [SIDE // 16] * 2,
        "memory_encoder_hidden_size": 128,
        "memory_encoder_output_channels": 64,
        "mask_downsampler_embed_dim": 128,
        "memory_fuser_embed_dim": 128,
        "memory_fuser_intermediate_dim": 64,
        "memory_fuser_num_layers": 1,
    }
    if kind == "edgetam_video":
        from transformers.models.edgetam_video.configuration_edgetam_video import (
            EdgeTamVideoMaskDecoderConfig,
            EdgeTamVideoPromptEncoderConfig,
        )

        values["prompt_encoder_config"] = EdgeTamVideoPromptEncoderConfig(**values["prompt_encoder_config"])
        values["mask_decoder_config"] = EdgeTamVideoMaskDecoderConfig(**values["mask_decoder_config"])
        config = EdgeTamVideoConfig(
            **values,
            memory_attention_mlp_hidden_size=64,
            memory_attention_rope_k_sizes=[4, 4],
            perceiver_resampler_num_latents=16,
            perceiver_resampler_num_latents_2d=16,
        )
        return _saved_segmenter(EdgeTamVideoModel(config), folder)
    from transformers.models.sam2_video.configuration_sam2_video import (
        Sam2VideoMaskDecoderConfig,
        Sam2VideoPromptEncoderConfig,
    )

    values["prompt_encoder_config"] = Sam2VideoPromptEncoderConfig(**values["prompt_encoder_config"])
    values["mask_decoder_config"] = Sam2VideoMaskDecoderConfig(**values["mask_decoder_config"])
    config = Sam2VideoConfig(**values, memory_attention_feed_forward_hidden_size=64)
    return _saved_segmenter(Sam2VideoModel(config), folder)


def _saved_segmenter(model, folder: Path) -> Path:
    # Random weights say as often as not that nothing is there.
    with torch.no_grad():
        model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(20.0)
    model.eval().save_pretrained(folder)
    return folder


def save_sam3(folder: Path, **changes) -> Path:
    from transformers import Sam3Config, Sam3TrackerVideoConfig, Sam3VideoConfig, Sam3VideoModel
    from transformers.models.sam3.configuration_sam3 import Sam3ViTConfig

    torch.manual_seed(0)
    backbone = Sam3ViTConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SAM3_SIDE,
        patch_size=14,
        window_size=4,
        global_attn_indexes=[1],
        pretrain_image_size=56,
    )
    vision = {
        "model_type": "sam3_vision_model",
        "backbone_config": backbone.to_dict(),
        "fpn_hidden_size": 128,
        "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
        "scale_factors": [4.0, 2.0, 1.0, 0.5],
    }
    small = {"hidden_size": 128, "num_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    detector = Sam3Config(
        vision_config=vision,
        text_config={
            "vocab_size": 100,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "max_position_embeddings": 32,
            "projection_dim": 128,
            "hidden_act": "gelu",
        },
        geometry_encoder_config=small,
        detr_encoder_config=small,
        detr_decoder_config={**small, "num_queries": 10},
        mask_decoder_config={"hidden_size": 128, "num_upsampling_stages": 3, "num_attention_heads": 2},
    )
    tracker = Sam3TrackerVideoConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": 128, "image_size": SAM3_SIDE, "patch_size": 14},
        mask_decoder_config={"hidden_size": 128, "mlp_dim": 64, "num_attention_heads": 2, "iou_head_hidden_dim": 32},
        memory_attention_hidden_size=128,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=64,
        memory_attention_rope_feat_sizes=[8, 8],
        memory_encoder_hidden_size=128,
        memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=128,
        memory_fuser_embed_dim=128,
        memory_fuser_intermediate_dim=64,
        memory_fuser_num_layers=1,
    )
    config = Sam3VideoConfig(
        detector_config=detector.to_dict(),
        tracker_config=tracker.to_dict(),
        low_res_mask_size=32,
        **{"score_threshold_detection": 0.0, "new_det_thresh": 0.0, "max_num_objects": 3, **changes},
    )
    config.image_size = SAM3_SIDE
    Sam3VideoModel(config).eval().save_pretrained(folder)
    _clip_tokenizer(folder / "words").save_pretrained(folder)
    return folder


def moving_squares(count: int, *, size=(72, 96), seed: int = 1) -> list[np.ndarray]:
    """Frames of a fixed noise with a bright square that moves to the right."""
    rng = np.random.default_rng(seed)
    ground = rng.random((*size, 3), dtype=np.float32) * np.float32(0.4)
    frames = []
    for number in range(count):
        frame = ground.copy()
        left = 10 + number % 40
        frame[20:44, left : left + 24] = 0.9
        frames.append(frame)
    return frames
