"""A CLIP text model of transformers, run over prompts in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .clip_tokenizer import EncoderError, PromptTokens

BATCH = 32


@dataclass(frozen=True)
class States:
    """Two states of tokens: (P, W) of the end-of-text tokens, or (1, T, W) of all; float32 on the CPU."""

    final: Tensor  # after the last layer and the final layer norm
    penultimate: Tensor  # after the last layer but one, without a norm


class ClipTower:
    """A CLIPTextModel or CLIPTextModelWithProjection, with the tokens that it reads."""

    def __init__(
        self, name: str, model: Any, tokens: PromptTokens, family: str, width: int, device: str = "cpu"
    ) -> None:
        """Raises EncoderError if the model is not `width` wide, or the tokenizer not made for it."""
        config = model.config
        if config.hidden_size != width:
            raise EncoderError(
                f"{name} makes vectors of {config.hidden_size} numbers; {family} needs {width}: pass another model"
            )
        if tokens.size != config.vocab_size:
            raise EncoderError(
                f"{name} knows {config.vocab_size} tokens and the tokenizer {tokens.size}: it belongs to another "
                "model; pass --tokenizer FOLDER with the right one"
            )
        self.width = width
        self._model = model.float().train(False).requires_grad_(False).to(device)
        self._tokens = tokens
        self._device = device

    @torch.no_grad()
    def at_end(self, prompts: Sequence[str]) -> States:
        """P prompts → the states (P, W) at their end-of-text tokens."""
        final, penultimate = torch.empty(2, len(prompts), self.width)
        for start in range(0, len(prompts), BATCH):
            ids = [self._tokens(prompt) for prompt in prompts[start : start + BATCH]]
            ends = torch.tensor([row.index(self._tokens.end) for row in ids])  # (P,) the first end-of-text token
            width = max(map(len, ids))
            # Attention is causal, so what follows the end-of-text token does not change its state.
            states = self._run([row + [self._tokens.end] * (width - len(row)) for row in ids])
            rows = torch.arange(len(ids))
            final[start : start + len(ids)] = states.final[rows, ends]
            penultimate[start : start + len(ids)] = states.penultimate[rows, ends]
        return States(final, penultimate)

    @torch.no_grad()
    def at_all(self, prompt: str, padding: int | None = None) -> States:
        """One prompt → the states (1, 77, W) of all tokens, padded with end-of-text or the token `padding`."""
        ids = self._tokens(prompt)
        pad = self._tokens.end if padding is None else padding
        return self._run([ids + [pad] * (self._tokens.longest - len(ids))])

    @torch.no_grad()
    def projected(self, final: Tensor) -> Tensor:
        """States (P, W) → (P, D) by the model's text projection, which it must have."""
        out: Tensor = self._model.text_projection(final.to(self._device))
        return out.cpu()

    def _run(self, ids: list[list[int]]) -> States:
        output = self._model(input_ids=torch.tensor(ids, device=self._device), output_hidden_states=True)
        return States(output.last_hidden_state.float().cpu(), output.hidden_states[-2].float().cpu())
