"""Names of other hosts, told from modules, attributes and files by where they stand. Pure."""

from __future__ import annotations

import re
import sys

from harness.text import late

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}[A-Za-z0-9])?"
_DOTTED = rf"{_LABEL}(?:\.{_LABEL}){{1,8}}"
_FILES = (
    r"(?:py|pyi|pyx|ipynb|c|cc|cpp|cu|h|hpp|mm|m|metal|rs|go|js|ts|java|sh|json|jsonl|txt|log|md|rst"
    r"|ya?ml|toml|ini|cfg|conf|csv|tsv|xml|html|so|dylib|a|o|whl|gz|zip|tar|npz|npy|bin|pt|pth"
    r"|safetensors|gguf|ckpt|lock|out|err|tmp|bak|png|pdf|service)"
)
DOMAIN = rf"(?:\.(?!{_FILES}(?![\w-]))[a-z0-9](?:[a-z0-9-]{{0,62}}[a-z0-9])?(?![\w-])){{0,8}}"
"""The text that may follow the name of a host."""
_PUBLIC = frozenset((
    "github.com", "githubusercontent.com", "huggingface.co", "hf.co", "python.org", "pytorch.org",
    "apple.com", "ml-explore.github.io", "readthedocs.io", "readthedocs.org", "arxiv.org",
    "nvidia.com", "numpy.org", "scipy.org", "tensorflow.org", "jax.dev", "wandb.ai", "kaggle.com",
    "gnu.org", "kernel.org", "debian.org", "ubuntu.com", "docker.com", "brew.sh", "wikipedia.org",
    "stackoverflow.com", "openai.com", "anthropic.com", "google.com", "microsoft.com", "w3.org",
    "json-schema.org", "opensource.org", "apache.org", "llvm.org", "cmake.org", "yaml.org",
    "astral.sh",
))  # fmt: skip
"""Hosts that everybody knows. An index of packages is none: many a one is a company's own."""
_SIDES = frozenset((
    "www", "docs", "developer", "platform", "gist", "api", "raw", "files", "download",
    "downloads", "support", "discuss", "cdn-lfs", "upload", "test", "objects", "codeload",
    "packages", "en", "forums", "status", "security",
))  # fmt: skip
_HERE = frozenset(("localhost", "localhost.localdomain", "ip6-localhost", "host.docker.internal"))
_WORLD = r"com|org|edu|gov|mil"
_INSIDE = r"lan|corp|intranet|localdomain|home\.arpa|cluster\.local|svc\.local"
_ANY = (
    r"net|io|ai|cloud|co|eu|uk|de|fr|nl|ch|cn|jp|kr|ru|ca|au|br|se|es|info|xyz|example|invalid"
    r"|local|internal|private"
)
_MODULES = sys.stdlib_module_names | frozenset((
    "self", "cls", "mx", "nn", "np", "mlx", "mlx_lm", "torch", "numpy", "scipy", "jax", "args",
    "config", "cfg", "model", "models", "training", "trainer", "train", "optimizer", "optim",
    "settings", "com", "org", "net", "io", "data", "dataset", "module", "layer", "tls", "utils",
    "harness", "transformers", "skimage", "state", "cache", "options", "params", "ctx",
    "context", "py",
))  # fmt: skip

