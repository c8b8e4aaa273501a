"""One of two processes with weights that are cut over both, as FSDP2 does; apart from the tests, to start quickly."""

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

from hub_tools.students.optimizer import RMSScaledAdamW


def compare(rank: int, folder: str) -> None:
    """A few steps on whole weights, and on the same cut by rows; raises unless both end alike."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    mesh, draw = init_device_mesh("cpu", (2,)), torch.Generator().manual_seed(0)
    shapes, placements = [(5, 3), (1, 4), (4,)], [[Shard(0)], [Shard(0)], [Replicate()]]
    whole = [torch.nn.Parameter(0.05 * torch.randn(shape, generator=draw)) for shape in shapes]
    with torch.no_grad():
        whole[0][:3] *= 100  # to the one process the scale seems larger than it is, to the other smaller
    cut = [
        torch.nn.Parameter(distribute_tensor(p.detach().clone(), mesh, placement))
        for p, placement in zip(whole, placements, strict=True)
    ]
    optimizers = [RMSScaledAdamW(each, lr=3e-3, weight_decay=0.01) for each in (whole, cut)]
    for _ in range(5):
        for p, sharded, placement in zip(whole, cut, placements, strict=True):
            p.grad = torch.randn(p.shape, generator=draw)
            sharded.grad = distribute_tensor(p.grad.clone(), mesh, placement)
        for optimizer in optimizers:
            optimizer.step()
    for p, sharded in zip(whole, cut, strict=True):
        torch.testing.assert_close(sharded.full_tensor(), p, rtol=1e-6, atol=0)
        assert sharded.to_local().shape == optimizers[1].state[sharded]["exp_avg"].to_local().shape
    torch.distributed.destroy_process_group()
