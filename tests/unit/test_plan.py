"""Everything wrong that can be seen before a process is started is told then."""

from __future__ import annotations

import json

import pytest

from harness.errors import UsageError
from harness.model import Settings
from harness.scenario import load
from harness.session import plan
from harness.supervise import ports


def model_folder(tmp_path, **config):
    (tmp_path / "config.json").write_text(json.dumps(config))
    return str(tmp_path)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(steps=0),
        Settings(batch_size=0),
        Settings(optimizer="sgdd"),
        Settings(dtype="float8"),
        Settings(train="last:0"),
        Settings(train="half"),
        Settings(model="/no/such/folder"),
        Settings(model="tiyn"),
        Settings(seed=-1),
        Settings(seed=2**64),
        Settings(ranks=99_999),
    ],
)
def test_settings_that_cannot_be_run(settings):
    with pytest.raises(UsageError):
        plan.check(settings)


def test_the_largest_seed_and_number_of_ranks_can_be_run():
    plan.check(Settings(seed=2**64 - 1, ranks=ports.MOST))


def test_a_quantised_model_is_not_trained_in_full(tmp_path):
    model = model_folder(tmp_path, quantization={"bits": 4})
    plan.check(Settings(model=model))
    plan.check(Settings(model=model, train="lora"))
    for train in ("full", "last:2"):
        with pytest.raises(UsageError, match="quantized"):
            plan.check(Settings(model=model, train=train))


def test_broken_model_folders(tmp_path):
    with pytest.raises(UsageError, match=r"no config\.json"):
        plan.check(Settings(model=str(tmp_path)))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UsageError, match="cannot read"):
        plan.check(Settings(model=str(tmp_path)))
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(UsageError, match="not a JSON object"):
        plan.check(Settings(model=str(tmp_path)))


def test_a_hub_id_is_left_to_the_worker():
    settings = Settings(model="mlx-community/SmolLM-135M-4bit")
    (run,) = plan.make(load.find(["baseline_update"]), settings, 1)
    assert run.settings.model == "mlx-community/SmolLM-135M-4bit"


def test_repeats_are_interleaved_and_overrides_apply():
    infos = load.find(["baseline_update", "sgd_step"])
    runs = plan.make(infos, Settings(), 2)
    assert [(run.info.name, run.repeat) for run in runs] == [
        ("baseline_update", 0),
        ("sgd_step", 0),
        ("baseline_update", 1),
        ("sgd_step", 1),
    ]
    assert [run.settings.optimizer for run in runs] == ["adamw", "sgd"] * 2
