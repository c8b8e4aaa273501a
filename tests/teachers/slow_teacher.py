"""A teacher for the workers of test_ray_cluster: the lexicon's replies, slowly, with a log of who worked on what."""

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from hub_tools.teachers.lexicon import LexiconTeacher
from hub_tools.teachers.request import Answers, Request
from hub_tools.teachers.settings import TeacherSettings


class SlowTeacher(LexiconTeacher):
    """Also dies of the word POISON, and raises what the review asks for after the word RAISE."""

    def __init__(self, settings: TeacherSettings, log: Path, seconds: float) -> None:
        self.log, self.seconds = log, seconds

    def replies(self, requests: Iterable[Request]) -> Iterator[Answers]:
        import ray

        node = ray.get_runtime_context().get_node_id()
        for request in requests:
            with self.log.open("a") as log:
                log.write(f"{node} {os.getpid()} {request.request_id}\n")
            if "POISON" in request.review:
                os._exit(1)
            if "RAISE" in request.review:
                raise {"ValueError": ValueError, "RuntimeError": RuntimeError}[request.review.split()[-1]]("no chip")
            time.sleep(self.seconds)
            yield Answers(self.reply([request]))
