"""No name, address or secret in what is published; and nothing lost that is none."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import pwd
import random
import re
import time
import typing
from array import array
from pathlib import Path

import fakes
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from private_markers import MARKERS, PERSONAL

from harness import model, privacy
from harness.beats.record import Record
from harness.privacy import Personal, personal, redacted, redacted_source, tokens
from harness.privacy.redact import arguments
from harness.privacy.rules import RULES, Rule
from harness.report.input import _record
from harness.scenario import load
from harness.text.sanitize import sanitize


@pytest.mark.parametrize("kind", sorted(MARKERS))
def test_no_marker_stays_in_a_line(kind):
    text, secrets = MARKERS[kind]
    for around in ("{}", "step 3: {} and so on", '{{"message": "{}"}}', "({})", "x\n{}\ny"):
        told = redacted(around.format(text), PERSONAL)
        assert not [secret for secret in secrets if secret in told], told


@pytest.mark.parametrize("kind", sorted(MARKERS))
@pytest.mark.parametrize("times", [1, 2, 3])
def test_no_marker_stays_however_often_it_was_written_as_json(kind, times):
    text, secrets = MARKERS[kind]
    for _ in range(times):
        text = json.dumps({"message": text})
    told = redacted(text, PERSONAL)
    assert not [secret for secret in secrets if secret in told], told
    told = redacted(repr(text), PERSONAL)
    assert not [secret for secret in secrets if secret in told], told


@pytest.mark.parametrize(
    "key", ["password: ", "token =", "Authorization:", "--password", "the password is", "bearer "]
)
@pytest.mark.parametrize("end", ["\n", "\n  "])
def test_a_key_without_a_value_takes_none_from_the_next_line(key, end):
    text = f"{key}{end}hello1234 Bob 6"
    assert redacted(text, PERSONAL) == text


@pytest.mark.parametrize("kind", sorted(MARKERS))
def test_a_second_pass_changes_nothing(kind):
    once = redacted(MARKERS[kind][0], PERSONAL)
    assert redacted(once, PERSONAL) == once


@pytest.mark.parametrize(
    "text",
    [
        "Iter 10: Train loss 0.986, Learning Rate 1.000e-05, It/sec 0.522, Tokens/sec 201.1",
        "Trained Tokens 3855, Peak mem 28.349 GB",
        "  iter   train_loss     tok/s     tokens",
        "[00:00:12] ####---- 10/5000 ETA:1h loss: 2.4521 (avg: 2.50) | lr: 5.00e-05 | 12:34:56",
        "pad_token_id: 128001, eos_token: </s>, num_tokens = 12",
        "tokenizer = load(config)",
        "mlx::core::distributed::ring::RingGroup::all_reduce",
        "pthread_cond_wait@@GLIBC_2.3.2 in /usr/lib/x86_64-linux-gnu/libc.so.6",
        "deadlock in phase eval of step 3: 3 threads in 2 processes",
        "0x7f5ada31c9ec fingerprint 82afb37e3928",
        "mlx 0.32.4, Python 3.11.7, Linux 6.18.44",
        "listening on 127.0.0.1:8080 and [::1]",
        "x @ w.T, loss = nn.losses.cross_entropy(model(x), y)",
        "@partial(mx.compile, inputs=state, outputs=state)",
        "root cause: a user of the test",
        "rank 1 never issued all_sum #3 (step 3): none in that step, the others 1",
        "https://github.com/ml-explore/mlx/issues/1",
        "and/or, n/a, 3/4, tokens/sec",
        "_ZN3mlx4core11distributed4ring9RingGroup10all_reduceEv",
        "def login(user, password=None): return token",
        "api_key = get_key(); secret = os.environ['X']",
        "login(token=token, password=password)",
        "y = x@w.T",
        "a basic understanding of the bearer something",
        "mx/core/Distributed/Ring2/AllReduceImplementation/Float32Vectorized",
        "0::/user.slice, 127.0.0.2, ::1",
        "https://github.com/ml-explore/mlx/blob/main/README.md",
        "memcpy@GLIBC_2.14 in libc",
        "password: \nhello Bob",
        "Cookie:\nhello",
        "mlx.core.fast, mlx_lm.tuner.trainer, torch.nn, self.model.net, config.local",
        "threading.local() in pathlib.Path.home, Module.internal = 3",
        "train.py:1234, model.safetensors, mlx-0.32.4.tar.gz, harness.worker.main:1234",
        "torch.nn.modules.conv:459 and libcudnn.so.8.9.7.29, v1.2.3.4",
        "x[..., ::2], x[..., 1::2], x[ad::be]",
        "forward pass: 12 ms; pass: 3, first pass: done",
        "connected to rank 1, connect to the server; host and device",
        "| token | count |",
        "the per-token log-probabilities",
        "bos_token: <|begin_of_text|>",
        "cos = 0.28173255684142969771341791534661698903, 50% of /home",
        'with open(f"{self.procfs}/{self.pid}/task/{tid}/stat") as file:',
        "ReadWriter<float, /*step=*/1, /*real=*/true>::write(size_t /*n*/)",
        "password: bool = False, py.path.local(x)",
        "host: 12 ms, device: 3 ms; host='localhost', host = 3.2, --host 127.0.0.1",
        "def f(host: str = '0.0.0.0'), the user: a person, user=name, node_name: conv1",
        "Options:\\n\\tnone, x:\\n\\t1, A:\\n",
        "the passes: 3, num_pass=12, forwardPass=3, {'pass': 3}, {\"pass\": true}",
        "https://docs.python.org/3/library/re.html, see kernel.org and raw.githubusercontent.com",
    ],
)
def test_what_names_nobody_stays(text):
    assert redacted(text, PERSONAL) == text


def test_paths_keep_what_is_needed_to_find_the_place():
    assert redacted("/home/alice/work/train.py:12", PERSONAL) == "<project>/train.py:12"
    assert redacted("/home/alice/data/x.bin", PERSONAL) == "~/data/x.bin"
    assert redacted('File "/home/bob/a.py"', PERSONAL) == 'File "~/a.py"'
    assert redacted("/Volumes/Acme/secret/w.npz", PERSONAL) == "<path>/w.npz"
    assert redacted("/usr/lib/libc.so.6", PERSONAL) == "/usr/lib/libc.so.6"


def test_what_follows_an_option_for_a_secret_is_left_out():
    argv = ("train", "--hf-token", "abc", "--api-key=def", "--lr", "1e-3", "--password", "x")
    assert arguments(argv, PERSONAL) == (
        *("train", "--hf-token", "<secret>", "--api-key=<secret>", "--lr", "1e-3"),
        *("--password", "<secret>"),
    )


# -- source


def sources():
    """Files of mlx-lm, which is not imported: that takes longer than all tests here."""
    (site,) = map(Path, importlib.util.find_spec("mlx_lm").submodule_search_locations)
    return sorted(
        [*site.glob("models/*.py"), *site.glob("tuner/*.py")]
        + [file for folder in load.folders() for file in folder.glob("*.py")]
    )


def shape(text):
    """What a program does, whatever its strings say."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            node.value = ""
        if isinstance(node, ast.JoinedStr):
            node.values = [one for one in node.values if not isinstance(one, ast.Constant)]
    return ast.dump(tree)


