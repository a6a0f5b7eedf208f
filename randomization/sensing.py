"""What the robot measures of a world that is known exactly (D18 Table 7 and C.2)."""

from collections.abc import Iterable

from torch import Tensor

from randomization.config import RandomizationConfig
from randomization.draws import Source
from randomization.gaps import Gaps
from randomization.latency import Latency
from randomization.markers import Markers
from randomization.memory import Memory
from randomization.noise import Injection, Noise
from robot.observation import FIELDS


class Sensing(Memory):
    """Turns exact measurements of ``n`` worlds into those that the policy sees.

    In the order in which they come about: markers sit off their places, positions and poses are measured with noise, a
    pose is mistaken for another, nothing new is seen, and what is seen arrives late.
    """

    def __init__(
        self, config: RandomizationConfig, n: int, source: Source, period: float, fields: Iterable[str] = FIELDS
    ) -> None:
        """``period`` is the control period [s], ``fields`` is what is asked for."""
        super().__init__()
        terms = {f"sensors.{name}": term for name, term in config.sensors.items()}
        self.fields = {*fields, *(name for term in terms.values() for name in term.fields)}
        self.markers = self.include("markers", Markers(terms, n, source))
        self.noise = self.include("noise", Noise(terms, n, source))
        self.injection = self.include("injection", Injection(terms, n, source))
        self.gaps = self.include("gaps", Gaps(terms, n, source, period))
        self.latency = self.include("latency", Latency(terms, n, source, period))

    def reset(self, ids: Tensor) -> None:
        """Draws what holds for a new episode of worlds ``ids``, (m,)."""
        for part in (self.markers, self.noise, self.injection, self.gaps, self.latency):
            part.reset(ids)

    def apply(self, measurement: dict[str, Tensor], touched: Tensor | None = None) -> dict[str, Tensor]:
        """The fields as they are seen; once per control step.

        Args:
            measurement: exact values by observation field.
            touched: whether something is in the way of each fingertip marker, (n, 5) bool; needed for occlusion.
        """
        seen = {name: value for name, value in measurement.items() if name in self.fields}
        self.markers.apply(seen, measurement)
        self.noise.apply(seen)
        self.injection.apply(seen)
        self.gaps.apply(seen, touched)
        self.latency.apply(seen)
        return seen
