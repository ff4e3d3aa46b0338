"""A prepared TFDS builder, or one line that says what is missing."""

import http.client
import pathlib
import threading
import urllib.error
import urllib.parse
import urllib.request

from keras_rescnet.mistake import Mistake, shorten

PATIENCE = 8  # seconds for a server's first answer


def prepared(dataset, data_dir=None):
    """Returns the set's TFDS builder, downloading and preparing it on first use.

    Raises:
        Mistake: If it is not prepared and cannot be, for example because its original
            files are not in TFDS's manual folder and their server does not answer within
            `PATIENCE` seconds.
    """
    import tensorflow_datasets as tfds

    if data_dir is not None:
        data_dir = pathlib.Path(data_dir).expanduser()
        if not data_dir.is_dir():
            raise Mistake(
                "`data_dir` must be an existing folder, in which TFDS keeps its data. "
                f"Received: data_dir={str(data_dir)!r}."
            )
    try:
        builder = tfds.builder(dataset.name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        raise Mistake(
            "`name` must be that of a dataset of TFDS, or of one prepared in `data_dir`. Received: "
            f"name={shorten(dataset.name)}, data_dir={_shown(data_dir)}."
        ) from None
    except Exception as error:  # TFDS raises many kinds, some of twenty lines
        raise Mistake(
            f"TFDS cannot open a dataset: {_first_line(error)} Received: "
            f"name={shorten(dataset.name)}, data_dir={_shown(data_dir)}."
        ) from error
    if builder.data_path.exists() and builder.is_prepared():  # TFDS warns where there is nothing
        return builder
    # <data_dir>/<name>/<version> -> <data_dir>/downloads/manual
    manual = pathlib.Path(builder.data_path).parents[1] / "downloads" / "manual"
    urls = list(builder.url_infos or ())  # None: nothing to download
    names = [url.rsplit("/", 1)[-1] for url in urls]
    by_hand = builder.MANUAL_DOWNLOAD_INSTRUCTIONS
    if not by_hand and not all((manual / name).exists() for name in names):
        problem = no_answer(urls[0])
        if problem:
            raise Mistake(
                f"{dataset.name} must be prepared or downloadable. Either pass the data directory "
                "of a machine where TFDS has prepared it (--data_dir), or put the original "
                f"{', '.join(names)} in {manual}. Received: nothing in {builder.data_path}; "
                f"{problem}."
            )
    config = tfds.download.DownloadConfig(manual_dir=manual, try_download_gcs=False)
    try:
        builder.download_and_prepare(download_config=config)
    except Exception as error:
        reason = shorten(by_hand, str, 300) if by_hand else _first_line(error)
        raise Mistake(
            f"TFDS could not prepare {dataset.name} from the files in {manual}: {reason} Or pass "
            "the data directory of a machine where TFDS has prepared it (--data_dir). Received: "
            f"data_dir={_shown(data_dir)}."
        ) from error
    return builder


def check_splits(builder, dataset, split):
    """Raises `Mistake` if a set has no split such as `"train+extra"` or `"train[:90%]"`."""
    known = builder.info.splits
    if not known:  # TFDS's mock data
        return
    try:
        reason = "" if known[split].num_examples > 0 else "there are none."
    except ValueError as error:
        reason = _first_line(error)
    if reason:
        raise Mistake(
            f"{dataset.name} in {builder.data_path} must have examples in the split {split!r}: "
            f"{reason} Received: splits {sorted(known)}."
        )


def class_names(builder, dataset):
    """Returns the names of the classes of a set.

    Raises:
        Mistake: If its examples are not an `"image"` and a `"label"` that is a class.
    """
    import tensorflow_datasets as tfds

    features = builder.info.features
    names = list(features) if isinstance(features, tfds.features.FeaturesDict) else []
    is_class = "label" in names and isinstance(features["label"], tfds.features.ClassLabel)
    if "image" not in names or not is_class:
        raise Mistake(
            f"{dataset.name} must have the features 'image' and 'label', a ClassLabel; others need "
            f"a `read` of their own. Received: {shorten(names)}."
        )
    return dataset.class_names or features["label"].names


def _first_line(error):
    line = shorten(str(error).strip().split("\n")[0], str, length=300)
    return line if line.endswith(".") else f"{line}."


def _shown(data_dir):
    return repr(str(data_dir or "~/tensorflow_datasets"))


def no_answer(url):
    """Returns why `url` does not answer, or `None` if its server answers in time.

    Asked from a thread, because neither name resolution nor a proxy obeys a timeout.
    """
    host = urllib.parse.urlsplit(url).hostname
    answer: list[str | None] = [f"no answer from {host} in {PATIENCE} s"]

    def ask():
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE):
                answer[0] = None
        except urllib.error.HTTPError as error:
            answer[0] = f"{host} answers {error.code} {error.reason}"
        except (OSError, ValueError, http.client.HTTPException) as error:
            answer[0] = f"{host}: {str(getattr(error, 'reason', error)).strip()}"

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return answer[0]
