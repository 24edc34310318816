from . import PreTrainedTokenizerBase as PreTrainedTokenizerBase