_URL = late.compile(
    r"(\b[A-Za-z][\w+.-]{0,30}://(?:[^\s/@\"'<]{0,64}@|<credentials>@)?)"
    rf"({_LABEL}(?:\.{_LABEL}){{0,8}})"
    r"(?![\w@-]|\.\w)"
)
_SPOKEN = late.compile(
    r"(\b(?:(?:connect(?:ed|ing|ion)?[ \t]{1,2}(?:to|from)|resolve|lookup|reach)[ \t]{1,2}"
    r"(?:host(?:name)?|server|address)[ \t:]{1,2}[\"']?|hostname"
    r"[\"']?[ \t]{0,4}[=:][ \t]{0,4}[\"']?))"
    rf"({_LABEL}(?:\.{_LABEL}){{0,8}})(?![\w(-]|\.\w)",
    re.IGNORECASE,
)
_GIVEN = late.compile(
    r"(\b(?:master_?addr(?:ess)?|\w{0,20}node(?:name|list))[\"']?[ \t]{0,4}[=:][ \t]{0,4}[\"']?"
    r"|\bssh\\{0,64}[\"'][ \t]{0,4}:[ \t]{0,4}\\{0,64}[\"']"
    r"|\bhost\\{0,64}[\"']?[ \t]{0,4}[=:][ \t]{0,4}\\{0,64}[\"']"
    r"|\bconnect(?:ed|ing|ion)?[ \t]{1,2}(?:to|from)[ \t]{1,2}(?=[\w.-]{1,253}:\d{2,5}\b))"
    rf"({_LABEL}(?:\.{_LABEL}){{0,8}})",
    re.IGNORECASE,
)
_NCCL = late.compile(
    rf"(?<![\w.-])({_LABEL}(?:\.{_LABEL}){{0,8}})"
    r"(?=:\d+:\d+ \[[^\]\n]{1,20}\] (?:[\w/.-]{1,80}:\d{1,5} )?NCCL |<\d{1,5}>)"
)
"""The host at the begin of a line of NCCL, and a peer with its port."""
_OPTION = late.compile(
    r"((?<![\w-])--?hosts?(?:\\{0,64}[\"'],[ \t]{0,4}\\{0,64}[\"']|[ \t]+|=))([\w.,:-]+)"
)
_ITEM = late.compile(rf"(?<![\w.-]){_LABEL}(?:\.{_LABEL}){{0,8}}(?![\w.-])")
_AFTER = late.compile(
    r"(\b(?:connect(?:ed|ing|ion)?[ \t]{1,2}(?:to|from)|host|resolve|reach|ssh|scp|ping)"
    r"[\"']?[ \t:=]{1,4}[\"']?)"
    rf"({_DOTTED})(?![\w(-]|\.\w)",
    re.IGNORECASE,
)
_NAMED = late.compile(
    rf"(?<![\w.@-])({_DOTTED})(?![\w(\[-]|\.\w|[ \t]{{0,2}}=[^=])(:\d{{2,5}}(?!\d))?"
)
_SUFFIX = late.compile(rf"(?:^|\.)(?:({_WORLD})|({_INSIDE})|({_ANY}))$", re.IGNORECASE)
_FILE = late.compile(rf"\.{_FILES}$", re.IGNORECASE)


def hidden(text: str) -> str:
    """`text` with `<host>` in place of hosts, but for those that everybody knows."""
    if "://" in text:
        text = _URL.sub(_in_url, text)
    text = _GIVEN.sub(_spoken, _SPOKEN.sub(_spoken, text))
    text = _OPTION.sub(lambda match: match[1] + hidden_list(match[2]), text)
    text = _NCCL.sub("<host>", text)
    if "." in text:
        text = _NAMED.sub(_named, _AFTER.sub(_after, text))
    return text


def names_hosts(argument: str) -> bool:
    """Check whether a command's word is an option whose value is a list of hosts."""
    return argument in ("--host", "--hosts", "-host", "-hosts")


def hidden_list(text: str) -> str:
    """A list of hosts, each with its port or number of slots."""
    return _ITEM.sub(_item, text)


def _item(match: re.Match[str]) -> str:
    name = match[0]
    return name if name.isdigit() or _known(name) or _FILE.search(name) else "<host>"


def _known(name: str) -> bool:
    name = name.lower()
    side, _, rest = name.partition(".")
    return (
        name in _HERE
        or name in _PUBLIC
        or (side in _SIDES and rest in _PUBLIC)
        or re.fullmatch(r"[\d.]+", name) is not None  # what it is, is told by its numbers
    )


def _in_url(match: re.Match[str]) -> str:
    return match[0] if _known(match[2]) else f"{match[1]}<host>"


_NO_NAMES = frozenset(
    ("none", "null", "true", "false", "is", "was", "of", "for", "in", "at", "by", "on", "and", "or")
    + ("to", "a", "an", "the", "unknown")
)


def _spoken(match: re.Match[str]) -> str:
    name = match[2]
    return match[0] if _known(name) or name.lower() in _NO_NAMES else f"{match[1]}<host>"


def _after(match: re.Match[str]) -> str:
    name = match[2]
    return match[0] if _known(name) or _is_other(name) else f"{match[1]}<host>"


def _is_other(name: str) -> bool:
    """Check whether it is a file, a number with its unit, or an attribute of a program."""
    labels = name.split(".")
    return bool(
        _FILE.search(name)
        or labels[0] in _MODULES
        or not re.search("[A-Za-z]", labels[-1])
        or labels[-1][0].isdigit()
    )


def _named(match: re.Match[str]) -> str:
    name, port = match[1], match[2] or ""
    if _known(name) or _is_other(name):
        return match[0]
    labels = name.split(".")
    odd = "-" in name or bool(re.search(r"[A-Za-z]\d+$", labels[0]))
    suffix = _SUFFIX.search(name)
    if suffix is None:
        host = bool(port) and ("-" in name or (odd and len(port) > 4))
    else:
        host = bool(suffix[1] or suffix[2]) or odd or len(labels) > 2 or bool(port)
    return f"<host>{port}" if host else match[0]
