"""What a family of models brings: how its objects are known, and how its checkpoints are loaded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from segs_detailer.errors import InvalidArgumentError, ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segs_detailer.models.interface import Sampler
    from segs_detailer.models.loading import LoadOptions
    from segs_detailer.models.single_files import Shapes
    from segs_detailer.models.stages import SamplingOptions
    from segs_detailer.models.windows import ContextWindows

__all__ = ["Family", "Parts"]

Parts: TypeAlias = "tuple[Any, Any, Any]"
"""`(model, clip, vae)` of a basic_pipe."""


class Family(ABC):
    """A family of models: one folder in `segs_detailer.models`, and one line in `segs_detailer.models.registry`.

    A family of one's own, or of a host program, is registered by `segs_detailer.models.register`.
    """

    name: ClassVar[str]
    """Its name, for messages."""

    takes: ClassVar[str]
    """The objects that it owns, for the error about one that nobody does: "a ... or ..."."""

    reads_files: ClassVar[bool] = False
    """Whether it reads checkpoints of one file."""

    load_options: ClassVar[frozenset[str]] = frozenset()
    """Of `conditioning_scale`, `quantization`, `transformer_2` and `vae` of `LoadOptions`, those that it takes."""

    @abstractmethod
    def owns(self, model: object) -> bool:
        """Whether an object in `basic_pipe[0]` is a model of this family. Imports nothing that is not loaded."""

    @abstractmethod
    def sampler(self, model: Any, clip: Any, vae: Any) -> Sampler:
        """Make the sampler of a model that it owns.

        Parameters
        ----------
        model, clip, vae : object
            Of a basic_pipe. The sampler works without a text encoder, or with another's; then it encodes no prompts.

        Raises
        ------
        ModelError
            The VAE is not one of the family's.
        """

    def with_image_prompt(self, model: Any, image_prompt: Any) -> Any:
        """Show a model what `Sampler.encode_image_prompt` made: another model over the same networks."""
        del model, image_prompt
        raise ModelError(f"a model of the family {self.name!r} has no image prompts (IP-Adapter)")

    def reads(self, pipeline: str) -> bool:
        """Whether a pipeline of this class name, in a checkpoint's index or as an object, is of this family."""
        del pipeline
        return False

    def check_options(self, load: LoadOptions) -> None:
        """Refuse options of loading that it does not take.

        Raises
        ------
        InvalidArgumentError
            One of them is given.
        """
        for name in ("conditioning_scale", "quantization", "transformer_2", "vae"):
            value = getattr(load, name)
            if value is not None and name not in self.load_options:
                raise InvalidArgumentError(name, f"None for {self.name}, which has no such thing", str(value))

    def load(self, base: str, motion_adapter: Any, load: LoadOptions) -> Parts:
        """Load a checkpoint that it reads; see `BasicPipe.from_pretrained`."""
        del motion_adapter, load
        raise ModelError(f"cannot load {base}: the family {self.name!r} has no checkpoints in diffusers' layout")

    def file_config(self, path: str, shapes: Shapes, load: LoadOptions) -> str | None:
        """Name the checkpoint on the hub whose configuration a file of one network needs; None for another's file.

        Parameters
        ----------
        path : str
            The file.
        shapes : dict
            Of its tensors, see `segs_detailer.models.single_files.tensor_shapes`.
        load : LoadOptions
            What was asked for.
        """
        del path, shapes, load
        return None

    def load_file(self, path: str, config: str, motion_adapter: Any, load: LoadOptions) -> Parts:
        """Load a checkpoint of one file; see `BasicPipe.from_single_file`."""
        del config, motion_adapter, load
        raise ModelError(f"cannot load {path}: the family {self.name!r} has no checkpoints of one file")

    def take(
        self,
        pipeline: Any,
        *,
        scheduler_config: Mapping[str, Any] | None,
        windows: ContextWindows | None,
        options: SamplingOptions | None,
        vae_chunk: int | None,
    ) -> Parts:
        """Use the parts of a pipeline that it reads; see `BasicPipe.from_pipe`."""
        del scheduler_config, windows, options, vae_chunk
        raise ModelError(f"cannot use a {type(pipeline).__name__}: the family {self.name!r} takes no pipelines")
