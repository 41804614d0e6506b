"""Which settings a run has, and why: given, recommended, or the default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from segs_detailer.detailer.denoise_by_size import curve_text
from segs_detailer.detailer.settings import STRENGTHS
from segs_detailer.settings import declared, plain

if TYPE_CHECKING:
    from segs_detailer.detailer.settings import DetailerSettings
    from segs_detailer.models.interface import Sampler

__all__ = ["UsedSetting", "describe_used", "start_of", "used_settings"]

_GIVEN, _DEFAULT = "given", "default"
_RECOMMENDED = "recommended for "


@dataclass(frozen=True, slots=True)
class UsedSetting:
    """A setting that a model may recommend, as a run has it.

    Parameters
    ----------
    name : str
        Its name in `DetailerSettings`.
    value : object
        What holds.
    why : str
        "given", "default", or "recommended for" a family or what it was distilled with.
    """

    name: str
    value: Any
    why: str

    @property
    def is_recommended(self) -> bool:
        """Whether it is what the model recommends."""
        return self.why.startswith(_RECOMMENDED)

    def __str__(self) -> str:
        shown = curve_text(self.value) if isinstance(self.value, tuple) else plain(self.value)
        return f"{self.name} {shown}"


def used_settings(given: DetailerSettings, sampler: Sampler) -> tuple[UsedSetting, ...]:
    """Tell which settings hold.

    Parameters
    ----------
    given : DetailerSettings
        The settings as they were given.
    sampler : Sampler
        The model.
    """
    info = sampler.info
    settled = given.with_recommended(info.recommended.settings())
    strength = next((name for name in STRENGTHS if getattr(settled, name) is not None), "denoise")
    found = []
    for each in declared(given):
        if (each.fallback is None and each.name not in STRENGTHS) or (each.name in STRENGTHS and each.name != strength):
            continue
        own, value = getattr(given, each.name), getattr(settled, each.name)
        if own is not None:
            why = _GIVEN
        elif value is not None:
            why = _RECOMMENDED + info.recommended.reason(each.name, info.family)
        else:
            why = _DEFAULT
        found.append(UsedSetting(each.name, each.fallback if value is None else value, why))
    return tuple(found)


def describe_used(used: tuple[UsedSetting, ...]) -> list[str]:
    """One line for each reason that there is, what is recommended first."""
    reasons = sorted({each.why for each in used}, key=lambda why: (why == _DEFAULT, why == _GIVEN, why))
    return [f"{why}: {', '.join(str(each) for each in used if each.why == why)}" for why in reasons]


def start_of(detail: DetailerSettings, sampler: Sampler) -> str:
    """Say which noise level a flow's run starts from; nothing for other models, or where that was given.

    Parameters
    ----------
    detail : DetailerSettings
        All settings that hold.
    sampler : Sampler
        The model.
    """
    if detail.sigma_start is not None or detail.denoise_by_size is not None or detail.scheduler_func is not None:
        return ""
    steps, _, sampler_name, scheduler, denoise = detail.sampling
    level = sampler.start_level(steps, denoise, sampler_name, scheduler)
    if level is None:
        return ""
    shift = sampler.info.recommended.shift
    at = "" if shift is None else f" at shift {plain(shift)}"
    return f"denoise {plain(denoise)}{at} starts at sigma {level:.2f}"
