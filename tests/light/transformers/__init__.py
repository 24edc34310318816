"""mlx-lm without the second that transformers takes to be imported, for each Python whose
PYTHONPATH begins with the folder above: for models that see no text."""


class PreTrainedTokenizerBase:
    @classmethod
    def register(cls, *_: object, **__: object) -> None: ...


AutoTokenizer = PreTrainedTokenizer = PreTrainedTokenizerFast = PreTrainedTokenizerBase
