"""The two prompts of the corpus, each beside the reader of its reply (method: paper 1, arXiv 2412.18552, 2.1)."""

from . import analysis, rewriting


BUILDERS = {"analysis": analysis.build, "rewriting": rewriting.build}
READERS = {"analysis": analysis.read, "rewriting": rewriting.read}
