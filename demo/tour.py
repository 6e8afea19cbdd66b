"""`make demo`: shows what the product does, with real parts, and checks all that it shows.

The parts are an Elasticsearch (ELASTICSEARCH_URL, or one that is started here), small local models
with Hugging Face's APIs, the proxy between them, and Elastic's own Python client. Exits with 1 and
names the step that failed.
"""

from __future__ import annotations

import argparse
import json
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from elastic_transport import TransportError
from elasticsearch import ApiError, Elasticsearch

from demo.parts import Unreachable, running_parts
from demo.quality import Quality, chart
from demo.show import INDENT, Screen
from demo.steps import STEPS, clean_up
from demo.tools import TIMEOUT, CheckFailed, Step, Tour, WatchedTransport
from proxy.config import ConfigError
from proxy.modelserver.packages import PackageError
from testbed.java import JavaMissing
from testbed.node import StartFailed
from testbed.processes import ProcessFailed


class StepFailed(Exception):
    """A step of the tour failed; the text names it."""


# Failures whose message says all there is to know.
FAILURES: Final = (
    *(JavaMissing, PackageError, StartFailed, ProcessFailed),
    *(Unreachable, ConfigError, StepFailed),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Give the tour; exit code 0 if all checks hold."""
    parser = argparse.ArgumentParser(
        prog="python -m demo.tour", description="Everything once, with real parts."
    )
    parser.add_argument("--keep", action="store_true", help="leave it running until Ctrl-C")
    parser.add_argument("--chart", type=Path, help="draw how well each way to search did (SVG)")
    options = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, signal.default_int_handler)
    screen = Screen()
    folder = Path(tempfile.mkdtemp(prefix="hugging-face-tour-"))
    code = _guarded(screen, folder, options)
    if code == 1:
        screen.line(f"{INDENT}The logs are in {folder}")
    else:
        shutil.rmtree(folder)
    return code


def _guarded(screen: Screen, folder: Path, options: argparse.Namespace) -> int:
    try:
        quality = give_tour(screen, folder, options.keep)
        if options.chart is not None:
            options.chart.write_text(chart(quality))
    except KeyboardInterrupt:
        screen.line("\nInterrupted; what was started has been ended")
        return 130
    except FAILURES as error:
        screen.line()
        screen.failed(str(error))
        return 1
    return 0


def give_tour(screen: Screen, folder: Path, keep: bool = False) -> Mapping[str, Quality]:
    """Start the parts, take the steps, and end the parts; how well each way to search did.

    Raises: StepFailed, and what `running_parts` raises.
    """
    began = time.monotonic()
    screen.title("The hugging_face inference service for any Elasticsearch")
    screen.line()
    with (
        running_parts(screen, folder) as parts,
        Elasticsearch(
            parts.proxy,
            transport_class=WatchedTransport,
            request_timeout=TIMEOUT,
            max_retries=0,
            **parts.target.credentials(),
        ) as client,
    ):
        tour = Tour(screen=screen, parts=parts, client=client)
        if parts.target.version is None:
            tour.prefix = (
                f"tour-{secrets.token_hex(2)}-"  # so that nothing of the user's is overwritten
            )
        tour.watch(screen)
        try:
            take_steps(tour, STEPS)
            took = time.monotonic() - began
            if keep:
                _keep_running(tour, folder)
            take_steps(tour, [("Clean up", clean_up)], first=len(STEPS) + 1)
            screen.line()
            screen.passed(f"All as it should be, in {took:.0f} s")
            return tour.quality
        finally:
            _remove_leftovers(tour)


def take_steps(tour: Tour, steps: Sequence[tuple[str, Step]], first: int = 1) -> None:
    """Take the steps in order. Raises: StepFailed at the first one that fails."""
    for number, (title, step) in enumerate(steps, first):
        tour.screen.step(number, title)
        try:
            step(tour)
        except Exception as error:
            tour.screen.end_stream()
            reason = f"step {number}, {title}: {_reason(error)}"
            try:
                tour.parts.check()
            except ProcessFailed as cause:
                reason = f"{reason}\n{cause}"
            raise StepFailed(reason) from error


def _reason(error: Exception) -> str:
    if isinstance(error, CheckFailed):
        return str(error)
    if isinstance(error, ApiError):
        return f"{error.meta.status} {json.dumps(error.body, ensure_ascii=False)}"
    return f"{type(error).__name__}: {error}"


def _remove_leftovers(tour: Tour) -> None:
    """After a failure, delete what would stay in the user's own Elasticsearch."""
    if not tour.leftovers or tour.parts.target.version is not None:
        return
    try:
        with tour.quietly():
            tour.client.indices.delete(index=tour.index, ignore_unavailable=True)
    except (ApiError, TransportError) as error:
        tour.screen.failed(f"the index [{tour.index}] is left behind: {_reason(error)}")


def _keep_running(tour: Tour, folder: Path) -> None:
    """Print what can be tried, and wait for Ctrl-C."""
    screen, proxy = tour.screen, tour.parts.proxy
    call = "curl -sN -H 'Content-Type: application/json'"
    if tour.parts.target.config.api_key:
        call += ' -H "Authorization: ApiKey $ELASTIC_API_KEY"'
    embeddings = f"text_embedding/{tour.inference_id('text_embedding')}"
    stream = f"chat_completion/{tour.inference_id('chat_completion')}/_stream"
    message = '{"messages": [{"role": "user", "content": "Who are you?"}]}'
    screen.line()
    screen.title("Everything stays up until Ctrl-C")
    screen.table(
        [
            ["Elasticsearch", tour.parts.target.url],
            ["local provider", tour.parts.provider],
            ["proxy", proxy],
            ["logs", str(folder)],
        ]
    )
    screen.line()
    screen.title("Try")
    for target in (
        "_cat/indices?v'",
        "_inference/_all?pretty'",
        f"""_inference/{embeddings}' -d '{{"input": "a text"}}'""",
        f"_inference/{stream}' -d '{message}'",
    ):
        screen.line(f"{call} '{proxy}/{target}")
    try:
        while True:
            tour.parts.check()
            time.sleep(0.5)
    except KeyboardInterrupt:
        screen.line()


if __name__ == "__main__":
    sys.exit(main())
