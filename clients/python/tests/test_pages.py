"""What the pages show is run: the example of the README and the client of `docs/write-a-client.md`."""

from __future__ import annotations

import re
import tempfile
import unittest
from pathlib import Path

from aemp.greeting import Greeting, Side, authentication_line, verify_line

from .support import ROOT, SECRET, Process, python
from .test_rust import RustCase

README = ROOT / "clients/python/README.md"
PAGE = ROOT / "docs/write-a-client.md"
SOURCES = ROOT / "clients/python/src"


def code_of(page: Path) -> str:
    return page.read_text().split("```python\n")[1].split("```")[0]


class TestVectorOfThePage(unittest.TestCase):
    def test_the_vector_of_the_page_is_reproduced(self) -> None:
        section = PAGE.read_text().split("With the secret `fixture-secret`")[1].split("\n## ")[0]
        blocks = [block.split() for block in re.findall(r"(?:^    .*\n)+", section, re.MULTILINE)]
        own, theirs = (Side(Greeting.parse(line.encode()), line.encode(), nonce.encode()) for line, nonce in blocks[:2])
        self.assertEqual(authentication_line(SECRET.encode(), own, theirs).decode(), blocks[2][0])
        verify_line(SECRET.encode(), own, theirs, blocks[3][0].encode())


class TestPages(RustCase):
    async def run_page(self, page: Path, *arguments: str) -> Process:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        script = Path(folder.name) / "script.py"
        script.write_text(code_of(page))
        process = await Process.start(*python(str(script), *arguments), env={"PYTHONPATH": str(SOURCES)})
        self.addAsyncCleanup(process.kill)
        return process

    async def test_the_example_of_the_readme(self) -> None:
        serving = await self.run_page(README, "serve", self.seed, SECRET)
        asking = await self.run_page(README, "ask", self.seed, SECRET)
        self.assertEqual(await asking.output(), "20 + 22 = 42\nthe adder is gone: normal end\n")
        self.assertEqual(await serving.output(), "")

    async def test_the_client_of_the_page(self) -> None:
        host, _, port = self.seed.rpartition(":")
        client = await self.run_page(PAGE, host, port, SECRET)
        self.assertEqual(await client.output(), "['hello', 42]\n")
