"""Downloads that continue where they stopped: HTTP ranges for pooch, which checks the hash."""

import http.client
import os
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from radford_lib.errors import RadfordError

PIECE = 1 << 18
TIMEOUT = 60  # seconds without a byte
ATTEMPTS = 3


def download(url: str, folder: Path, name: str, known_hash: str | None) -> Path:
    """Path of ``url`` in ``folder``, downloaded unless it is there with its hash.

    An interrupted download is kept as ``NAME.part`` and continued by the next call. Raises
    ``RadfordError`` where the publisher cannot be reached or sends something else.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")
    try:
        return Path(
            pooch.retrieve(
                url,
                known_hash,
                fname=name,
                path=folder,
                downloader=ResumableDownloader(folder / f"{name}.part"),
            )
        )
    except ValueError as error:  # pooch's answer to another hash
        raise RadfordError(
            f"{url} is not what its publisher documents (expected {known_hash}): "
            "run the command again; if it stays so, the file has changed there"
        ) from error
    except OSError as error:
        raise RadfordError(f"cannot write {folder}: {error.strerror or error}") from error


class ResumableDownloader:
    """A pooch downloader that keeps what it has in ``part`` and asks only for the rest."""

    def __init__(self, part: Path) -> None:
        self.part = part

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        """Download ``url`` to ``output_file``; on failure ``part`` keeps the beginning."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self.fetch_rest(url)
                break
            except urllib.error.HTTPError as error:
                raise RadfordError(
                    f"{url} answers {error.code} {error.reason}: it may have moved; download it "
                    "by hand and give it with --from"
                ) from error
            except (http.client.HTTPException, urllib.error.URLError, OSError) as error:
                if attempt == ATTEMPTS:
                    raise RadfordError(
                        f"the download of {url} stopped ({reason(error)}): run the command again "
                        "to continue it"
                    ) from error
        os.replace(self.part, output_file)

    def fetch_rest(self, url: str) -> None:
        """Append to ``part`` what is missing; begin again where the server cannot send ranges."""
        from tqdm import tqdm

        have = self.part.stat().st_size if self.part.exists() else 0
        headers = {"User-Agent": "radford-lib", "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        try:
            response = urllib.request.urlopen(
                urllib.request.Request(url, headers=headers), timeout=TIMEOUT
            )
        except urllib.error.HTTPError as error:
            if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE or not have:
                raise
            if size_in(error.headers.get("Content-Range")) == have:
                return
            self.part.unlink()
            return self.fetch_rest(url)
        with response:
            resumed = response.status == http.client.PARTIAL_CONTENT
            start = have if resumed else 0
            length = response.headers.get("Content-Length")
            total = start + int(length) if length else None
            with (
                self.part.open("ab" if resumed else "wb") as file,
                tqdm(
                    total=total,
                    initial=start,
                    desc=url.rsplit("/", 1)[1],
                    unit="B",
                    unit_scale=True,
                    unit_divisor=1024,
                    disable=None,
                ) as bar,
            ):
                while piece := response.read(PIECE):
                    file.write(piece)
                    bar.update(len(piece))
        received = self.part.stat().st_size
        if total is not None and received != total:
            raise http.client.HTTPException(f"{received} of {total} bytes came")
        return None


def size_in(content_range: str | None) -> int | None:
    """The whole file's size that a ``Content-Range`` header names."""
    match = re.search(r"/(\d+)$", content_range or "")
    return int(match[1]) if match else None


def reason(error: Exception) -> str:
    """A short text for a network error."""
    return str(getattr(error, "reason", "") or error or type(error).__name__)
