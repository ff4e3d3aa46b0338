"""A prepared TFDS builder, or one line that says what is missing."""

import http.client
import pathlib
import threading
import urllib.error
import urllib.parse
import urllib.request

from keras_rescnet.mistake import Mistake

PATIENCE = 8  # seconds for a server's first answer


def prepared(dataset, data_dir=None):
    """Returns the set's TFDS builder, downloading and preparing it on first use.

    Raises:
        ValueError: If it is not prepared and cannot be, for example because its original
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
            f"TFDS has no dataset {dataset.name!r}, and none of that name is prepared in "
            f"data_dir={str(data_dir or '~/tensorflow_datasets')!r}."
        ) from None
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
                f"{dataset.name} is not prepared in {builder.data_path} and cannot be downloaded "
                f"({problem}). Either pass the data directory of a machine where TFDS has "
                f"prepared it (--data_dir), or put the original {', '.join(names)} in {manual}."
            )
    config = tfds.download.DownloadConfig(manual_dir=manual, try_download_gcs=False)
    try:
        builder.download_and_prepare(download_config=config)
    except Exception as error:  # TFDS raises many kinds, some of twenty lines
        reason = by_hand or str(error).strip().split("\n")[0]
        raise Mistake(
            f"TFDS could not prepare {dataset.name} in {builder.data_path} from the files in "
            f"{manual}: {' '.join(reason.split())} Or pass the data directory of a machine where "
            "TFDS has prepared it (--data_dir)."
        ) from error
    return builder


def check_splits(builder, dataset, split):
    """Raises `ValueError` if a split, such as `"train+extra"`, is not in the prepared set."""
    known = builder.info.splits  # none in TFDS's mock data
    missing = [name for name in split.split("+") if name not in known]
    if known and missing:
        raise Mistake(
            f"{dataset.name} in {builder.data_path} must have the split {missing[0]!r}. "
            f"Received: splits {sorted(known)}."
        )


def no_answer(url):
    """Returns why `url` cannot be had, or `None` if its server answers in time.

    Asked from a thread, because neither name resolution nor a proxy obeys a timeout.
    """
    host = urllib.parse.urlsplit(url).hostname
    answer = [f"no answer from {host} in {PATIENCE} s"]

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
