"""What each method changes in :class:`~tests.methods.plain.clip.PlainCLIP`, from its card."""

from __future__ import annotations

import math

import torch

from tests.methods.plain.clip import PlainCLIP


class PlainMAIL(PlainCLIP):
    """``y * a + b`` at every site; the image's scale is led by the text's."""

    def site(self, tower, block, name, y):
        agents = self.agents(tower, block, name)
        if agents is None:
            return y
        return y * self.scale(tower, agents) + self.parameters[f"{agents}.{tower}_shift"]

    def agents(self, tower, block, name):
        """Name of the agents of a site; the towers' last blocks are paired."""
        if block is None:
            return name
        depths = [sizes.depth for sizes in self.sizes.values()]
        own = block - (self.sizes[tower].depth - min(depths))
        return None if own < 0 else f"blocks.{own}.{name}"

    def scale(self, tower, agents):
        own = self.parameters[f"{agents}.{tower}_scale"]
        if tower == "text":
            return own
        down, up = (self.parameters[f"{agents}.bridge_{way}"] for way in ("down", "up"))
        return own + self.parameters[f"{agents}.text_scale"] @ down @ up


class PlainMAILPlusPlus(PlainMAIL):
    """As MAIL, but both scales are led by a vector that the towers share."""

    def scale(self, tower, agents):
        down, up = (self.parameters[f"{agents}.{tower}_bridge_{way}"] for way in ("down", "up"))
        own = self.parameters[f"{agents}.{tower}_scale"]
        return own + self.parameters[f"{agents}.meta"] @ down @ up


class PlainCLIPLoRA(PlainCLIP):
    """``W + alpha / sqrt(R) * a @ b`` for the queries, keys and values of both towers."""

    def linear(self, tower, block, name, weight):
        a, b = (self.parameters[f"{tower}.{block}.{name}.{factor}"] for factor in "ab")
        return weight + self.settings["alpha"] / math.sqrt(a.shape[1]) * a @ b


class PlainCoOp(PlainCLIP):
    """``[begin] [context] name . [end]``: the context is learnt."""

    def prompt(self, ids):
        table, context = self.weights["text.table.weight"], self.parameters["context"]
        words = torch.cat([table[ids[:1]], context, table[ids[1:]]])
        return words + self.weights["text.positions"][: len(words)]


class PlainMaPLe(PlainCLIP):
    """K learnt words at the start of the prompt and K tokens behind the patches, in J blocks.

    The image's are a linear function of the text's.
    """

    def tokens(self, tower, block):
        own = self.parameters["text_tokens"]
        if block >= len(own):
            return None
        if tower == "text":
            return own[block]
        at = f"to_image.{block}"
        return own[block] @ self.parameters[f"{at}.weight"].T + self.parameters[f"{at}.bias"]

    def prompt(self, ids):
        """The first K words of the template are replaced before positions are added."""
        words, tokens = self.weights["text.table.weight"][ids], self.tokens("text", 0)
        words = torch.cat([words[:1], tokens, words[1 + len(tokens) :]])
        return words + self.weights["text.positions"][: len(words)]

    def embedded(self, patches):
        """At the end of the sequence, without positions, as the released code does."""
        return torch.cat([patches, self.tokens("image", 0)])

    def entering(self, tower, block, x):
        tokens = self.tokens(tower, block) if block else None
        if tokens is None:
            return x
        count = len(tokens)
        if tower == "text":
            return torch.cat([x[:1], tokens, x[1 + count :]])
        return torch.cat([x[:-count], tokens])
