"""Answers on a caller's connection: one after the other, in the order of the requests."""

from __future__ import annotations

from time import monotonic
from typing import cast

from proxy.ground.errors import ProxyError
from proxy.http1 import AnswerHead, RequestHead
from proxy.lane import sides
from proxy.lane.connection import CallerConnection
from proxy.lane.states import ANSWER, BODY, HEAD, HELD_LIMIT, NEVER, REST


class AnsweringConnection(CallerConnection):
    """Passes an answer back, and goes on with the next request when it has ended."""

    def __init__(self, lane: sides.Lane) -> None:
        super().__init__(lane)
        self.pipelined = b""  # what came behind the request under way

    def await_answer(self) -> None:
        self.state = ANSWER
        patience = self.lane.patience
        wait = patience.half_closed if self.half_closed else patience.answer
        self.deadline = NEVER if wait == NEVER else monotonic() + wait

    def eof_received(self) -> bool:
        """Whether to keep our side open: the request is whole, and its answer may be near.

        A caller that has hung up looks the same, so the answer has to come, and go on, soon.
        """
        if self.state is not ANSWER or self.transport.get_extra_info("sslcontext"):
            return False
        self.half_closed = True
        self.await_answer()
        return True

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.upstream is None and self.state is ANSWER:
            self.answer_ended()  # it had ended before the caller read it

    # --- what whoever answers calls

    def pass_interim(self, head: AnswerHead) -> None:
        request = cast(RequestHead, self.request)
        if request.minor:  # HTTP/1.0 knows no 1xx
            request.expects = request.expects and head.status != 100
            self.transport.write(head.raw)

    def begin_answer(self, head: AnswerHead) -> bytes:
        request = cast(RequestHead, self.request)
        if self.state is BODY and request.expects:
            self.keep_alive = False  # what it sends next may be the body, or a new request
        if head.length is None and not (head.chunked and request.minor):
            self.keep_alive = False  # only the connection's end shows where the answer ends
        self.answering = True
        if head.clean and request.minor and self.keep_alive:
            return head.raw
        return head.forwarded(keep_alive=self.keep_alive, minor=request.minor)

    def answer_ended(self) -> None:
        """Go on with the next request, or close."""
        self.upstream = None
        if self.state is BODY and self.keep_alive:
            self.state = REST
            self.expect_within(self.lane.patience.linger)
            self.resume_reading()
        elif self.state is not ANSWER or not self.keep_alive:
            self.linger()
        elif self.full:
            return  # until the caller has read it: answers must not pile up
        elif self.pipelined:
            data, self.pipelined = self.pipelined, b""
            self.state = HEAD
            self.expect_within(self.lane.limits.head_timeout)
            self.resume_reading()
            self.data_received(data)
        elif self.half_closed or self.lane.draining:
            self.close()
        else:
            self.state = HEAD
            self.deadline = self.lane.keepalive_deadline

    def fail(self, error: ProxyError) -> None:
        """Answer with the error; but cut an answer that had begun."""
        self.upstream = None
        if self.answering:
            self.cut()
            return
        self.keep_alive = self.keep_alive and self.state is ANSWER
        self.write_error(error)
        self.answer_ended()

    # --- requests that come too early

    @property
    def held(self) -> int:
        return super().held + len(self.pipelined)

    def _keep_for_later(self, data: bytes) -> None:
        """Keep what comes behind a request until that is answered."""
        self.pipelined += data
        self.note_held()
        if len(self.pipelined) > HELD_LIMIT:
            self.transport.pause_reading()

    def linger(self) -> None:
        self.pipelined = b""
        super().linger()
