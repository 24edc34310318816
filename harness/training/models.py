"""The model that is trained: built in, or any mlx-lm model, with what is trained of it."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import shutil
import sys
import tempfile
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from harness.errors import UsageError
from harness.model import Settings
from harness.training.data import byte_tokens

BUILT_IN = {
    "tiny": {"hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 172},
    "micro": {"hidden_size": 32, "num_hidden_layers": 1, "intermediate_size": 86},
}
LORA = {"rank": 8, "scale": 20.0, "dropout": 0.0}
"""mlx-lm's own defaults."""


def build(settings: Settings) -> tuple[nn.Module, Callable[[str], list[int]]]:
    """The model in training mode with its parameters evaluated, and its tokenizer's encode.

    Raises UsageError when the model cannot be had or cannot be trained as asked.
    """
    model, encode = prepare(settings)
    mx.eval(model.parameters())
    return model, encode


def prepare(settings: Settings, lazy: bool = False) -> tuple[nn.Module, Callable[[str], list[int]]]:
    """Prepare like `build`, up to the evaluation; `lazy` loads no weights either, so nothing is
    allocated."""
    mx.random.seed(settings.seed)
    if importlib.util.find_spec("mlx_lm") is None:
        from harness.observe import installation

        raise UsageError(installation.missing("mlx-lm"))
    if settings.model in BUILT_IN:
        model, encode = _built_in(settings)
    else:
        model, encode = _load(settings.model, lazy)
    if settings.dtype is not None:
        model.set_dtype(getattr(mx, settings.dtype))
    _choose_trainable(model, settings.train)
    model.train()
    return model, encode


def _built_in(settings: Settings) -> tuple[nn.Module, Callable[[str], list[int]]]:
    llama = _import_alone("mlx_lm.models.llama")
    args = llama.ModelArgs(
        model_type="llama",
        num_attention_heads=4,
        num_key_value_heads=2,
        rms_norm_eps=1e-5,
        vocab_size=256,
        **BUILT_IN[settings.model],
    )
    model: nn.Module = llama.Model(args)
    return model, byte_tokens


def _import_alone(name: str) -> ModuleType:
    """Import a module of mlx_lm without running `mlx_lm/__init__.py`.

    That one imports transformers: three seconds a worker, for a model that needs none of it. The
    stand-in package is taken away again, so that a scenario's own `import mlx_lm` is the real one.
    """
    package = name.partition(".")[0]
    if package not in sys.modules:
        spec = importlib.util.find_spec(package)
        assert spec is not None
        sys.modules[package] = importlib.util.module_from_spec(spec)
        try:
            return importlib.import_module(name)
        finally:
            for loaded in [m for m in sys.modules if m == package or m.startswith(package + ".")]:
                del sys.modules[loaded]
    return importlib.import_module(name)


def _load(path_or_id: str, lazy: bool) -> tuple[nn.Module, Callable[[str], list[int]]]:
    from mlx_lm import load

    path = Path(path_or_id).expanduser()
    file = path / "config.json" if path.is_dir() else path
    if lazy and file.is_file() and (file == path or not any(path.glob("*.safetensors"))):
        return _of_config(file), byte_tokens
    try:
        model, tokenizer = load(path_or_id, lazy=lazy)[:2]
    except Exception as error:
        # mlx-lm, safetensors, the tokenizer and the hub each raise their own kinds.
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(f"cannot load the model {path_or_id}: {first}") from error
    return model, tokenizer.encode


def _of_config(file: Path) -> nn.Module:
    """The model that a config.json describes, without its weights; nothing is evaluated."""
    from mlx_lm.utils import load_model

    said = io.StringIO()
    try:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(said):
            shutil.copy(file, Path(folder) / "config.json")
            model, config = load_model(
                Path(folder), lazy=True, strict=False, get_model_classes=_weightless
            )
        if (how := config.get("quantization")) is not None:
            _quantize(model, how, config.get("quantization_config") or {})
        elif (dtype := config.get("torch_dtype") or config.get("dtype")) is not None:
            model.set_dtype(getattr(mx, str(dtype)))
    except (Exception, SystemExit) as error:
        # A module of mlx-lm that needs another package prints so, and ends Python.
        words = said.getvalue() if isinstance(error, SystemExit) else str(error)
        first = (words.strip() or type(error).__name__).splitlines()[0]
        raise UsageError(f"cannot load the model {file}: {first}") from error
    return model


def _weightless(config: dict[str, Any]) -> tuple[Any, Any]:
    """The classes of a model. Its `sanitize` may fail without weights."""
    from mlx_lm.utils import _get_classes

    model, args = _get_classes(config)

    class Weightless(model):  # type: ignore[misc, valid-type]
        def sanitize(self, weights: dict[str, Any]) -> dict[str, Any]:
            for part in (super(), *self.children().values()):
                if hasattr(part, "sanitize"):
                    # Of a model that also sees, the part that reads decides about its last layer.
                    with contextlib.suppress(Exception):
                        part.sanitize({})
            return weights

    return Weightless, args


def _quantize(model: nn.Module, how: dict[str, Any], original: dict[str, Any]) -> None:
    """Quantize as the config says: mlx-lm quantizes only what has weights that are quantized."""
    left = original.get("modules_to_not_convert") or ()

    def chosen(path: str, module: nn.Module) -> Any:
        if not hasattr(module, "to_quantized") or any(fnmatch(path, f"{p}*") for p in left):
            return False
        return how.get(path, True)

    names = ("group_size", "bits", "mode")
    nn.quantize(model, class_predicate=chosen, **{name: how[name] for name in names if name in how})


def _choose_trainable(model: nn.Module, train: str | None) -> None:
    quantized = any(hasattr(module, "bits") for _, module in model.named_modules())
    train = train or ("lora" if quantized else "full")
    if train == "full":
        if quantized:
            raise UsageError("a quantized model cannot be trained in full: use --train lora")
        model.unfreeze()
        return
    model.freeze()
    blocks: list[Any] = model.layers
    if train == "lora":
        from mlx_lm.tuner.utils import linear_to_lora_layers

        linear_to_lora_layers(model, len(blocks), LORA)
        return
    count = int(train.removeprefix("last:"))
    if quantized:
        raise UsageError("the blocks of a quantized model cannot be trained: use --train lora")
    if count > len(blocks):
        has = "1 block" if len(blocks) == 1 else f"{len(blocks)} blocks"
        raise UsageError(f"--train last:{count}: the model has {has}; give a smaller number")
    for block in blocks[-count:]:
        block.unfreeze()


def describe(model: nn.Module) -> tuple[int, int, int, int, str]:
    """Parameters and their bytes, trainable ones and their bytes, and the trainable dtype."""
    every = [value for _, value in tree_flatten(model.parameters())]
    trainable = [value for _, value in tree_flatten(model.trainable_parameters())]
    dtypes = sorted({str(value.dtype).removeprefix("mlx.core.") for value in trainable})
    return (
        sum(value.size for value in every),
        sum(value.nbytes for value in every),
        sum(value.size for value in trainable),
        sum(value.nbytes for value in trainable),
        "+".join(dtypes) or "none",
    )
