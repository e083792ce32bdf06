"""What a rented device costs, as a question states it."""

from __future__ import annotations

from datetime import date

from steelyard import catalog, economics
from steelyard.device import Device
from steelyard.errors import InputError, unknown


def rental_of(
    device: Device, pricing: str, *, usd_per_device_s: float | None, as_of: date | None
) -> economics.RentalPrice:
    """Return the stated price of a device, else the catalogue's of that kind of contract and day.

    Raises:
        InputError: A kind of contract that no device has.
        UnknownError: The catalogue has no price of that kind and date.
    """
    kinds = {economics.CONTRACT, *(row["kind"] for row in catalog.table("gpu_prices").rows)}
    if pricing not in kinds:
        raise InputError(unknown("kind of rental", pricing, kinds))
    if usd_per_device_s is None:
        return economics.rental_price(device.accelerator, pricing, as_of=as_of)
    day = as_of or date.today()  # noqa: DTZ011 - the user's day
    return economics.stated_price(usd_per_device_s, device_id=device.id, kind=pricing, as_of=day)
