"""PyTorch modules for mixtures of experts; only `torch_module` methods import this file."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TopK(nn.Module):
    """The shares of the experts that a token is sent to, 0 for the others.

    `corrected` is the number of experts if a number for each, `balance`, is added to what is compared. With `groups`,
    experts are taken from the best `top_groups` of them, by the sum of their `group_best` best.
    """

    def __init__(
        self,
        top: int,
        score: str = "softmax",
        renormalise: bool = False,
        factor: float = 1.0,
        corrected: int | None = None,
        groups: int | None = None,
        top_groups: int | None = None,
        group_best: int = 1,
    ) -> None:
        super().__init__()
        self.top, self.score, self.renormalise, self.factor = top, score, renormalise, factor
        self.corrected, self.groups, self.top_groups, self.group_best = corrected, groups, top_groups, group_best
        self.balance: Tensor | None
        self.register_buffer("balance", None if corrected is None else torch.zeros(corrected))

    def forward(self, x: Tensor) -> Tensor:
        scores = x.sigmoid() if self.score == "sigmoid" else x.softmax(-1)
        chosen = self.chosen(scores.detach())
        shares = scores.gather(-1, chosen)
        if self.renormalise:
            shares = shares / shares.sum(-1, keepdim=True)
        if self.factor != 1:
            shares = shares * self.factor
        return torch.zeros_like(scores).scatter_(-1, chosen, shares)

    def chosen(self, scores: Tensor) -> Tensor:
        """The places of the experts that are taken."""
        if self.balance is not None:
            scores = scores + self.balance
        if self.groups is not None:
            groups = scores.view(*scores.shape[:-1], self.groups, -1)
            best = groups.topk(self.group_best).values.sum(-1).topk(self.top_groups or 1).indices
            closed = torch.ones_like(groups[..., 0], dtype=torch.bool).scatter_(-1, best, False)
            scores = groups.masked_fill(closed.unsqueeze(-1), -torch.inf).flatten(-2)
        return scores.topk(self.top).indices


class Dispatch(nn.Module):
    """A copy of each token for each of its experts, those for one expert one after the other."""

    def __init__(self, top: int) -> None:
        super().__init__()
        self.top = top

    def forward(self, x: Tensor, router: Tensor) -> Tensor:
        return x.flatten(0, -2)[self.tokens(router)].view(*x.shape[:-2], -1, x.shape[-1])

    def tokens(self, router: Tensor) -> Tensor:
        """Which token each copy is of."""
        return router.detach().topk(self.top).indices.flatten().argsort(stable=True) // self.top


def drawn(module: nn.Module) -> dict[str, Tensor]:
    """A module's parameters, drawn anew."""
    for part in module.modules():
        if callable(draw := getattr(part, "reset_parameters", None)):
            draw()
    return {name: value.detach().clone() for name, value in module.named_parameters()}


class Experts(nn.Module):
    """One layer of each expert, on the copies that were sent to it: `expert`, with as many sets of weights, stacked."""

    def __init__(self, top: int, experts: int, expert: nn.Module) -> None:
        super().__init__()
        self.top, self.experts, self.expert = top, experts, expert
        first = dict(expert.named_parameters())
        is_meta = any(value.is_meta for value in first.values())
        sets = [] if is_meta else [drawn(expert) for _ in range(experts)]
        for name, value in first.items():
            owner, _, last = name.rpartition(".")
            stacked = value.new_empty(experts, *value.shape) if is_meta else torch.stack([each[name] for each in sets])
            setattr(expert.get_submodule(owner), last, nn.Parameter(stacked))

    def forward(self, x: Tensor, router: Tensor) -> Tensor:
        axes = router.dim() - 1
        parts = torch.split(x.flatten(0, axes - 1), self.counts(router))
        weights = {name: value[: len(parts)].unbind() for name, value in self.expert.named_parameters()}
        made = []
        for number, part in enumerate(parts):
            if len(part):
                own = {name: value[number] for name, value in weights.items()}
                made.append(torch.func.functional_call(self.expert, own, (part[None],))[0])
        joined = torch.cat(made)
        return joined.view(*x.shape[:axes], *joined.shape[1:])

    def counts(self, router: Tensor) -> list[int]:
        """How many copies were sent to each; without values, as on the meta device, all to the first."""
        chosen = router.detach().topk(self.top).indices.flatten()
        if chosen.is_meta:
            return [len(chosen)]
        counts = [0] * self.experts
        for expert in chosen.tolist():
            counts[expert] += 1
        return counts


class Combine(nn.Module):
    """The sum of what a token's experts made of it, times their shares."""

    def __init__(self, top: int) -> None:
        super().__init__()
        self.top = top

    def forward(self, x: Tensor, router: Tensor) -> Tensor:
        tokens, experts = self.places(router)
        made = x.flatten(0, -2) * router.flatten(0, -2)[tokens, experts].unsqueeze(-1)
        zeros = x.new_zeros(router[..., 0].numel(), x.shape[-1])
        return zeros.index_put_((tokens,), made, accumulate=True).view(*router.shape[:-1], -1)

    def places(self, router: Tensor) -> tuple[Tensor, Tensor]:
        """Of each copy its token and its expert."""
        experts = router.detach().topk(self.top).indices.flatten()
        order = experts.argsort(stable=True)
        return order // self.top, experts[order]
