"""MLflow and Weights & Biases, offline: every epoch of a run that is killed comes once."""

import dataclasses
import json

import pytest

import keras_rescnet as kr
from keras_rescnet.callbacks import MLflowLogger, RunFacts, WandbLogger
from keras_rescnet.callbacks.wandb_files import offline_rows
from support import noise
from support.stopping import Killed, killing_after

pytestmark = pytest.mark.slow  # they import much, and write databases


def train_and_kill(make, folder):
    """Trains three epochs of five steps, killed before the first checkpoint and after it."""
    recipe = dataclasses.replace(noise.recipe, callbacks=lambda: [make()], steps_per_execution=1)
    for steps in (2, 6):
        with pytest.raises(Killed), killing_after(steps):
            kr.train(recipe, folder)
    return kr.train(recipe, folder)


def rows_of(folder):
    lines = (folder / "log.csv").read_text().splitlines()
    names = lines[0].split(",")
    return [dict(zip(names, map(float, line.split(",")), strict=True)) for line in lines[1:]]


@pytest.fixture
def mlflow(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return pytest.importorskip("mlflow", reason="needs the extra mlflow")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    pytest.importorskip("sqlalchemy", reason="needs the extra mlflow")
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


def test_mlflow_has_every_epoch_once(mlflow, store, tmp_path, monkeypatch):
    folder = tmp_path / "digits"
    results = train_and_kill(lambda: MLflowLogger("noise", tracking_uri=store), folder)
    client = mlflow.MlflowClient(store)
    experiment = client.get_experiment_by_name("noise").experiment_id
    (run,) = client.search_runs([experiment])
    assert (run.info.status, run.info.run_name) == ("FINISHED", "digits")
    assert run.data.params["batch_size"] == "8" and "callbacks" not in run.data.params
    rows = rows_of(folder)
    for name in rows[0].keys() - {"epoch"}:
        history = client.get_metric_history(run.info.run_id, name)
        assert [m.step for m in history] == [1, 2, 3], name
        assert [m.value for m in history] == [row[name] for row in rows], name
    assert run.data.metrics["best_test_accuracy"] == results["best_test_accuracy"]


def test_an_epoch_that_mlflow_could_not_take_comes_with_the_next(mlflow, store, tmp_path, capsys):
    client = mlflow.MlflowClient
    log_batch, left = client.log_batch, 2

    def refusing(self, run_id, metrics=(), **options):
        nonlocal left
        left -= bool(metrics)
        if metrics and left >= 0:
            raise ConnectionError("the server\nis away")
        return log_batch(self, run_id, metrics=metrics, **options)

    logger = MLflowLogger(tracking_uri=store)
    run = RunFacts(tmp_path, "5f0c", "run", {}, 3, ("epoch", "train_loss"), [])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "log_batch", refusing)
        logger.on_train_begin(run)
        for epoch in (1, 2, 3):
            logger.on_epoch_end({"epoch": epoch, "train_loss": 1.0 / epoch, "test_loss": None})
    assert (
        capsys.readouterr().out.count("(ConnectionError: the server is away). Training goes") == 2
    )
    (run,) = client(store).search_runs(["0"])
    history = client(store).get_metric_history(run.info.run_id, "train_loss")
    assert [m.step for m in history] == [1, 2, 3]


def test_a_run_ends_although_weights_and_biases_is_away(tmp_path, capsys):
    class Away:
        summary: dict = {}

        def finish(self):
            raise ConnectionError("the server\nis away")

    logger = WandbLogger()
    logger._run = Away()
    logger.on_train_end({"best_test_accuracy": 0.5})
    assert capsys.readouterr().out == (
        "Weights & Biases could not be written (ConnectionError: the server is away). "
        "Training continues.\n"
    )


def test_wandb_has_every_epoch_once(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="needs the extra wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    folder = tmp_path / "digits"
    train_and_kill(lambda: WandbLogger(project="noise"), folder)
    run = json.loads((folder / "run.json").read_text())["id"]
    rows = list(offline_rows(folder, run))
    files = sorted(folder.glob("wandb/offline-run-*/*.wandb"))
    assert {file.stem for file in files} == {f"run-{run}"} and len(files) == 3
    assert [row["_step"] for row in rows] == [1, 2, 3]
    for found, row in zip(rows, rows_of(folder), strict=True):
        assert {name: found[name] for name in row} == row
    assert b"best_test_accuracy" in files[-1].read_bytes()
