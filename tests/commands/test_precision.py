"""`precision`: its rows, for builders, files and runs."""

import csv

import keras
import pytest
from keras import layers

from support.commands import run_command

BITS = ("forward_bits", "backward_bits", "gradient_bits")
CHUNKED = ("forward_bits_in_chunks", "backward_bits_in_chunks", "gradient_bits_in_chunks")


def rows_of(picture):
    assert picture.read_bytes()[:4] == b"\x89PNG"
    with open(picture.with_suffix(".csv")) as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_the_networks_of_the_paper_are_the_rows(tmp_path, capsys):
    picture = tmp_path / "bits.png"
    run_command("precision", f"--output={picture}")
    rows = rows_of(picture)
    networks = list(dict.fromkeys(row["network"] for row in rows))
    assert networks == ["ResNet-32, CIFAR-10", "ResNet-18, ImageNet", "AlexNet, ImageNet"]
    first = rows[0]
    assert [first[name] for name in BITS] == ["5", "", "12"]  # as in test_accumulation.py
    assert [first[name] for name in CHUNKED] == ["5", "", "11"]
    assert [first["forward_products"], first["gradient_products"]] == ["27", "131072"]
    stem = next(row for row in rows if row["network"] == networks[1])
    assert stem["gradient_products"] == str(256 * 112 * 112)
    assert [row["layer"] for row in rows if row["network"] == networks[2]][-3:] == [
        "fc6",
        "fc7",
        "fc8",
    ]
    printed = capsys.readouterr().out
    assert "ResNet-32, CIFAR-10: products per sum, and bits of mantissa in one sum / in" in printed
    assert "131,072 12/11" in printed


def test_words_are_builders_files_and_runs(finished_run, tmp_path, capsys):
    file = tmp_path / "mine.keras"
    inputs = keras.Input((8, 4))
    x = layers.MultiHeadAttention(1, 2, name="attention")(inputs, inputs)
    keras.Model(inputs, layers.Dense(300, name="wide")(layers.Dense(600)(x))).save(file)
    picture = tmp_path / "bits.png"
    flags = ["--batch_size=16", "--input_size=16", "--chunk=32", "--product_bits=4"]
    run_command("precision", "CifarResNet8", file, finished_run, *flags, f"--output={picture}")
    rows = rows_of(picture)
    by_network = {
        network: [row for row in rows if row["network"] == network]
        for network in ("CifarResNet8", str(file), str(finished_run))
    }
    assert sum(map(len, by_network.values())) == len(rows)
    assert by_network["CifarResNet8"][0]["gradient_products"] == str(16 * 16 * 16)
    wide = by_network[str(file)][-1]
    names = ("forward_products", "backward_products", "gradient_products")
    assert [wide[name] for name in names] == ["600", "300", "128"]
    assert by_network[str(finished_run)][-1]["layer"] == "logits"
    assert "Not counted: attention/" in capsys.readouterr().out
