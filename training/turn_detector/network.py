"""The student: a small transformer that reads the turn from left to right and looks back at its context.

At every piece it says whether the turn could end there, so that one pass over a turn learns from all its cuts. The
context is encoded once, cheaply, and each layer attends to it and to the pieces of the turn so far.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from antiphon.plugins.turn_detector.text import KINDS, MAX_CONTEXT, MAX_TURN, NOTHING, PAD, UNKNOWN


@dataclass(frozen=True)
class Shape:
    """The size of the network."""

    pieces: int
    vector: int = 128  # of a piece
    width: int = 192
    layers: int = 3
    heads: int = 4
    dropout: float = 0.1
    hidden_words: float = 0.03  # share of pieces that training hides


class _Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.width
        self.heads = shape.heads
        self.before_attention = nn.LayerNorm(width)
        self.before_rest = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.project_context = nn.Linear(width, 2 * width)
        self.merge = nn.Linear(width, width)
        self.rest = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        query, key, value = self.project(self.before_attention(x)).chunk(3, dim=-1)
        context_key, context_value = self.project_context(context).chunk(2, dim=-1)
        query = self._split(query)
        key = self._split(torch.cat((context_key, key), dim=1))
        value = self._split(torch.cat((context_value, value), dim=1))
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1]) + mask
        mixed = (scores.softmax(dim=-1) @ value).transpose(1, 2).flatten(2)
        x = x + self.dropout(self.merge(mixed))
        return x + self.dropout(self.rest(self.before_rest(x)))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class TurnNetwork(nn.Module):
    """Pieces of a turn and of its context to a logit after each piece."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.width
        self.vectors = nn.Embedding(shape.pieces, shape.vector)
        self.widen = nn.Linear(shape.vector, width)
        self.place = nn.Embedding(MAX_TURN, width)
        self.context_place = nn.Embedding(MAX_CONTEXT, width)
        self.kind = nn.Embedding(KINDS, width)
        self.neighbours = nn.Linear(3 * width, width)
        self.context_norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(_Layer(shape) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(width)
        self.verdict = nn.Linear(width, 1)
        self.dropout = nn.Dropout(shape.dropout)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.6 / math.sqrt(module.in_features))
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.1)

    def forward(self, turns: Tensor, context: Tensor, kinds: Tensor) -> Tensor:
        """Logits of "finished here", shape (B, T).

        Args:
            turns: pieces of the turns, shape (B, T), padded at their ends.
            context: pieces of the contexts, shape (B, M), likewise.
            kinds: what each of these comes from.
        """
        # Behind the last piece there is always an empty place, in a batch and alone: it is that piece's neighbour.
        context = nn.functional.pad(context, (0, 1), value=PAD)
        kinds = nn.functional.pad(kinds, (0, 1), value=NOTHING)
        empty = context == PAD
        if self.training and self.shape.hidden_words:
            turns = _hide(turns, self.shape.hidden_words)
            context = _hide(context, self.shape.hidden_words)
        length = turns.shape[1]
        x = self.widen(self.vectors(turns)) + self.place.weight[:length]
        back = (
            (~empty).long().sum(dim=1, keepdim=True)
            - 1
            - torch.arange(context.shape[1], device=context.device)
        )
        c = self.widen(self.vectors(context)) + self.context_place(back.clamp(min=0)) + self.kind(kinds)
        beside = nn.functional.pad(c, (0, 0, 1, 1))
        c = c + nn.functional.gelu(
            self.neighbours(torch.cat((beside[:, :-2], c, beside[:, 2:]), dim=-1)), approximate="tanh"
        )
        c = self.dropout(self.context_norm(c))
        x = self.dropout(x)
        later = torch.triu(torch.ones(length, length, dtype=torch.bool, device=turns.device), diagonal=1)
        hidden = torch.cat(
            (
                empty[:, None, :].expand(-1, length, -1),
                later[None].expand(turns.shape[0], -1, -1),
            ),
            dim=-1,
        )
        mask = hidden[:, None].to(x.dtype) * -1e4
        for layer in self.layers:
            x = layer(x, c, mask)
        return self.verdict(self.norm(x)).squeeze(-1)


def _hide(pieces: Tensor, share: float) -> Tensor:
    chosen = (torch.rand(pieces.shape, device=pieces.device) < share) & (pieces > UNKNOWN)
    return torch.where(chosen, UNKNOWN, pieces)
