"""How many items a stream gives before it is replaced: a random number with the mean that the user asked for."""

from __future__ import annotations

import math
from typing import Any, Literal

from olympipe_like.sampling.seeds import Seed

Dist = Literal["constant", "poisson", "binomial"]
DISTS = ("constant", "poisson", "binomial")
UNLIMITED = -1
_QUOTAS = 1  # what a place uses for quotas
_NEARLY_ALONE = 0.9999  # share above which the binomial distribution is the Poisson distribution, its limit


class Quotas:
    """Draws quotas, all >= 1.

    - constant: the rate itself;
    - poisson: 1 + Poisson(rate - 1);
    - binomial: 1 + Binomial(n, q) with n q = rate - 1, and q as near as a whole n allows to 1 - p, where p is the new
      stream's share of the draws: so its variance is about p (rate - 1).
    """

    def __init__(self, rate: float | None, dist: Dist, seed: Seed, state: dict[str, Any] | None = None) -> None:
        self._rate = rate
        self._dist = dist
        self._generator = None
        if rate is not None and rate > 1 and dist != "constant":
            self._generator = seed.generator(_QUOTAS)
            if state is not None:
                place = {key: int(value, 16) for key, value in state["place"].items()}
                half = {"has_uint32": state["half"] is not None, "uinteger": state["half"] or 0}
                self._generator.bit_generator.state = {"bit_generator": "PCG64", "state": place, **half}

    def draw(self, share: float) -> int:
        """Return a quota for a stream that has this share of the draws, above 0 and at most 1."""
        rate = self._rate
        if rate is None:
            return UNLIMITED
        if self._generator is None:
            return int(rate)
        if self._dist == "poisson" or share > _NEARLY_ALONE:
            return 1 + int(self._generator.poisson(rate - 1))
        # The number of trials is whole, so the chance of each is moved until the mean is the rate.
        trials = max(round((rate - 1) / (1 - share)), math.ceil(rate - 1))
        return 1 + int(self._generator.binomial(trials, (rate - 1) / trials))

    def state(self) -> dict[str, Any] | None:
        """Return where the generator stands."""
        if self._generator is None:
            return None
        found = self._generator.bit_generator.state
        place = {key: hex(value) for key, value in found["state"].items()}
        return {"place": place, "half": found["uinteger"] if found["has_uint32"] else None}
