"""The network: MiniLM's layers, made to read a turn from left to right after its context.

At every piece it says whether the turn could end there, so that one pass over a turn learns from all its cuts. The
context is read in both directions, but by the lowest layers alone: the upper ones look at it as it left those.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, gelu, linear, pad

from antiphon.plugins.turn_detector.text import KINDS, MAX_CONTEXT, MAX_TURN, PAD, UNKNOWN

_FAR = -1e4  # added to a score of attention that does not count


@dataclass(frozen=True)
class Shape:
    """The size of the network, and how training disturbs it."""

    pieces: int
    width: int = 384
    layers: int = 6
    context_layers: int = 2  # how many of them the context goes through
    heads: int = 12
    guesses: int = (
        4000  # pieces that training predicts as the next one, the first of the vocabulary by frequency
    )
    dropout: float = 0.1
    hidden_words: float = 0.03  # share of pieces that training hides


class Layer(nn.Module):
    """A layer of BERT (Devlin et al. 2019): attention, then two linear steps, each normalised after its sum."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.width
        self.heads = shape.heads
        self.dropout = shape.dropout
        self.project = nn.Linear(width, 3 * width)
        self.merge = nn.Linear(width, width)
        self.after_attention = nn.LayerNorm(width, eps=1e-12)
        self.wide = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)
        self.after_rest = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """New states of x, shape (B, T, width), which see each other as the mask allows."""
        query, key, value = self.project(x).chunk(3, dim=-1)
        return self._rest(x, self._attention(query, key, value, mask))

    def looking_at(self, seen: Tensor, x: Tensor, mask: Tensor) -> Tensor:
        """New states of x, shape (B, Q, width), which see others, shape (B, N, width), as the mask allows."""
        width = x.shape[-1]
        query = linear(x, self.project.weight[:width], self.project.bias[:width])
        key, value = linear(seen, self.project.weight[width:], self.project.bias[width:]).chunk(2, dim=-1)
        return self._rest(x, self._attention(query, key, value, mask))

    def _attention(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        query, key, value = (self._split(part) for part in (query, key, value))
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1]) + mask
        return (scores.softmax(dim=-1) @ value).transpose(1, 2).flatten(2)

    def _rest(self, x: Tensor, mixed: Tensor) -> Tensor:
        x = self.after_attention(x + self._drop(self.merge(mixed)))
        return self.after_rest(x + self._drop(self.narrow(gelu(self.wide(x)))))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _drop(self, x: Tensor) -> Tensor:
        """Dropout of the same units at all places of a row: it costs little, and a row cannot make up for it."""
        if not self.training or not self.dropout:
            return x
        return x * dropout(torch.ones_like(x[:, :1]), self.dropout)


class TurnNetwork(nn.Module):
    """Pieces of a turn and of its context to a logit after each piece."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.width
        self.vectors = nn.Embedding(shape.pieces, width)
        self.place = nn.Embedding(MAX_CONTEXT + MAX_TURN, width)
        self.kind = nn.Embedding(KINDS + 1, width)  # the last is the pending turn
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.verdict = nn.Linear(width, 1)
        self.guess = nn.Linear(width, shape.guesses)

    def forward(self, turns: Tensor, context: Tensor, kinds: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of "finished here", shape (B, T), and the states that they come from, shape (B, T, width).

        Args:
            turns: pieces of the turns, shape (B, T), padded at their ends.
            context: pieces of the contexts, shape (B, M), likewise.
            kinds: what each of these comes from.
        """
        if self.training and self.shape.hidden_words:
            turns, context = _hide(turns, self.shape.hidden_words), _hide(context, self.shape.hidden_words)
        x, c, mask = self._lower(turns, context, kinds)
        for layer in self.layers[self.shape.context_layers :]:
            x = layer.looking_at(torch.cat((c, x), dim=1), x, mask)
        return self.verdict(x.to(self.verdict.weight.dtype)).squeeze(-1), x

    def at(self, turns: Tensor, context: Tensor, kinds: Tensor, last: Tensor) -> Tensor:
        """The logit at one place of each turn, shape (B,)."""
        x, c, mask = self._lower(turns, context, kinds)
        for layer in self.layers[self.shape.context_layers : -1]:
            x = layer.looking_at(torch.cat((c, x), dim=1), x, mask)
        # Of the last layer one place is wanted.
        there = last[:, None, None]
        chosen = x.gather(1, there.expand(-1, 1, x.shape[-1]))
        mask = mask.gather(2, there[:, None].expand(-1, 1, 1, mask.shape[-1]))
        x = self.layers[-1].looking_at(torch.cat((c, x), dim=1), chosen, mask)
        return self.verdict(x.to(self.verdict.weight.dtype)).flatten()

    def _lower(self, turns: Tensor, context: Tensor, kinds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """States of the turns and contexts above the layers that they share, and what each place of a turn may see."""
        width, length = context.shape[1], turns.shape[1]
        empty = context == PAD
        # A context ends at the same place whatever its length: just before the turn.
        place = (
            torch.arange(width, device=context.device)
            - (~empty).long().sum(dim=1, keepdim=True)
            + MAX_CONTEXT
        )
        c = self.vectors(context) + self.place(place.clamp(max=MAX_CONTEXT - 1)) + self.kind(kinds)
        x = (
            self.vectors(turns)
            + self.place.weight[MAX_CONTEXT : MAX_CONTEXT + length]
            + self.kind.weight[KINDS]
        )
        both = self.norm(torch.cat((c, x), dim=1))
        later = torch.triu(torch.ones(length, length, dtype=torch.bool, device=turns.device), diagonal=1)
        seen_by_turn = torch.cat(
            (empty[:, None, :].expand(-1, length, -1), later.expand(turns.shape[0], -1, -1)), dim=2
        )
        seen_by_context = pad(empty[:, None, :].expand(-1, width, -1), (0, length), value=True)
        mask = torch.cat((seen_by_context, seen_by_turn), dim=1)[:, None].to(x.dtype) * _FAR
        for layer in self.layers[: self.shape.context_layers]:
            both = layer(both, mask)
        return both[:, width:], both[:, :width], mask[:, :, width:]


def _hide(pieces: Tensor, share: float) -> Tensor:
    chosen = (torch.rand(pieces.shape, device=pieces.device) < share) & (pieces > UNKNOWN)
    return torch.where(chosen, UNKNOWN, pieces)
