"""A Prometheus of our own: Debian's package unpacked into a folder and run there. Nothing is installed."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.support.dashboard_server import free_port


@dataclass(frozen=True)
class Size:
    """What samples take on disk, bytes: `block` is what remains (chunks, index, meta), `wal` the log beside it."""

    samples: int
    series: int
    block: int
    chunks: int
    index: int
    wal: int


def binaries(folder: Path) -> Path:
    """Return the folder of `prometheus` and `promtool`: where they are installed, or of Debian's package unpacked.

    Raises AssertionError with what apt says where there is neither.
    """
    found = shutil.which("prometheus")
    if found and shutil.which("promtool"):
        return Path(found).parent
    folder.mkdir(parents=True, exist_ok=True)
    if not list(folder.glob("prometheus_*.deb")):
        got = subprocess.run(
            ["apt-get", "download", "prometheus"], cwd=folder, check=False, capture_output=True, text=True
        )
        assert got.returncode == 0, f"Debian's package prometheus can't be had: {got.stderr}"
    package = next(folder.glob("prometheus_*.deb"))
    subprocess.run(["dpkg-deb", "-x", str(package), str(folder / "unpacked")], check=True)
    return folder / "unpacked" / "usr" / "bin"


class Prometheus:
    """One process over one data folder; `scrape` is what it reads, empty for none."""

    def __init__(self, programs: Path, folder: Path, scrape: str = "") -> None:
        self.programs, self.folder = programs, folder
        self.data = folder / "data"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "prometheus.yml").write_text(f"global: {{scrape_interval: 5s, scrape_timeout: 5s}}\n{scrape}")
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Prometheus:
        """Start it and return it when it is ready."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [
                    str(self.programs / "prometheus"),
                    f"--config.file={self.folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self.data}",
                    f"--web.listen-address=127.0.0.1:{port}",
                    "--web.enable-admin-api",
                    "--storage.tsdb.retention.time=400d",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        end = time.monotonic() + 120
        while time.monotonic() < end:
            try:
                if requests.get(f"{self.url}/-/ready", timeout=5).ok:
                    return self
            except requests.RequestException:
                pass
            assert self.process.poll() is None, (self.folder / "log").read_text()[-3000:]
            time.sleep(0.2)
        raise AssertionError("Prometheus was not ready within 120 s.")

    @property
    def pid(self) -> int:
        """Return its process."""
        assert self.process is not None
        return self.process.pid

    def stop(self) -> None:
        """End it."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    def get(self, path: str, **parameters: Any) -> Any:
        """Ask its API; return the `data` of the answer."""
        answer = requests.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=300)
        assert answer.ok, answer.text[:500]
        return answer.json()["data"]

    def timed(self, path: str, **parameters: Any) -> tuple[float, Any]:
        """Ask its API; return milliseconds to the last byte, and the result."""
        began = time.perf_counter()
        answer = requests.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=300)
        took = (time.perf_counter() - began) * 1000
        assert answer.ok, answer.text[:500]
        return took, answer.json()["data"]["result"]

    def size(self) -> Size:
        """Write what is in memory as the block that it becomes (its admin API), and measure that and the log."""
        answer = requests.post(f"{self.url}/api/v1/admin/tsdb/snapshot", timeout=600)
        assert answer.ok, answer.text[:500]
        snapshot = self.data / "snapshots" / answer.json()["data"]["name"]
        blocks = [one for one in snapshot.iterdir() if (one / "meta.json").exists()]
        told = [json.loads((one / "meta.json").read_text())["stats"] for one in blocks]
        return Size(
            samples=sum(one["numSamples"] for one in told),
            series=max((one["numSeries"] for one in told), default=0),
            block=sum(bytes_of(one) for one in blocks),
            chunks=sum(bytes_of(one / "chunks") for one in blocks),
            index=sum((one / "index").stat().st_size for one in blocks),
            wal=bytes_of(self.data / "wal"),
        )

    def backfill(self, text: Path, longest: str) -> None:
        """Make blocks of an OpenMetrics file, of at most so long (`54h`), into the data folder; before the start."""
        self.data.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [
                *(str(self.programs / "promtool"), "tsdb", "create-blocks-from", f"--max-block-duration={longest}"),
                *("--quiet", "openmetrics", str(text), str(self.data)),
            ],
            check=True,
        )


def scrape_of(prometheus_urls: Sequence[str], families: Sequence[str]) -> str:
    """Return the part of the configuration that scrapes families of each queue of some nodes."""
    targets = ", ".join(f'"{url.removeprefix("http://").split("/")[0]}"' for url in prometheus_urls)
    wanted = ", ".join(families)
    return (
        "scrape_configs:\n  - job_name: rabbitmq\n    metrics_path: /metrics/detailed\n"
        f"    params: {{family: [{wanted}]}}\n    static_configs: [{{targets: [{targets}]}}]\n"
    )


def bytes_of(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
