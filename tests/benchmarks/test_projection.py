"""The projection of ImageNet training against closed forms, and its page against the script."""

import importlib
import re
import shlex

import pytest

from support import ROOT

COMMAND = "python benchmarks/projection.py"
EASY = {  # a quarter of a second a step on one accelerator; an all-reduce of 1 GB/s
    "--images-per-second": "1024",
    "--step-ratio": "2",
    "--images-per-core": "100",
    "--inside": "4",
    "--between": "1",
    "--cores": "64",
    "--hop-inside": "0",
    "--hop-between": "0",
}


@pytest.fixture
def projection(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("projection")


@pytest.fixture
def cluster(projection):
    """Parses `EASY` with some of it changed."""

    def parse(**changes):
        words = EASY | {f"--{name.replace('_', '-')}": str(v) for name, v in changes.items()}
        return projection.parser().parse_args([word for pair in words.items() for word in pair])

    return parse


@pytest.mark.parametrize(
    "accelerators, machines, seconds",
    [
        (1, 1, 0.0),
        (2, 1, 0.25),  # 2 * 1/2 * 1 GB at 4 GB/s
        (8, 1, 0.4375),  # 2 * 7/8 / 4
        (16, 2, 1.875),  # 2 * 15/16 at 1 GB/s
        (256, 32, 1.9921875),  # 2 * 255/256
    ],
)
def test_a_ring_without_latency(projection, cluster, accelerators, machines, seconds):
    took, _ = projection.all_reduce_seconds(1e9, accelerators, machines, cluster())
    assert took == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    "accelerators, machines, microseconds",
    [(1, 1, 0), (8, 1, 14 * 3), (16, 2, 26 * 3 + 4 * 10), (4, 4, 6 * 10)],
)
def test_hops_of_a_ring(projection, cluster, accelerators, machines, microseconds):
    slow = cluster(hop_inside=3, hop_between=10)
    took = projection.all_reduce_seconds(0, accelerators, machines, slow)
    assert took == pytest.approx((1e-6 * microseconds,) * 2, rel=1e-12)


def test_every_bucket_makes_its_hops(projection, cluster):
    slow = cluster(hop_inside=3, hop_between=10)  # a quarter of a byte per nanosecond
    took, last = projection.all_reduce_seconds(100 * 2**20, 2, 1, slow)  # 4 buckets of 25 MiB
    assert took == pytest.approx(100 * 2**20 / 4e9 + 4 * 6e-6, rel=1e-12)
    assert last == pytest.approx(took / 4, rel=1e-12)


def test_the_slower_link_counts(projection, cluster):
    slow_inside = cluster(inside=0.5)
    assert projection.all_reduce_seconds(1e9, 16, 2, slow_inside)[0] == pytest.approx(3.75)


def test_one_accelerator_communicates_nothing(projection, cluster):
    one = projection.project("ResNet-50", 1, cluster())
    assert one.all_reduce == 0
    assert one.efficiency == 1
    assert one.images_per_second == pytest.approx(1024)
    # 5,004 whole batches of 256 an epoch
    assert one.hours == pytest.approx(90 * 5004 * 0.25 / 3600)


def test_a_step_of_two_machines(projection, cluster):
    two = projection.project("ResCNet-50", 16, cluster(overlap=0.25))
    all_reduce = 1.875 * 4 * 29_360_600 / 1e9  # 0.22 s, of which 0.25 * 0.5 s are hidden
    step = 0.5 + all_reduce - 0.125
    assert (two.machines, two.batch, two.compute) == (2, 4096, 0.5)
    assert two.all_reduce == pytest.approx(all_reduce)
    assert two.hidden == 0.125
    assert two.images_per_second == pytest.approx(4096 / step)
    assert two.efficiency == pytest.approx(0.5 / step)
    assert two.hours == pytest.approx(90 * 312 * step / 3600)


