"""Per-step beats from mlx-lm's `train`, through its own arguments.

Its training loop asks `iterate_batches` for a batch once a step, and a validation asks for batches
of its own; it calls its callback at each report. Where these calls come from says which phase is
under way. The arguments are wrapped and the module is not changed but for `train` itself.
"""

from __future__ import annotations

import functools
import inspect
import sys
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator, Optional

from .compilation import in_force
from .inputs import Inputs
from .wrapping import wraps
from .writer import Writer, home, note, open_writer, reason

if TYPE_CHECKING:
    from .followed_training import FollowedTraining

NEEDED = ("model", "args", "loss", "iterate_batches", "training_callback")
_writers: dict[str, Optional[Writer]] = {}
"""The writer of each folder. A second training in the same process goes on where the first one
ended."""


def wrap(module: Any, folder: str) -> None:
    """Replace `train` in `module`, mlx-lm's trainer."""
    folder = home(folder)
    original = module.train

    @functools.wraps(original)
    def train(*args: Any, **kwargs: Any) -> Any:
        watch = None
        try:
            signature = inspect.signature(original)
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            code = getattr(inspect.unwrap(original), "__code__", None)
            watch = _watch(bound.arguments, code, folder)
        except Exception as error:
            if folder not in _writers:
                note(folder, disabled=reason(error))
        if watch is None:
            return original(*args, **kwargs)
        changed = list(args)
        for name, value in watch.wrappers.items():
            index = list(signature.parameters).index(name)
            if index < len(changed):
                changed[index] = value
            else:
                kwargs[name] = value
        try:
            result = original(*changed, **kwargs)
        except Exception:
            watch.failed()
            raise
        watch.returned()
        return result

    module.train = train
    _hide_own_frames()


def _hide_own_frames() -> None:
    """Leave our functions out of the traceback of an exception that ends the program."""
    shown = sys.excepthook
    if getattr(shown, "__module__", None) == __name__:
        return

    def excepthook(kind: Any, error: BaseException, found: Any) -> None:
        try:
            found = _without_own(found)
            error.__traceback__ = found
        except Exception:  # the program's own traceback is worth more than a shorter one
            pass
        shown(kind, error, found)

    sys.excepthook = excepthook


def _without_own(found: Any) -> Any:
    """The traceback `found` without the frames of this file."""
    while found is not None and found.tb_frame.f_code.co_filename == __file__:
        found = found.tb_next
    link = found
    while link is not None:
        following = link.tb_next
        while following is not None and following.tb_frame.f_code.co_filename == __file__:
            following = following.tb_next
        link.tb_next = following
        link = following
    return found


def _watch(arguments: dict[str, Any], code: Optional[CodeType], folder: str) -> Optional[Watch]:
    """None when another process reports already.

    Raises what is wrong before a writer is opened: from then on the supervisor relies on it.
    """
    library = f"mlx-lm {getattr(sys.modules.get('mlx_lm'), '__version__', '?')}"
    missing = [name for name in NEEDED if name not in arguments]
    if missing:
        raise TypeError(f"train() of {library} has no argument {' or '.join(missing)}")
    for name in ("loss", "iterate_batches"):
        if not callable(arguments[name]):
            raise TypeError(f"{name} of {library} is no function")
    described, compiles = _described(arguments["model"]), in_force()
    if folder not in _writers:
        _writers[folder] = open_writer(folder, library)
    writer = _writers[folder]
    if writer is None or writer.off:
        return None
    writer.wrapped(library)
    if described is not None:
        writer.model(**described)
    return Watch(writer, arguments, code, compiles, _following(arguments))


def _following(arguments: dict[str, Any]) -> Optional[FollowedTraining]:
    """The follower of the parameters; None where they cannot be had."""
    try:
        from .followed_training import FollowedTraining

        return FollowedTraining(arguments)
    except Exception:
        return None


