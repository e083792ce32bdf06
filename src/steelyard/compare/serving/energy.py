"""Energy of a simulated fleet at the meter, in its parts."""

from __future__ import annotations

from dataclasses import dataclass

from steelyard.inference.simulator import ServingResult


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergySplit:
    """Energy of a run, or of each of its requests or tokens [J]."""

    device_j: float
    host_j: float  # processors, memory, network cards, fans and supplies around the devices
    cooling_j: float  # cooling and supply of the building: IT energy x (PUE - 1)

    @property
    def it_j(self) -> float:
        return self.device_j + self.host_j

    @property
    def facility_j(self) -> float:
        return self.it_j + self.cooling_j

    def per(self, count: float) -> EnergySplit:
        """Return the same for one of `count`; NaN for none."""
        share = 1.0 / count if count else float("nan")
        return EnergySplit(device_j=self.device_j * share, host_j=self.host_j * share, cooling_j=self.cooling_j * share)

    def to_dict(self) -> dict[str, float]:
        names = (*self.__dataclass_fields__, "it_j", "facility_j")
        return {name: getattr(self, name) for name in names}


def energy_of(run: ServingResult, pue_ratio: float) -> EnergySplit:
    """Return where the energy of a run went, time between steps included [J]."""
    return EnergySplit(
        device_j=run.energy_j - run.host_energy_j,
        host_j=run.host_energy_j,
        cooling_j=run.energy_j * (pue_ratio - 1.0),
    )