@pytest.mark.unmeasured
def test_redacted_source_does_what_it_did():
    files = sources()
    assert len(files) > 100
    for file in random.sample(files, 60):  # others in each run
        text = file.read_text()
        told = redacted_source(text, PERSONAL)
        assert shape(told) == shape(text), file
        assert told == text or redacted_source(told, PERSONAL) == told, file


@pytest.mark.parametrize(
    "text",
    [
        "y = x[..., ::2] + x[..., 1::2] + x[ad::be]",
        "loss = mx.mean(inputs@weight)",
        "token_mask = attention_mask_4d",
        "shared_key = head_key",
        "session_id: int = 0",
        "secret_dim = 64; pwd = power2",
        "c = b /c/ d",
        "secret = os.environ['X']",
        "names = ('input_token', 'attention_mask')",
        "eos_token = '<|im_end|>'",
        "print('\\x1b[31mred\\x1b[0m', b'\\0')",
        "folder = f'/proc/{pid}/task/{thread!r:>{width}}'",
        'class Token:\n    """Of a text, a part."""',
        "x = f'{d[\"a\"]:{n}}{{}}'",
    ],
)
def test_source_without_a_name_or_secret_stays(text):
    assert redacted_source(text, PERSONAL) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("password = b'Zq9Xw3Lk7'", "password = b'<secret>'"),
        ('{"password": b"x"}', '{"password": b"<secret>"}'),
        ("password: str = f'{a}Zq9Xw3Lk7'", "password: str = f'{a}<secret>'"),
        ("x = {'password': {'value': 'Zq9Xw3Lk7'}}", "x = {'password': {'value': '<secret>'}}"),
        ("os.environ['HF_TOKEN'] = 'Zq9Xw3Lk7'", "os.environ['HF_TOKEN'] = '<secret>'"),
        ("passwords = ['one', 'two']", "passwords = ['<secret>', '<secret>']"),
        ("password = ('one'\n'two')", "password = ('<secret>'\n'<secret>')"),
        ("add('--password', default='one')", "add('--password', default='<secret>')"),
        ("login(cookies={'sid': 'one'})", "login(cookies={'sid': '<secret>'})"),
        ("alice_x = user_x = alice_x", "user_x_ = user_x = user_x_"),
        ("x = 'al\\x69ce'", "x = '<user>'"),
        ("x = '/home/bob/a'  # of alice", "x = '~/a'  # of <user>"),
        ("x[..., 1::2] # 10.37.4.21\n", "x[..., 1::2] # <address>\n"),
        ("not Python: password=Zq9Xw3Lk7", "not Python: password=<secret>"),
    ],
)
def test_names_and_secrets_in_source_are_replaced_by_what_can_be_read(text, told):
    assert redacted_source(text, PERSONAL) == told
    assert redacted_source(told, PERSONAL) == told