class Watch:
    """One call of `train`, with these `arguments`."""

    def __init__(
        self,
        writer: Writer,
        arguments: dict[str, Any],
        code: Optional[CodeType],
        compiles: Optional[bool],
        following: Optional[FollowedTraining] = None,
    ) -> None:
        self._writer = writer
        self._following = following
        self._iterate_batches = arguments["iterate_batches"]
        self._saves_every = getattr(arguments["args"], "steps_per_save", None)
        # Its loss is read where the source is as it is known to be: the loss of one step, which
        # has been evaluated when the next batch is asked for.
        known = code is not None and "lvalue" in code.co_varnames and "eval" in code.co_names
        self._code = code if known else None
        self._compiles = compiles
        self._traces = 0
        self._seen = Inputs()
        self._inputs = 0, 0
        self._first = writer.ended
        self._started = False
        self._open = False
        """A step is under way, and nothing has said yet that it returned."""
        self.wrappers = {
            "loss": self._counted(arguments["loss"]),
            "iterate_batches": self.iterate_batches,
            "training_callback": Callback(self, arguments["training_callback"]),
        }
        """The arguments that `train` gets in place of its own arguments."""

    def iterate_batches(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        batches = self._iterate_batches(*args, **kwargs)
        if self._started:
            return self._validation(batches)
        self._started = True
        return self._training(batches)

    def _counted(self, loss: Callable[..., Any]) -> Callable[..., Any]:
        """The loss function; it runs when a step is traced, and for each batch of a validation."""

        @wraps(loss)
        def counted(*args: Any, **kwargs: Any) -> Any:
            self._traces += self._writer.phase != "validate"
            return loss(*args, **kwargs)

        return counted

    def _training(self, batches: Iterable[Any]) -> Iterator[Any]:
        writer, step = self._writer, self._first
        iterator = iter(batches)
        try:
            while True:
                if self._open:
                    self._end(sys._getframe(1), None, None)
                writer.at("data", step)
                try:
                    batch = next(iterator)
                except StopIteration:
                    return
                self._inputs = self._seen.look(batch)
                writer.at("step")
                self._open = True
                if self._following is not None:
                    self._following.see(batch)
                yield batch
                step += 1
        finally:
            # The loop lets go of us where it ends; the last step's report came before.
            if not self._open:
                writer.at("checkpoint")

    def _validation(self, batches: Iterable[Any]) -> Iterator[Any]:
        self._writer.at("validate")
        for batch in batches:
            yield batch
            self._writer.at("validate")

    def reported(self, info: Any) -> None:
        """The step has returned: its loss is being reported."""
        if self._open:
            self._end(sys._getframe(2), info, "report")

    def after_report(self, info: Any) -> None:
        iteration, every = _get(info, "iteration"), self._saves_every
        counts = isinstance(iteration, int) and isinstance(every, int)
        if counts and every and iteration % every == 0:
            self._writer.at("checkpoint")

    def validated(self) -> None:
        self._writer.at("report")

    def after_validation(self) -> None:
        self._writer.at("step")

    def returned(self) -> None:
        self._writer.at("after_train")
        if self._following is not None:
            self._look(self._following)
        self._writer.finish(compile_works=self._compiles)

    def failed(self) -> None:
        """The training raised: what is known of its parameters may say why."""
        if self._following is not None and self._following.explains_error():
            self._look(self._following)

    def _look(self, following: FollowedTraining) -> None:
        """Write what became of the parameters; never raises."""
        try:
            seen = following.look(self._writer.ended - self._first)
        except Exception:  # the training is over: it must not fail by being looked at
            return
        self._writer.learning(**seen)

    def _end(self, frame: Optional[FrameType], info: Any, then: Optional[str]) -> None:
        """`frame` was called, directly or not, by the training loop."""
        self._open = False
        loss = self._loss_in(frame)
        if loss is None:
            loss = _float(_get(info, "train_loss"))
        counted = self._compiles is True
        self._writer.end(
            loss=loss,
            traces=self._traces if counted else 0,
            calls=self._writer.ended - self._first + 1 if counted else 0,
            then=then,
            inputs=self._inputs,
        )

    def _loss_in(self, frame: Optional[FrameType]) -> Optional[float]:
        """The loss of the step that has just been evaluated, out of the loop's own variables."""
        if self._code is None:
            return None
        try:
            while frame is not None and frame.f_code is not self._code:
                frame = frame.f_back
            if frame is None:
                return None
            variables = frame.f_locals
            loss: Any = variables.get("lvalue")
            if type(variables) is dict:
                # Before Python 3.13 this is a copy that the frame keeps: it must not keep a
                # batch or gradients in memory which the loop has let go of.
                variables.clear()
            return _float(loss.item())
        except Exception:
            self._code = None
            return None


class Callback:
    """Hears the reports, and hands them on to the training's own callback."""

    def __init__(self, watch: Watch, own: Any) -> None:
        self._watch = watch
        self._own = own

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def on_train_loss_report(self, train_info: Any) -> None:
        self._watch.reported(train_info)
        if self._own is not None:
            self._own.on_train_loss_report(train_info)
        self._watch.after_report(train_info)

    def on_val_loss_report(self, val_info: Any) -> None:
        self._watch.validated()
        if self._own is not None:
            self._own.on_val_loss_report(val_info)
        self._watch.after_validation()


def _get(info: Any, name: str) -> Any:
    return info.get(name) if isinstance(info, dict) else None


def _float(value: Any) -> Optional[float]:
    return float(value) if isinstance(value, (int, float)) else None


def _described(model: Any) -> Optional[dict[str, Any]]:
    """The fields of a ModelBeat, if `model` is one of MLX. Sizes are known unevaluated."""
    try:
        flatten = sys.modules["mlx.utils"].tree_flatten
        every = [value for _, value in flatten(model.parameters())]
        trainable = [value for _, value in flatten(model.trainable_parameters())]
    except Exception:
        return None
    dtypes = sorted({str(value.dtype).rpartition(".")[2] for value in trainable})
    return {
        "parameters": sum(value.size for value in every),
        "parameter_bytes": sum(value.nbytes for value in every),
        "trainable": sum(value.size for value in trainable),
        "trainable_bytes": sum(value.nbytes for value in trainable),
        "dtype": "+".join(dtypes) or "none",
        "description": type(model).__module__.rpartition(".")[2],
    }
