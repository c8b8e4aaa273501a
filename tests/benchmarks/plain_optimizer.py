"""The optimiser of paper 1's reference code, in plain words: what speed scripts train its side with."""

import math

import torch


class TensorByTensor:
    """AdamW with the RMS scale, in Python, one tensor after another."""

    def __init__(self, parameters, rate: float):
        self.parameters, self.rate, self.moments, self.count = list(parameters), rate, {}, 0

    @torch.no_grad()
    def step(self) -> None:
        self.count += 1
        for p in self.parameters:
            m, v = self.moments.setdefault(p, (torch.zeros_like(p), torch.zeros_like(p)))
            m.mul_(0.9).add_(p.grad, alpha=0.1)
            v.mul_(0.999).addcmul_(p.grad, p.grad, value=0.001)
            rate = self.rate * math.sqrt(1 - 0.999**self.count) / (1 - 0.9**self.count)
            p.addcdiv_(m, v.sqrt().add_(1e-6), value=-rate * max(1e-3, float(p.norm()) / math.sqrt(p.numel())))

    def zero_grad(self) -> None:
        for p in self.parameters:
            p.grad = None
