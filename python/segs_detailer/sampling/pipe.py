"""A model with its companions, in the order that ComfyUI's node packs hand around as BASIC_PIPE."""

from __future__ import annotations

from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import InvalidTypeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from .diffusers.windows import ContextWindows
    from .protocol import Conditioning
    from .stages import SamplingOptions

__all__ = ["BasicPipe"]


class BasicPipe(NamedTuple):
    """`(model, clip, vae, positive, negative)`; a plain tuple of these five works wherever a pipe is taken.

    Parameters
    ----------
    model : object
        A `DiffusersModel`, a UNet of diffusers, a ComfyUI model, or any object with the `Sampler` protocol.
    clip : object
        The text encoder; `TextEncoder` with diffusers.
    vae : object
        The VAE; `FrameVAE` or an AutoencoderKL with diffusers.
    positive, negative : Conditioning
        Entries `[embedding, {...}]`.
    """

    model: Any
    clip: Any
    vae: Any
    positive: Conditioning
    negative: Conditioning

    @classmethod
    def from_pretrained(
        cls,
        base: str | PathLike[str],
        *,
        motion_adapter: Any = None,
        prompt: str = "",
        negative_prompt: str = "",
        torch_dtype: str | torch.dtype | None = None,
        device: str | torch.device | None = None,
        variant: str | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        scheduler_config: Mapping[str, Any] | None = None,
        windows: ContextWindows | None = None,
        options: SamplingOptions | None = None,
        vae_chunk: int = 8,
    ) -> BasicPipe:
        """Load a checkpoint in diffusers' layout.

        Parameters
        ----------
        base : str or path
            Folder or hub id of a Stable Diffusion 1.5 or SDXL checkpoint, or of an AnimateDiff pipeline.
        motion_adapter : str, path, diffusers.MotionAdapter or None
            AnimateDiff motion module for a plain checkpoint. Without one the model works frame by frame.
        prompt, negative_prompt : str
            The prompts.
        torch_dtype : str, torch.dtype or None
            Dtype of the weights; `None`: float16 on a GPU, float32 on the CPU.
        device : str, torch.device or None
            `None` or "auto": CUDA where there is one, else the CPU.
        variant, revision, local_files_only
            As in diffusers.
        scheduler_config : mapping or None
            Keys of diffusers' schedulers that replace the chosen ones, for example
            `{"beta_schedule": "scaled_linear"}`. By default a motion module brings the betas that it was trained with,
            and everything else comes from the checkpoint.
        windows : ContextWindows or None
            How long clips are divided; windows of 16 frames that share 4 by default.
        options : SamplingOptions or None
            Where to follow ComfyUI to the letter.
        vae_chunk : int
            Frames that go through the VAE at once.

        Raises
        ------
        MissingDependencyError
            diffusers or transformers is not installed.
        ModelError
            A part is missing, is not in safetensors, or does not fit the others.
        """
        from .diffusers.loader import LoadOptions, load_parts, resolve_device, resolve_dtype

        target = resolve_device(device)
        load = LoadOptions(
            torch_dtype=resolve_dtype(torch_dtype, target),
            device=target,
            variant=variant,
            revision=revision,
            local_files_only=local_files_only,
            scheduler_config=scheduler_config,
            windows=windows,
            options=options,
            vae_chunk=vae_chunk,
        )
        adapter = fspath(motion_adapter) if isinstance(motion_adapter, (str, PathLike)) else motion_adapter
        model, clip, vae = load_parts(fspath(base), adapter, load)
        return cls(model, clip, vae, clip.encode(prompt), clip.encode(negative_prompt))

    @classmethod
    def preview(cls, strength: float = 1.0) -> BasicPipe:
        """Make a pipe that needs no weights: it sharpens by classical means, to check segments, sizes and seams.

        Parameters
        ----------
        strength : float
            How much detail is restored, 0 to 4; see `SharpenSampler`.
        """
        from .sharpen import SharpenSampler

        return cls(SharpenSampler(strength), None, None, [], [])

    def with_prompt(self, prompt: str, negative_prompt: str = "") -> BasicPipe:
        """Put the same models under other prompts.

        Raises
        ------
        InvalidTypeError
            This pipe's `clip` cannot encode text.
        """
        if not hasattr(self.clip, "encode"):
            raise InvalidTypeError("clip", "a text encoder with encode(prompt)", type(self.clip).__name__)
        return self._replace(positive=self.clip.encode(prompt), negative=self.clip.encode(negative_prompt))