@pytest.mark.parametrize("kind", sorted(MARKERS))
def test_no_marker_stays_in_source(kind):
    text, secrets = MARKERS[kind]
    quotes = ["{!r}", "b{!r}", "f{!r}", "print({!r} + x)"]
    for quote in quotes if text.isascii() and "{" not in text else quotes[:1]:
        told = redacted_source(quote.format(text), PERSONAL)
        assert not [secret for secret in secrets if secret in told], told
        ast.parse(told)


@given(st.text(alphabet="abf{}'\"\\\n #:=!()[]/@.rpwd1", max_size=60))
def test_any_text_is_taken_for_source(text):
    told = redacted_source(text, PERSONAL)
    try:
        expected = shape(sanitize(text))
    except (SyntaxError, ValueError):
        return
    assert shape(told) == expected


def structs(kind, found=None):
    """All structs that a value of this type may hold."""
    found = {} if found is None else found
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in found:
        found[kind] = typing.get_type_hints(kind)
        for hint in found[kind].values():
            structs(hint, found)
    for part in typing.get_args(kind):
        structs(part, found)
    return found


def test_each_field_of_a_run_has_a_rule_and_only_those():
    for kind, hints in structs(model.RunResult).items():
        assert list(RULES[kind]) == list(hints), kind
    assert set(RULES) == set(structs(model.RunResult))


def test_free_text_is_never_kept_as_it_is():
    for kind, hints in structs(model.RunResult).items():
        for name, hint in hints.items():
            if structs(hint):
                assert RULES[kind][name] is Rule.NESTED, (kind, name)
            elif name == "source":
                assert RULES[kind][name] is Rule.SOURCE
            elif typing.Any in flat(hint):
                assert RULES[kind][name] is Rule.TEXT, (kind, name)


def flat(hint):
    return {hint}.union(*(flat(part) for part in typing.get_args(hint)))


@given(fakes.drawn(model.RunResult))
def test_any_run_can_be_published_and_no_number_changes(run):
    told = privacy.published(run, PERSONAL)
    assert numbers(msgspec.to_builtins(told)) == numbers(msgspec.to_builtins(run))
    assert type(told) is type(run)


def test_no_entry_is_lost_where_two_keys_become_alike():
    phases = {"a@example.org": 1.0, "b@example.org": 2.0}
    assert list(privacy.cleaned(phases, PERSONAL).values()) == [1.0, 2.0]


def numbers(value):
    if isinstance(value, dict):
        return [n for item in value.values() for n in numbers(item)]
    if isinstance(value, list | tuple):
        return [n for item in value for n in numbers(item)]
    return [repr(value)] if isinstance(value, int | float | None) else []


def test_hosts_of_ranks_are_numbered_alike_everywhere():
    ranks = tuple(
        model.RankResult(rank=n, state=model.Standing.WORKING, reason=f"is on {host}", host=host)
        for n, host in enumerate(("lab-mini-7", "lab-mini-9", "lab-mini-7"))
    )
    run = fakes.run(fakes.result(ranks=ranks, reason="lab-mini-9 is silent"))
    told = privacy.published(run, PERSONAL).results[0]
    assert [one.host for one in told.ranks] == ["host-0", "host-1", "host-0"]
    assert told.ranks[1].reason == "is on host-1"
    assert told.reason == "host-1 is silent"
    again = privacy.published(privacy.published(run, PERSONAL), PERSONAL)
    assert again.results[0] == told


@given(st.text(max_size=400))
def test_no_text_raises_and_a_short_one_is_short_afterwards(text):
    assert len(redacted(text, PERSONAL)) <= 40 * len(text) + 40


