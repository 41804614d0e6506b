"""A model with its companions, in the order that ComfyUI's node packs hand around as BASIC_PIPE."""

from __future__ import annotations

from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, NamedTuple

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from segs_detailer.models.compute import ComputeOptions
    from segs_detailer.models.interface import Conditioning, Sampler
    from segs_detailer.models.stages import SamplingOptions
    from segs_detailer.models.windows import ContextWindows

__all__ = ["BasicPipe"]


class BasicPipe(NamedTuple):
    """`(model, clip, vae, positive, negative)`; a plain tuple of these five works wherever a pipe is taken.

    Parameters
    ----------
    model : object
        A `DiffusersModel`, a UNet of diffusers, a ComfyUI model, or a `Sampler` of one's own.
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
        dtype: str | torch.dtype | None = None,
        torch_dtype: str | torch.dtype | None = None,
        device: str | torch.device | None = None,
        variant: str | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        scheduler_config: Mapping[str, Any] | None = None,
        windows: ContextWindows | None = None,
        options: SamplingOptions | None = None,
        vae_chunk: int | None = None,
        conditioning_scale: float | None = None,
        compute: ComputeOptions | None = None,
    ) -> BasicPipe:
        """Load a checkpoint in diffusers' layout.

        Parameters
        ----------
        base : str or path
            Folder or hub id of a Stable Diffusion 1.5 or SDXL checkpoint, of an AnimateDiff pipeline, or of Wan 2.1 or
            2.2 (text to video) or VACE, which take no `motion_adapter`, `windows` or `vae_chunk`.
        motion_adapter : str, path, diffusers.MotionAdapter or None
            AnimateDiff motion module for a plain checkpoint: a folder or hub id in diffusers' layout, or a file as
            ComfyUI has them, in safetensors. `None`: the one that the checkpoint itself names, as an AnimateDiff
            pipeline does. Without any the model works frame by frame.
        prompt, negative_prompt : str
            The prompts.
        dtype : str, torch.dtype or None
            Dtype of the weights; `None`: float16 on a GPU (Wan: bfloat16), float32 on the CPU.
        torch_dtype : str, torch.dtype or None
            The old name of `dtype`; deprecated.
        device : str, torch.device or None
            `None` or "auto": CUDA where there is one, else the CPU.
        variant, revision, local_files_only
            As in diffusers.
        scheduler_config : mapping or None
            Keys of diffusers' schedulers that replace the chosen ones, for example
            `{"beta_schedule": "scaled_linear"}`. By default a motion module brings the betas that it was trained with,
            and everything else comes from the checkpoint. For Wan, `{"flow_shift": 3.0}` shifts the noise levels.
        windows : ContextWindows or None
            How long clips are divided; windows of 16 frames that share 4 by default.
        options : SamplingOptions or None
            Where to follow ComfyUI to the letter.
        vae_chunk : int or None
            Frames that go through the VAE at once; `None`: as many as fit the memory, see `FrameVAE`.
        conditioning_scale : float or None
            Factor of the effect of VACE's control branch; `None`: 1. Only for VACE.
        compute : ComputeOptions or None
            Memory and speed: offload, compilation, tiles and slices.

        Raises
        ------
        MissingDependencyError
            diffusers or transformers is not installed.
        ModelError
            A part is missing, is not in safetensors, or does not fit the others.
        InvalidArgumentError
            An option that the checkpoint's kind does not take.
        """
        from segs_detailer.models.files import check_source
        from segs_detailer.models.loading import LoadOptions, named_dtype
        from segs_detailer.models.registry import checkpoint_family

        check_source(fspath(base))
        load = LoadOptions.of(
            named_dtype(dtype, torch_dtype),
            device,
            compute,
            variant=variant,
            revision=revision,
            local_files_only=local_files_only,
            scheduler_config=scheduler_config,
            windows=windows,
            options=options,
            vae_chunk=vae_chunk,
            conditioning_scale=conditioning_scale,
        )
        adapter = fspath(motion_adapter) if isinstance(motion_adapter, (str, PathLike)) else motion_adapter
        family = checkpoint_family(fspath(base), load)
        family.check_options(load)
        parts = family.load(fspath(base), adapter, load)
        return cls._of_parts(parts, prompt, negative_prompt, compute, load.device, fspath(base))

    @classmethod
    def from_pipe(
        cls,
        pipeline: Any,
        *,
        prompt: str = "",
        negative_prompt: str = "",
        scheduler_config: Mapping[str, Any] | None = None,
        windows: ContextWindows | None = None,
        options: SamplingOptions | None = None,
        vae_chunk: int | None = None,
        compute: ComputeOptions | None = None,
    ) -> BasicPipe:
        """Use a pipeline of diffusers that exists, with all that is loaded into it and its memory options.

        Parameters
        ----------
        pipeline : diffusers.DiffusionPipeline
            Stable Diffusion, SDXL or AnimateDiff, for text, pictures, video or inpainting; or Wan, for text to video
            or video to video. Its parts are shared.
        prompt, negative_prompt : str
            The prompts.
        scheduler_config : mapping or None
            Keys that replace those of the pipeline's scheduler, whose betas and `prediction_type` count.
        windows, options, vae_chunk, compute
            See `from_pretrained`. `compute` is done to the pipeline's own networks.

        Raises
        ------
        InvalidTypeError, ModelError
            Not such a pipeline.

        Warns
        -----
        UserWarning
            The scheduler's betas are not those of the motion module.
        """
        from segs_detailer.models.accelerators import resolve_device
        from segs_detailer.models.registry import pipeline_family

        if compute is not None and compute.quantization is not None:
            expected = "None for a pipeline that exists: quantize it while it is loaded"
            raise InvalidArgumentError("quantization", expected, repr(compute.quantization))
        parts = pipeline_family(pipeline).take(
            pipeline, scheduler_config=scheduler_config, windows=windows, options=options, vae_chunk=vae_chunk
        )
        origin = str(pipeline.config.get("_name_or_path") or "")
        return cls._of_parts(parts, prompt, negative_prompt, compute, resolve_device(None), origin)

    @classmethod
    def from_single_file(
        cls,
        path: str | PathLike[str],
        *,
        config: str | PathLike[str] | None = None,
        motion_adapter: Any = None,
        prompt: str = "",
        negative_prompt: str = "",
        dtype: str | torch.dtype | None = None,
        torch_dtype: str | torch.dtype | None = None,
        device: str | torch.device | None = None,
        scheduler_config: Mapping[str, Any] | None = None,
        windows: ContextWindows | None = None,
        options: SamplingOptions | None = None,
        transformer_2: str | PathLike[str] | None = None,
        vae: str | PathLike[str] | None = None,
        local_files_only: bool | None = None,
        vae_chunk: int | None = None,
        conditioning_scale: float | None = None,
        compute: ComputeOptions | None = None,
    ) -> BasicPipe:
        """Load a checkpoint of one file, as ComfyUI users have them, or a transformer of one file.

        Parameters
        ----------
        path : str or path
            A .safetensors file of Stable Diffusion 1.5 or SDXL; or a .safetensors or .gguf file with a transformer of
            Wan or VACE.
        config : str, path or None
            Configuration of such a checkpoint in diffusers' layout. Stable Diffusion: a folder, whose weights are not
            read. Wan: a folder or hub id, which also has the text encoder and, without `vae`, the VAE; None: the
            makers' own on the hub, told from the file.
        motion_adapter, prompt, negative_prompt, dtype, torch_dtype, device, scheduler_config, windows, options
            See `from_pretrained`; the motion adapter is a folder, or loaded already.
        transformer_2 : str, path or None
            File of the second transformer of Wan 2.2's pair, the one for low noise.
        vae : str, path or None
            File of Wan's VAE.
        local_files_only : bool or None
            Whether nothing may be fetched; None: nothing is if `config` is a folder.
        vae_chunk, conditioning_scale, compute
            See `from_pretrained`.

        Raises
        ------
        InvalidArgumentError
            `config` is missing or no such folder.
        MissingDependencyError
            diffusers or transformers is not installed; or gguf, for such a file.
        ModelError
            The file cannot be used, or is of another kind than the configuration.
        """
        from segs_detailer.models.files import is_local
        from segs_detailer.models.loading import LoadOptions, named_dtype
        from segs_detailer.models.registry import single_file_family

        where = None if config is None else fspath(config)
        load = LoadOptions.of(
            named_dtype(dtype, torch_dtype),
            device,
            compute,
            local_files_only=is_local(where) if local_files_only is None else local_files_only,
            scheduler_config=scheduler_config,
            windows=windows,
            options=options,
            vae_chunk=vae_chunk,
            conditioning_scale=conditioning_scale,
            transformer_2=None if transformer_2 is None else fspath(transformer_2),
            vae=None if vae is None else fspath(vae),
        )
        adapter = fspath(motion_adapter) if isinstance(motion_adapter, (str, PathLike)) else motion_adapter
        family, found = single_file_family(fspath(path), where, load)
        family.check_options(load)
        parts = family.load_file(fspath(path), found, adapter, load)
        return cls._of_parts(parts, prompt, negative_prompt, compute, load.device, fspath(path))

    @classmethod
    def preview(cls, strength: float = 1.0) -> BasicPipe:
        """Make a pipe that needs no weights: it sharpens by classical means, to check segments, sizes and seams.

        Parameters
        ----------
        strength : float
            How much detail is restored, 0 to 4; see `SharpenSampler`.
        """
        from segs_detailer.models.sharpen import SharpenSampler

        return cls(SharpenSampler(strength), None, None, [], [])

    def with_prompt(self, prompt: str, negative_prompt: str = "") -> BasicPipe:
        """Put the same models under other prompts.

        Raises
        ------
        InvalidTypeError
            This pipe's `clip` cannot encode text.
        """
        from segs_detailer.models.prompting import encoder_of

        encode = encoder_of(self.model, self.clip, self.vae)
        if encode is None:
            raise InvalidTypeError("clip", "a text encoder with encode(prompt)", type(self.clip).__name__)
        return self._replace(positive=encode(prompt), negative=encode(negative_prompt))

    @property
    def sampler(self) -> Sampler:
        """The pipe's model as this package sees it: what it says of itself (`info`), and all that it can do.

        Raises
        ------
        ModelError
            No family takes the model.
        """
        from segs_detailer.models.registry import sampler_for

        return sampler_for(self.model, self.clip, self.vae)

    def diffusers_pipeline(self) -> Any:
        """Give the diffusers pipeline over this pipe's own networks: the way to its loaders and memory options.

        What is done to it counts here: `enable_model_cpu_offload()`, `enable_attention_slicing()`,
        `vae.enable_tiling()`, `set_adapters(...)`, and so on. Text encoders that changed need `with_prompt` afterwards.

        Returns
        -------
        diffusers.DiffusionPipeline
            The one that `from_pipe` was given, else one made on the first call.
        """
        return self.sampler.diffusers_pipeline()

    def load_lora(
        self,
        source: str | PathLike[str],
        *,
        weight: float = 1.0,
        name: str | None = None,
        weight_name: str | None = None,
    ) -> BasicPipe:
        """Load a LoRA or a motion LoRA beside those that are loaded.

        Parameters
        ----------
        source : str or path
            A safetensors file, a folder, or a hub id.
        weight : float
            Factor of its effect.
        name : str or None
            Its name for diffusers' `set_adapters`; by default "lora_0", "lora_1", ...
        weight_name : str or None
            The file in the folder or repository.

        Returns
        -------
        BasicPipe
            The same networks, under prompts encoded anew.

        Raises
        ------
        MissingDependencyError
            peft is not installed.
        ModelError
            It is not in safetensors, cannot be read, or does not fit.
        """
        changed = self.sampler.with_lora(source, weight=weight, name=name, weight_name=weight_name)
        return self._replace(model=changed.in_pipe)._encoded_anew()

    def load_textual_inversion(
        self, source: str | PathLike[str], *, token: str | None = None, weight_name: str | None = None
    ) -> BasicPipe:
        """Teach the text encoder a word; prompts use it as it is, or as `embedding:word`.

        Parameters
        ----------
        source : str or path
            A safetensors file, a folder, or a hub id.
        token : str or None
            The word; by default the file's own.
        weight_name : str or None
            The file in the folder or repository.

        Returns
        -------
        BasicPipe
            The same networks, under prompts encoded anew.

        Raises
        ------
        ModelError
            It is not in safetensors, cannot be read, or does not fit.
        """
        changed = self.sampler.with_textual_inversion(source, token=token, weight_name=weight_name)
        return self._replace(model=changed.in_pipe)._encoded_anew()

    def load_ip_adapter(
        self,
        source: str | PathLike[str],
        *,
        weight_name: str,
        subfolder: str = "",
        image_encoder: Any = None,
        scale: float = 1.0,
    ) -> BasicPipe:
        """Put an IP-Adapter into the UNet; it then needs a picture: `with_image_prompt`.

        Parameters
        ----------
        source : str or path
            A folder or a hub id.
        weight_name, subfolder : str
            The safetensors file, and where it lies in `source`.
        image_encoder : transformers.CLIPVisionModelWithProjection, str, path or None
            Its image encoder or a folder of one; `None`: the pipeline's.
        scale : float
            Factor of its effect.

        Returns
        -------
        BasicPipe
            This pipe.

        Raises
        ------
        ModelError
            It is not in safetensors, cannot be read, or does not fit.
        """
        changed = self.sampler.with_ip_adapter(
            source, weight_name=weight_name, subfolder=subfolder, image_encoder=image_encoder, scale=scale
        )
        return self._replace(model=changed.in_pipe)

    def encode_image_prompt(self, *images: Any) -> Any:
        """Encode pictures for the UNet's IP-Adapters.

        Parameters
        ----------
        *images : Tensor or ndarray
            `(H, W, 3)` or `(n, H, W, 3)` floats in [0, 1], one per IP-Adapter.

        Returns
        -------
        ImagePrompt
            For `with_image_prompt`, and for an `ImagePromptWrapper`.

        Raises
        ------
        ModelError
            There is no IP-Adapter, or no image encoder.
        InvalidArgumentError
            Another number of pictures than of IP-Adapters, or another shape.
        """
        import torch

        return self.sampler.encode_image_prompt([torch.as_tensor(image) for image in images])

    def with_image_prompt(self, *images: Any) -> BasicPipe:
        """Show the UNet's IP-Adapters pictures, in the place of earlier ones.

        Parameters
        ----------
        *images : Tensor, ndarray or ImagePrompt
            See `encode_image_prompt`; or what it gave.
        """
        from segs_detailer.models.image_prompt import ImagePrompt

        one = images[0] if len(images) == 1 and isinstance(images[0], ImagePrompt) else None
        shown = self.encode_image_prompt(*images) if one is None else one
        return self._replace(model=self.sampler.with_image_prompt(shown).in_pipe)

    @classmethod
    def _of_parts(
        cls,
        parts: tuple[Any, Any, Any],
        prompt: str,
        negative_prompt: str,
        compute: ComputeOptions | None,
        device: torch.device,
        origin: str,
    ) -> BasicPipe:
        from segs_detailer.models.distillation import told_by
        from segs_detailer.models.prompting import encoder_of

        model, clip, vae = parts
        if origin and hasattr(model, "origin"):
            model.origin = told_by(origin)
        pipe = cls(model, clip, vae, [], [])
        if compute is not None:
            # Before prompts are encoded, so that offloaded encoders work on the device too.
            pipe.sampler.use_compute(compute, device)
        if not (prompt or negative_prompt) and encoder_of(model, clip, vae) is None:
            # A family without prompts.
            return pipe
        return pipe.with_prompt(prompt, negative_prompt)

    def _encoded_anew(self) -> BasicPipe:
        from segs_detailer.models.prompting import encoded_anew

        encode = self.clip.encode
        return self._replace(positive=encoded_anew(self.positive, encode), negative=encoded_anew(self.negative, encode))
