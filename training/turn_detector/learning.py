"""Trains the network, with a log, a curve and checkpoints that a stopped run leaves behind."""

from __future__ import annotations

import copy
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from antiphon.plugins.turn_detector.text import Pieces
from bench.turn_detector.cases import Case
from bench.turn_detector.metrics import area_under_curve, held_at

from .batches import Batch, Examples, padded
from .network import TurnNetwork

_AVERAGE = 0.998  # of the weights, from step to step


@dataclass(frozen=True)
class Plan:
    """How long and how fast to learn."""

    epochs: int = 8
    minutes: float = math.inf  # ends, annealed, after so much time though epochs are left
    batch: int = 256
    rate: float = 1.5e-3
    vector_rate: float = 0.3  # of the vectors of pieces, as a share of `rate`
    warm_up: float = 0.04
    seed: int = 1
    half: bool = True  # bfloat16 where that is exact enough


class Learning:
    """One run."""

    def __init__(self, network: TurnNetwork, plan: Plan, folder: Path) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network.to(self._device)
        self.network = network
        self.average = copy.deepcopy(network).eval()
        self._plan = plan
        self._folder = folder
        vectors = [network.vectors.weight]
        rest = [p for name, p in network.named_parameters() if name != "vectors.weight"]
        self._optimiser = torch.optim.AdamW(
            [
                {"params": rest, "scale": 1.0, "weight_decay": 0.02},
                {"params": vectors, "scale": plan.vector_rate, "weight_decay": 0.0},
            ],
            lr=plan.rate,
            betas=(0.9, 0.98),
        )

    def run(self, examples: Examples, pieces: Pieces, validation: dict[str, list[Case]]) -> None:
        """Learn; after each epoch, and each 10 minutes, measure and keep the average of the weights."""
        plan = self._plan
        began = measured = time.monotonic()
        total = plan.epochs * math.ceil(len(examples) / plan.batch)
        step, losses = 0, []
        for epoch in range(plan.epochs):
            for batch in examples.epoch(plan.seed * 1000 + epoch, plan.batch):
                minutes = (time.monotonic() - began) / 60
                done = max(step / total, minutes / plan.minutes)
                if done >= 1:
                    break
                losses.append(self._step(batch, done, step))
                step += 1
                if step % 50 == 0:
                    self._log(
                        step=step,
                        epoch=epoch,
                        minutes=round(minutes, 2),
                        done=round(done, 3),
                        loss=float(np.mean(losses[-50:])),
                    )
                if time.monotonic() - measured > 600:
                    measured = time.monotonic()
                    self._measure(step, pieces, validation)
            self._measure(step, pieces, validation)
            if done >= 1:
                break

    def _step(self, batch: Batch, done: float, step: int) -> float:
        plan = self._plan
        rate = (
            plan.rate
            * min(1, (done + 1e-3) / plan.warm_up)
            * (0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2)
        )
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group["scale"]
        self.network.train()
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=plan.half):
            logits = self.network(*map(self._tensor, (batch.turns, batch.context, batch.kinds)))
        loss = _loss(logits.float(), self._tensor(batch.cut), self._tensor(batch.end))
        self._optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimiser.step()
        keep = min(_AVERAGE, (step + 1) / (step + 10))
        with torch.no_grad():
            for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(now, 1 - keep)
        return loss.item()

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self._device)

    def _measure(self, step: int, pieces: Pieces, validation: dict[str, list[Case]]) -> None:
        found: dict[str, float] = {}
        for name, cases in validation.items():
            scores = torch_scores(self.average, pieces, cases)
            labels = np.array([case.label for case in cases])
            found[f"{name}_held"] = round(held_at(scores, labels).held, 4)
            found[f"{name}_auc"] = round(area_under_curve(scores, labels), 4)
        self._log(step=step, **found)
        torch.save(
            {"shape": asdict(self.network.shape), "weights": self.average.state_dict()},
            self._folder / "checkpoint.pt",
        )

    def _log(self, **entry: float) -> None:
        line = json.dumps(entry)
        print(line, flush=True)
        with (self._folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(line + "\n")


def _loss(logits: Tensor, cut: Tensor, end: Tensor) -> Tensor:
    """Cross entropy over all weighted places, per turn."""
    loss = cut * torch.nn.functional.softplus(logits) + end * torch.nn.functional.softplus(-logits)
    return loss.sum() / len(logits)


@torch.no_grad()
def torch_scores(network: TurnNetwork, pieces: Pieces, cases: list[Case]) -> np.ndarray:
    """The logit of each case, in float32."""
    network.eval()
    turns = [pieces.turn(case.text) for case in cases]
    contexts = [pieces.context(case.context) for case in cases]
    order = sorted(range(len(cases)), key=lambda k: len(turns[k]))
    scores = np.zeros(len(cases))
    for start in range(0, len(order), 256):
        group = order[start : start + 256]
        rows = ([turns[k] for k in group], [contexts[k][0] for k in group], [contexts[k][1] for k in group])
        logits = network(
            *(torch.from_numpy(padded(found, 0)).to(network.place.weight.device) for found in rows)
        )
        last = torch.tensor([len(turns[k]) - 1 for k in group], device=logits.device)
        scores[group] = logits[torch.arange(len(group), device=logits.device), last].float().cpu().numpy()
    return scores
