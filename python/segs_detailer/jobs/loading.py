"""The models of jobs: loaded by `ModelSettings` alone, and kept for the next job that has the same."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from segs_detailer.detailer.subject_models import read_pictures
from segs_detailer.errors import InvalidTypeError
from segs_detailer.jobs.keys import file_state
from segs_detailer.models.device import named_device
from segs_detailer.models.pipe import BasicPipe

if TYPE_CHECKING:
    from segs_detailer.jobs.parts import ModelSettings, PromptSettings
    from segs_detailer.jobs.progress import Stages

__all__ = ["LoadedModels", "ModelCache", "load_models", "models_identity"]

_FILES = (
    "model",
    "model_config",
    "transformer_2",
    "vae",
    "motion_adapter",
    "ip_adapter",
    "image_encoder",
    "refiner_model",
    "refiner_motion_adapter",
)


@dataclass(frozen=True, slots=True)
class LoadedModels:
    """Models under the prompts of a job.

    Parameters
    ----------
    prompts : PromptSettings
        The prompts that are encoded.
    base : BasicPipe, tuple or Sampler
        What repaints.
    refiner : BasicPipe or None
        What does the last steps.
    """

    prompts: PromptSettings
    base: Any
    refiner: BasicPipe | None = None

    def under(self, prompts: PromptSettings) -> LoadedModels:
        """Return the same models under other prompts.

        Raises
        ------
        InvalidTypeError
            There is no text encoder for them.
        """
        base, refiner = self.base, self.refiner
        asked = "a prompt" if prompts.prompt or prompts.negative_prompt else "pictures"
        if (prompts.prompt, prompts.negative_prompt) != (self.prompts.prompt, self.prompts.negative_prompt):
            base = _as_pipe(base, asked).with_prompt(prompts.prompt, prompts.negative_prompt)
        if prompts.reference:
            base = _as_pipe(base, asked).with_image_prompt(read_pictures(prompts.reference))
        if refiner is not None and prompts.of_refiner != self.prompts.of_refiner:
            refiner = refiner.with_prompt(*prompts.of_refiner)
        return LoadedModels(prompts, base, refiner)


def _as_pipe(base: Any, wanted: str) -> BasicPipe:
    if not isinstance(base, BasicPipe):
        raise InvalidTypeError("pipe", f"a BasicPipe, for {wanted}", type(base).__name__)
    return base


class ModelCache:
    """Keeps the models of the last job for the next one."""

    def __init__(self) -> None:
        self._kept: tuple[Any, LoadedModels] | None = None

    def get(self, settings: ModelSettings, prompts: PromptSettings, stages: Stages) -> LoadedModels:
        """Load models, or take those that are there: of the same settings, from files that have not changed.

        Parameters
        ----------
        settings : ModelSettings
            What loads them.
        prompts : PromptSettings
            What they are to be put under.
        stages : Stages
            Is told that models are loaded.
        """
        key = (settings, models_identity(settings))
        if self._kept is None or self._kept[0] != key:
            # The old ones go first: both together may not fit.
            self._kept = None
            self._kept = (key, load_models(settings, prompts, stages))
        return self._kept[1].under(prompts)


def load_models(settings: ModelSettings, prompts: PromptSettings, stages: Stages) -> LoadedModels:
    """Load models.

    Parameters
    ----------
    settings : ModelSettings
        Which; without a model, the preview.
    prompts : PromptSettings
        What they are put under.
    stages : Stages
        Is told that models are loaded.

    Raises
    ------
    SegsDetailerError
        One cannot be loaded, or a setting cannot be used.
    """
    if settings.device != "auto":
        named_device(settings.device)
    if settings.model is None:
        return LoadedModels(prompts, BasicPipe.preview())
    with stages.stage("load", "model"):
        from segs_detailer.jobs.networks import load_networks

        base, refiner = load_networks(settings, settings.model, prompts)
    # Pictures are shown to them job by job.
    return LoadedModels(replace(prompts, reference=()), base, refiner)


def models_identity(settings: ModelSettings) -> dict[str, Any]:
    """Tell models and how they are run from all others, for the cache: files by their sizes and times of change."""
    found = {each.name: getattr(settings, each.name) for each in fields(settings)}
    found |= {name: file_state(getattr(settings, name)) for name in _FILES}
    found["lora"] = [(file_state(source), weight) for source, weight in settings.lora]
    # Which of several GPUs makes no difference.
    return {**found, "device": settings.device.partition(":")[0]}