def test_no_more_is_hidden_than_there_is(projection, cluster):
    two = projection.project("ResNet-50", 16, cluster(overlap=1))
    assert two.hidden == pytest.approx(two.all_reduce * 3 / 4)  # 102 MB are 4 buckets
    step = two.compute + two.all_reduce / 4
    assert two.efficiency == pytest.approx(two.compute / step)


def test_cores_of_a_machine_feed_its_own_accelerators(projection, cluster):
    fast = cluster(between=1e9, inside=1e9)
    eight, sixteen = (projection.project("ResNet-50", n, fast) for n in (8, 16))
    assert (eight.cores, sixteen.cores) == (82, 82)  # 8 x 1,024 images/s a machine, of 100 a core
    # 64 cores of a machine make 6,400 images/s
    assert eight.fed_hours == pytest.approx(90 * 625 * 2048 / 6400 / 3600)
    assert sixteen.fed_hours == pytest.approx(90 * 312 * 4096 / 12800 / 3600)
    assert eight.fed_hours > eight.hours


def test_efficiency_falls_and_stays_below_one(projection, cluster):
    slow = cluster(hop_inside=3.4, hop_between=14)
    for name in projection.PARAMETERS:
        shares = [projection.project(name, n, slow).efficiency for n in projection.ACCELERATORS]
        assert shares == sorted(shares, reverse=True)
        assert 0 < shares[-1] < shares[0] < 1


@pytest.mark.parametrize(
    "option, value, message",
    [
        ("images_per_second", 0, "--images-per-second: must be from 0.001"),
        ("between", "inf", "--between: must be from 0.001 to 1e"),
        ("overlap", "nan", "--overlap: must be from 0 to 1. Received: nan."),
        ("per_machine", 0, "--per-machine: must be from 1 to 1024. Received: 0."),
        ("batch", 5005, "--batch: must be from 1 to 5004. Received: 5005."),  # 256 have no step
        ("cores", "many", "--cores: invalid number value: 'many'"),
    ],
)
def test_nonsense(cluster, capsys, option, value, message):
    with pytest.raises(SystemExit) as exit:
        cluster(**{option: value})
    assert exit.value.code == 2
    assert message in capsys.readouterr().err


def test_a_speed_is_never_guessed(projection, capsys):
    with pytest.raises(SystemExit) as exit:
        projection.parser().parse_args(["--step-ratio", "1"])
    assert exit.value.code == 2
    assert "required: --images-per-second" in capsys.readouterr().err


def test_the_page_is_what_its_command_prints(projection):
    page = (ROOT / "docs" / "imagenet.md").read_text()
    command = page.partition(COMMAND)[2].partition("```")[0].replace("\\\n", " ")
    printed = projection.report(projection.parser().parse_args(shlex.split(command)))
    tables = page.partition("<!-- projection -->\n\n")[2].partition("\n\n<!-- /projection -->")[0]
    assert tables == printed


def test_constants_are_those_of_recipe_and_models(projection):
    recipe = (ROOT / "recipes" / "table2.py").read_text()
    assert f" epochs={projection.EPOCHS}," in recipe
    models = (ROOT / "docs" / "models.md").read_text().splitlines()
    for name, parameters in projection.PARAMETERS.items():
        (row,) = [line for line in models if line.startswith(f"| {name.replace('-', '')} ")]
        assert f" {parameters:,} " in row


def test_the_page_has_the_figures_that_were_measured():
    page, measured = (
        (ROOT / "docs" / name).read_text() for name in ("imagenet.md", "performance.md")
    )
    (step,) = re.findall(r"\| step: ResCNet-50 / ResNet-50, CIFAR \|[^|]*\| ([\d.]+) x", measured)
    (images,) = re.findall(r"\| JPEG to 224 x 224: crop, flip \| ours \|[^|]*\| (\d+) \|", measured)
    assert f"--step-ratio {step} --images-per-core {images} " in page
    assert f"| {images} images/s | `benchmarks/pipeline.py`" in page
    assert f"ResNet-50's | {step} | `benchmarks/step.py`" in page
