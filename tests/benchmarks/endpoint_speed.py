"""
The endpoint teacher beside the obvious ways to ask a server, each with the journal's commits.

A server with a fixed latency answers no more than concurrency / latency requests a second: that is the ideal. The
server is a process of its own; with few cores it competes with the client, and other load counts against both. What
the machine gives at best just now is shown by workers that only ask and throw the replies away.

python tests/benchmarks/endpoint_speed.py [--requests 1536] [--latency 0.2] [--concurrency 64]
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import openai

from hub_tools.prompts import analysis
from hub_tools.teachers.endpoints.openai_endpoint import OpenAITeacher
from hub_tools.teachers.journal import Journal
from hub_tools.teachers.request import Request, reply_row, requests_for
from hub_tools.teachers.settings import TeacherSettings


SERVER = Path(__file__).resolve().parents[1] / "teachers" / "faulty_server.py"
TEXT = (
    "We came on a Friday without a reservation and were seated within ten minutes. The soup was superb, the bread "
    "less so, and our waiter disappeared for half an hour before the main course. Prices are fair for the area. "
)


def teacher_way(teacher: OpenAITeacher, requests: list[Request], journal: Journal) -> None:
    for answers in teacher.replies(iter(requests)):
        journal.record(answers.rows, answers.failures)


def _obvious_row(teacher: OpenAITeacher, request: Request, reply: openai.types.chat.ChatCompletion) -> dict:
    return reply_row(
        request,
        reply.choices[0].message.content or "",
        teacher.name,
        teacher.revision,
        teacher.sampling,
        reply.choices[0].finish_reason,
        reply.usage.prompt_tokens if reply.usage else 0,
        reply.usage.completion_tokens if reply.usage else 0,
    )


def workers_way(teacher: OpenAITeacher, requests: list[Request], journal: Journal) -> None:
    """As many workers as may be at work, each asking again and again; nothing is kept, so nothing is safe."""
    left = iter(requests)

    async def work() -> None:
        http = openai.DefaultAioHttpClient()
        async with openai.AsyncOpenAI(
            api_key="none", base_url=teacher.urls[0], max_retries=0, http_client=http
        ) as client:

            async def ask() -> None:
                for request in left:
                    await client.chat.completions.create(
                        model=teacher.settings.model, messages=request.messages, max_tokens=512, temperature=0.0
                    )

            await asyncio.gather(*(ask() for _ in range(teacher.settings.concurrency)))

    asyncio.run(work())


def batches_way(teacher: OpenAITeacher, requests: list[Request], journal: Journal) -> None:
    """`gather` so many at a time, record them, go on with the next."""
    size = teacher.settings.concurrency

    async def work() -> None:
        async with openai.AsyncOpenAI(api_key="none", base_url=teacher.urls[0], max_retries=0) as client:

            async def ask(request: Request) -> dict:
                reply = await client.chat.completions.create(
                    model=teacher.settings.model, messages=request.messages, max_tokens=512, temperature=0.0
                )
                return _obvious_row(teacher, request, reply)

            for start in range(0, len(requests), size):
                journal.record(await asyncio.gather(*map(ask, requests[start : start + size])), [])

    asyncio.run(work())


def one_by_one_way(teacher: OpenAITeacher, requests: list[Request], journal: Journal) -> None:
    with openai.OpenAI(api_key="none", base_url=teacher.urls[0], max_retries=0) as client:
        for request in requests[:50]:
            reply = client.chat.completions.create(
                model=teacher.settings.model, messages=request.messages, max_tokens=512, temperature=0.0
            )
            journal.record([_obvious_row(teacher, request, reply)], [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1536)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds")
    parser.add_argument("--concurrency", type=int, default=64)
    arguments = parser.parse_args()
    ideal = arguments.concurrency / arguments.latency
    command = [sys.executable, str(SERVER), "--latency", str(arguments.latency)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        try:
            url = server.stdout.readline().strip()
            settings = TeacherSettings(
                teacher="openai", model="tiny-chat", endpoints=[url], concurrency=arguments.concurrency
            )
            teacher = OpenAITeacher(settings)
            reviews = [{"review_id": f"r{n}", "text": f"Visit {n}. {TEXT}"} for n in range(arguments.requests)]
            builders = {"analysis": analysis.build}
            requests = list(requests_for(reviews, builders, teacher.name, teacher.revision, teacher.sampling))
            teacher_way(teacher, requests[:128], Journal(Path(folder) / "warm.sqlite"))
            ways: dict[str, Callable] = {
                "the teacher": teacher_way,
                "workers, no journal": workers_way,
                "gather of batches": batches_way,
                "one by one": one_by_one_way,
            }
            for name, way in ways.items():
                with Journal(Path(folder) / f"{way.__name__}.sqlite") as journal:
                    start, cpu = time.perf_counter(), time.process_time()
                    way(teacher, requests, journal)
                    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
                    rows = len(journal) or len(requests)
                print(
                    f"{name:20} {rows:5d} replies {rows / seconds:7.1f}/s {rows / seconds / ideal:6.1%} of the ideal "
                    f"{ideal:.0f}/s, {1000 * cpu / rows:.2f} ms CPU each",
                    flush=True,
                )
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
