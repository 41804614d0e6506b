"""The `Sampler` over LTX-2's networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from segs_detailer.errors import InvalidArgumentError, ModelError
from segs_detailer.models.files import packages
from segs_detailer.models.flow_sampler import FlowSampler
from segs_detailer.models.ltx.info import info_of
from segs_detailer.models.ltx.network import Hearing, LtxFlow, LtxPrompt
from segs_detailer.models.stages import total_sigmas

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from segs_detailer.models.denoiser import Denoiser
    from segs_detailer.models.info import ModelInfo
    from segs_detailer.models.interface import Conditioning, SampleJob
    from segs_detailer.models.ltx.network import LtxModel
    from segs_detailer.models.ltx.text import LtxTextEncoder
    from segs_detailer.models.ltx.vae import LtxVAE
    from segs_detailer.models.stages import DenoiserFactory

__all__ = ["LtxSampler"]


class LtxSampler(FlowSampler):
    """Encode, sample and decode with LTX-2 of diffusers.

    Parameters
    ----------
    model : LtxModel
        The transformer with its noise levels.
    vae : LtxVAE
        The VAE, with that of the sound where it is to hear.
    clip : LtxTextEncoder or None
        The text encoder.
    """

    takes_options: ClassVar[frozenset[str]] = frozenset({"sound_states"})

    model: LtxModel
    vae: LtxVAE
    clip: LtxTextEncoder | None

    @property
    def info(self) -> ModelInfo:
        """See `segs_detailer.models.ltx.info`."""
        return info_of(self.model, self.vae, self.networks, prompts=self.clip is not None)

    @property
    def networks(self) -> tuple[torch.nn.Module, ...]:
        """All networks, that of the sound among them."""
        networks = super().networks
        ears = () if self.vae.ears is None else (self.vae.ears.audio_vae,)
        return tuple({id(network): network for network in (*networks, *ears)}.values())

    def new_pipeline(self) -> Any:
        """Put the parts into an `LTX2Pipeline`; it cannot make sound to be heard."""
        diffusers, _ = packages()
        clip: Any = self.clip
        return diffusers.LTX2Pipeline(
            tokenizer=clip.tokenizer,
            text_encoder=clip.encoder,
            connectors=clip.connectors,
            vae=self.vae.vae,
            audio_vae=None if self.vae.ears is None else self.vae.ears.audio_vae,
            vocoder=None,
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler.from_config(self.model.scheduler_config),
            transformer=self.model.transformer,
        )

    def start_level(self, steps: int, denoise: float, sampler_name: str, scheduler: str) -> float | None:
        """Say nothing: it depends on the size of the crops."""
        del steps, denoise, sampler_name, scheduler
        return None

    def noise_levels(self, source: Tensor, job: SampleJob, total: int) -> Tensor:
        """Shift more for larger pictures, and end where the checkpoint's own schedule does."""
        table = self.model.table_for(source[0, 0].numel())
        return self.model.stretched(total_sigmas(job.sampler_name, job.scheduler, table, total))

    def denoiser(
        self, source: Tensor, job: SampleJob, positive: Conditioning, negative: Conditioning
    ) -> DenoiserFactory:
        """Put the transformer under its prompts, and let it hear."""
        del source
        hearing = self._hearing(job)
        first, second = self._prompt(positive, "positive", hearing), self._prompt(negative, "negative", hearing)

        def denoiser(levels: Tensor) -> Denoiser:  # noqa: ARG001 - a flow needs no knowledge of the run's levels
            return LtxFlow(self.model, first, second, job.cfg)

        return denoiser

    def _prompt(self, conditioning: Conditioning, argument: str, hearing: Hearing) -> LtxPrompt:
        states, options = self._entry(conditioning, argument)
        sound = options.get("sound_states")
        if sound is None:
            expected = "conditioning of LTX-2's own text encoder, with its sound_states"
            raise InvalidArgumentError(argument, expected, "one without them")
        return LtxPrompt(states, sound, hearing)

    def _hearing(self, job: SampleJob) -> Hearing:
        rate = job.frame_rate or Hearing().frame_rate
        if job.sound is None:
            return Hearing(rate)
        if self.vae.ears is None:
            raise ModelError("sound: this LTX-2 has no audio VAE to hear with (load it with its audio_vae)")
        return Hearing(rate, self.vae.ears.encode(job.sound, len(job.pixels) / rate))
