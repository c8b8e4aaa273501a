"""Which requests earlier runs have sent: so that none is paid for twice, though nothing is kept on this machine."""

import logging
import re

import numpy as np
from openai.types import Batch

from .batch_account import BROKEN_OFF, AbsentError, BatchAccount


logger = logging.getLogger(__name__)

_OURS = re.compile("[0-9a-f]{15}")  # how a request_id begins


class EarlierBatches:
    """Which request was sent in which batch of an earlier run, from the files that were sent.

    16 bytes a request: ids are known by their first 60 bits. Two that share them would cost one request that is looked
    for in vain, and then sent.
    """

    def __init__(self, account: BatchAccount) -> None:
        # A batch without output holds nothing that was paid for.
        self.batches = [
            batch
            for batch in account.mine()
            if batch.status != "failed" and (batch.status not in BROKEN_OFF or batch.output_file_id)
        ]
        keys = [_ids(account, batch) for batch in self.batches]  # newest first, and the stable sort keeps it so
        everything = np.concatenate([*keys, np.empty(0, np.int64)])
        owners = np.repeat(np.arange(len(keys)), [len(these) for these in keys])
        order = np.argsort(everything, kind="stable")
        self.keys, self.owners = everything[order], owners[order]
        if self.batches:
            logger.info("%d requests of earlier runs are in %d batches", len(self.keys), len(self.batches))

    def holder(self, request_id: str) -> Batch | None:
        """The newest batch that this request was sent in."""
        key = int(request_id[:15], 16)
        place = int(np.searchsorted(self.keys, key))
        return self.batches[self.owners[place]] if place < len(self.keys) and self.keys[place] == key else None


def _ids(account: BatchAccount, batch: Batch) -> np.ndarray:
    """The first 60 bits of the batch's request ids: by its input or, where that was deleted, by its outputs."""
    for files in ((batch.input_file_id,), (batch.output_file_id, batch.error_file_id)):
        try:
            ids = [line["custom_id"][:15] for file_id in filter(None, files) for line in account.read(file_id)]
        except AbsentError:
            continue
        return np.array([int(one, 16) for one in ids if _OURS.fullmatch(one)], dtype=np.int64)
    return np.empty(0, np.int64)
