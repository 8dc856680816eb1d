"""Trains the network, with a log, a curve and checkpoints from which a stopped run goes on."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus

from antiphon.plugins.turn_detector.text import Pieces
from bench.turn_detector.cases import Case
from bench.turn_detector.metrics import area_under_curve, held_at

from .batches import Batch, Examples, padded
from .network import TurnNetwork

_BETWEEN_CHECKPOINTS = 240.0  # seconds of training
_LONGEST_STEP = (
    3.0  # seconds; what a step takes beyond it the process was stopped, and does not count as training
)


@dataclass(frozen=True)
class Plan:
    """How long and how fast to learn."""

    epochs: int = 4
    minutes: float = math.inf  # of training; ends, annealed, after so many though epochs are left
    batch: int = 128
    rate: float = 4e-4
    rate_below: float = 0.9  # of a layer, as a share of the one above
    vector_rate: float = 0.4  # of the vectors of pieces, as a share of `rate`
    warm_up: float = 0.05
    average: float = 0.998  # how much of the averaged weights each step keeps
    guess: float = 0.1  # weight of predicting the next piece
    taught: float = 0.5  # share of the loss that follows the teacher's answers, where there is one
    seed: int = 1


class Learning:
    """One run."""

    def __init__(
        self, network: TurnNetwork, plan: Plan, folder: Path, teacher: TurnNetwork | None = None
    ) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = network.to(self._device)  # in float32; a copy in bfloat16 does the work
        self.average = copy.deepcopy(network).eval()
        self._quick = halved(network)
        self._teacher = None if teacher is None else halved(teacher.to(self._device)).eval()
        self._plan = plan
        self._folder = folder
        self._optimiser = torch.optim.AdamW(
            _groups(network, plan), lr=plan.rate, betas=(0.9, 0.98), fused=True
        )
        self._step_number, self._seconds = 0, 0.0

    def run(
        self, examples: Callable[[], Examples], pieces: Pieces, validation: dict[str, list[Case]]
    ) -> None:
        """Learn, or go on where the folder's checkpoint ends; measure and keep the weights after each epoch, and between."""
        if self._resume():
            return
        plan, given = self._plan, examples()
        per_epoch = math.ceil(len(given) / plan.batch)
        total, losses, saved = plan.epochs * per_epoch, [], self._seconds
        first, skip = divmod(self._step_number, per_epoch)
        done = 0.0
        for epoch in range(first, plan.epochs):
            for number, batch in enumerate(given.epoch(plan.seed * 1000 + epoch, plan.batch)):
                if epoch == first and number < skip:
                    continue
                began = time.monotonic()
                done = max(self._step_number / total, self._seconds / 60 / plan.minutes)
                if done >= 1:
                    break
                losses.append(self._step(batch, done))
                self._step_number += 1
                self._seconds += min(time.monotonic() - began, _LONGEST_STEP)
                if self._step_number % 50 == 0:
                    self._log(epoch=epoch, done=round(done, 3), loss=float(np.mean(losses[-50:])))
                if self._seconds - saved > _BETWEEN_CHECKPOINTS:
                    saved = self._seconds
                    self._save()
            self._measure(pieces, validation)
            self._save(finished=done >= 1 or epoch + 1 == plan.epochs)
            if done >= 1:
                break

    def _step(self, batch: Batch, done: float) -> float:
        plan = self._plan
        share = min(1, (done + 1e-3) / plan.warm_up) * (0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2)
        for group in self._optimiser.param_groups:
            group["lr"] = plan.rate * share * group["scale"]
        self._quick.train()
        given = [self._tensor(array) for array in (batch.turns, batch.context, batch.kinds)]
        logits, states = self._quick(*given)
        cut, end = self._tensor(batch.cut), self._tensor(batch.end)
        if self._teacher is not None:
            with torch.no_grad():
                target = self._teacher(*given)[0].sigmoid()
            weight, taught = cut + end, plan.taught * (~self._tensor(batch.drawn))[:, None]
            cut = (1 - taught) * cut + taught * weight * (1 - target)
            end = (1 - taught) * end + taught * weight * target
        loss = _loss(logits, cut, end)
        reported = loss.item()
        loss = loss + plan.guess * self._guess_loss(states, self._tensor(batch.following))
        loss.backward()
        self._move()
        return reported

    def _guess_loss(self, states: Tensor, following: Tensor) -> Tensor:
        target = following.where(following < self.network.shape.guesses, -1).flatten()
        return cross_entropy(self._quick.guess(states).flatten(0, 1), target, ignore_index=-1).float()

    def _move(self) -> None:
        """Take the gradients of the quick copy, move the weights, and give them back to it."""
        with torch.no_grad():
            for exact, quick in zip(self.network.parameters(), self._quick.parameters(), strict=True):
                exact.grad = None if quick.grad is None else quick.grad.float()
                quick.grad = None
            nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self._optimiser.step()
            keep = min(self._plan.average, (self._step_number + 1) / (self._step_number + 10))
            for mean, exact, quick in zip(
                self.average.parameters(), self.network.parameters(), self._quick.parameters(), strict=True
            ):
                mean.lerp_(exact, 1 - keep)
                quick.copy_(exact)

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self._device)

    def _measure(self, pieces: Pieces, validation: dict[str, list[Case]]) -> None:
        found: dict[str, float] = {}
        quick = halved(self.average).eval()
        for name, cases in validation.items():
            scores = torch_scores(quick, pieces, cases)
            labels = np.array([case.label for case in cases])
            structured = np.array([case.structured for case in cases])
            point = held_at(scores, labels)
            found[f"{name}_held"] = round(point.held, 4)
            found[f"{name}_structured"] = round(
                float((scores[structured & (labels == 0)] < point.threshold).mean()), 4
            )
            found[f"{name}_auc"] = round(area_under_curve(scores, labels), 4)
        self._log(**found)

    def _save(self, *, finished: bool = False) -> None:
        state = {
            "shape": asdict(self.network.shape),
            "weights": self.average.state_dict(),
            "network": self.network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "step": self._step_number,
            "seconds": self._seconds,
            "finished": finished,
        }
        unfinished = self._folder / "checkpoint.unfinished"
        torch.save(state, unfinished)
        unfinished.replace(self._folder / "checkpoint.pt")

    def _resume(self) -> bool:
        """Take up the folder's checkpoint, if it has one; whether the round is finished."""
        path = self._folder / "checkpoint.pt"
        if not path.is_file():
            return False
        state = torch.load(path, map_location=self._device)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["weights"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._step_number, self._seconds = state["step"], state["seconds"]
        self._quick.load_state_dict(self.network.state_dict())
        return bool(state["finished"])

    def _log(self, **entry: float) -> None:
        line = json.dumps({"step": self._step_number, "minutes": round(self._seconds / 60, 2), **entry})
        print(line, flush=True)
        with (self._folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(line + "\n")


def halved(network: TurnNetwork) -> TurnNetwork:
    """A copy in bfloat16 but for the last step, so that logits keep their precision."""
    quick = copy.deepcopy(network).bfloat16()
    quick.verdict.float()
    return quick


def _groups(network: TurnNetwork, plan: Plan) -> list[dict[str, object]]:
    """Parameters by how fast they learn: what lies lower is more general, and learns slower."""
    groups: list[dict[str, object]] = []
    for name, parameter in network.named_parameters():
        depth = len(network.layers) - 1 - int(name.split(".")[1]) if name.startswith("layers.") else 0
        if name.startswith(("vectors", "place", "kind", "norm")):
            scale = plan.vector_rate
        else:
            scale = plan.rate_below**depth
        matrix = parameter.ndim == 2 and not name.startswith(("vectors", "place", "kind"))
        groups.append({"params": [parameter], "scale": scale, "weight_decay": 0.02 if matrix else 0.0})
    return groups


def _loss(logits: Tensor, cut: Tensor, end: Tensor) -> Tensor:
    """Cross entropy over all weighted places, per turn."""
    return (cut * softplus(logits) + end * softplus(-logits)).sum() / len(logits)


@torch.no_grad()
def torch_scores(network: TurnNetwork, pieces: Pieces, cases: Sequence[Case]) -> np.ndarray:
    """The logit of each case."""
    network.eval()
    device = network.verdict.weight.device
    turns = [pieces.turn(case.text) for case in cases]
    contexts = [pieces.context(case.context) for case in cases]
    order = sorted(range(len(cases)), key=lambda k: (len(turns[k]), len(contexts[k][0])))
    scores = np.zeros(len(cases))
    for start in range(0, len(order), 128):
        group = order[start : start + 128]
        rows = ([turns[k] for k in group], [contexts[k][0] for k in group], [contexts[k][1] for k in group])
        last = torch.tensor([len(turns[k]) - 1 for k in group], device=device)
        logits = network.at(*(torch.from_numpy(padded(found, 0)).to(device) for found in rows), last)
        scores[group] = logits.float().cpu().numpy()
    return scores