@pytest.mark.unmeasured
@pytest.mark.parametrize(
    "unit",
    [
        "-",
        "a",
        "/",
        "a/",
        "-/",
        "x-",
        "a@",
        "token",
        "eyJ",
        ":",
        "1.",
        "a://",
        "--token ",
        "-----BEGIN",
    ],
)
def test_long_lines_cost_little_more_than_short_ones(unit):
    # In units of its own speed: what grows with the square would take a hundred times as long.
    def cost(size):
        text = unit * (size // len(unit)) + str(time.monotonic_ns())
        began = time.process_time()
        redacted(text, PERSONAL)
        return time.process_time() - began

    short = min(cost(4_000) for _ in range(5))
    long = min(cost(40_000) for _ in range(3))
    assert long < 60 * short + 0.05


def test_common_words_are_no_names():
    known = Personal(users=("root", "me", "adam", "max"), hosts=(("localhost", "<host>"),))
    for text in ("root cause on localhost: me", "optim.Adam(learning_rate=mx.max(x))"):
        assert redacted(text, known) == text


def test_home_and_names_of_this_machine_are_known(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    known = personal.gather()
    assert redacted(f"{tmp_path}/x.py", known) in ("~/x.py", "<project>/x.py")
    personal.keep(known, tmp_path)
    assert personal.recall(tmp_path) == known
    assert (tmp_path / personal.NAME).stat().st_mode & 0o077 == 0
    assert personal.recall(tmp_path / "nowhere") == personal.gather()


def test_a_host_is_known_by_its_names_in_full():
    hosts = "127.0.0.1 localhost\n127.0.1.1 studio-7.acme.example studio-7 # own\n10.0.0.9 other\n"
    resolver = "# x\nsearch acme.example lan\nnameserver 10.0.0.1\n"
    known = personal._hosts("Studio-7", hosts, resolver)
    assert known == ("Studio-7", "studio-7.acme.example", "studio-7", "acme.example")


def test_a_person_is_known_by_a_name_of_more_than_one_word():
    assert personal._person("Alice Q Smithson,Room 1,,") == "Alice Q Smithson"
    assert personal._person("root") == personal._person("Ubuntu") == ""
    assert personal._person("System Administrator") == ""


def test_the_owner_of_the_files_is_known_whatever_the_variables_say(monkeypatch):
    monkeypatch.setenv("LOGNAME", "somebody")
    entry = pwd.getpwuid(os.getuid())
    assert {"somebody", entry.pw_name} <= set(personal.gather().users)


def test_each_marker_is_of_another_kind():
    assert len(MARKERS) >= 130
    shown = {kind: (text, sanitize(text), secrets) for kind, (text, secrets) in MARKERS.items()}
    assert all(
        secret in text + seen for text, seen, secrets in shown.values() for secret in secrets
    )


def test_names_of_scenarios_are_published_as_names():
    assert privacy.named("alice_lora", PERSONAL) == "user_lora"
    assert privacy.named("mine", PERSONAL) == "mine"
    # A shipped one is known by its name.
    assert privacy.named("sgd_step", Personal(users=("sgd",))) == "sgd_step"


def test_the_files_of_a_scenario_are_found_by_its_published_name(tmp_path):
    (tmp_path / "alice_lora").mkdir()
    (tmp_path / "mine").mkdir()
    assert privacy.home(tmp_path, "user_lora", PERSONAL) == tmp_path / "alice_lora"
    assert privacy.home(tmp_path, "mine", PERSONAL) == tmp_path / "mine"
    assert privacy.home(tmp_path, "gone", PERSONAL) == tmp_path / "gone"


def test_what_a_worker_named_is_redacted_in_each_field_of_its_record():
    """Also in one that comes to be: all but arrays of numbers is looked through."""
    text = "alice@example.org"
    told = Record(
        error=model.ErrorBeat(t=0.0, type=text, message=text, traceback=text),
        phases={text: array("d", [1.0])},
        checks=(model.CheckBeat(t=0.0, step=0, name=text, value=1.0, expected=1.0, ok=True),),
    )
    seen = _record(told, lambda value: privacy.cleaned(value, PERSONAL))
    assert "alice" not in repr(seen)
    assert seen.phases == {"<email>": array("d", [1.0])}


@pytest.mark.parametrize(
    "text",
    [
        "grows by +12 345 bytes",
        "loss +0.5 -1 from 2e+10 to 3",
        "--sort-key loss --primary-key id",
        "run 0f8c2a1e-5b7d-4c9e-8a3f-1d2e3c4b5a69 began",
        "mysql has 3 tables",
        "the key of the dictionary is loss",
        "step 3 of /media is next",
    ],
)
def test_what_names_nobody_and_is_no_secret_stays(text):
    assert redacted(text, PERSONAL) == text


def test_each_form_of_a_token_names_its_issuer_and_its_source():
    assert len({form.pattern for form in tokens.FORMS}) == len(tokens.FORMS)
    for form in tokens.FORMS:
        assert re.compile(form.pattern)
        assert form.issuer
        assert len(form.source) > 6
