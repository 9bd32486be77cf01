"""AMD GPUs, through `amdsmi`: the energy counter of each card that the job may use, each card once.

    which GPUs      ROCR_VISIBLE_DEVICES, and of those HIP_VISIBLE_DEVICES, else CUDA_VISIBLE_DEVICES, which HIP reads
                    too; JOULEBOOK_GPUS goes before them. Indices are HIP's where amdsmi tells them, else amdsmi's
    which sensor    amdsmi_get_energy_count: accumulator × counter resolution, in microjoules. Bare metal only: a
                    virtual machine has none
    whose energy    by reservation

An MI250 is one card with two dies (GCDs), each of them a GPU to the driver; the first shows the energy of both, the
second 0. The card is read once, and of it half is set aside for a job that uses one die.

Some drivers show a counter that never moves: it gives no value and the status "stuck" as long as power is drawn. AMD
publishes no accuracy of the counter: ±10 % is taken.

This was written from the interface of amdsmi 7.0 and tested on a stand-in with its functions, never on a real GPU.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from joulebook.collectors.sensors import Finding, Sample, Sensor, Where
from joulebook.collectors.sensors.still import STUCK, Still

UPDATE_S = 0.1
ACCURACY = 0.10
MARGIN = 1.2  # what a card may draw above its limit, as a mean over 100 ms
TWO_DIES = "MI250"
OURS, ROCR, HIP = "JOULEBOOK_GPUS", "ROCR_VISIBLE_DEVICES", ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
LIBRARY = "libamd_smi.so"


class Gpu(NamedTuple):
    """What the driver takes for a GPU: a card, or one die of it. `names`: how a list may call it beside its number."""

    number: int
    uuid: str
    handle: Any
    names: tuple[str, ...]
    model: str
    energy_uj: float | None


class Card(NamedTuple):
    """What has a counter: its first GPU, and the part of it that is set aside."""

    gpu: Gpu
    reserved: float


def open_meter(where: Where) -> AmdMeter | None:
    """The cards that this job may use; None where there are none, or no amdsmi."""
    amdsmi = _amdsmi(where)
    if amdsmi is None or _initialise(amdsmi) is not None:
        return None
    cards = _cards(_gpus(amdsmi))
    if not cards:
        _asked(amdsmi, amdsmi.amdsmi_shut_down)
        return None
    return AmdMeter(amdsmi, cards)


class AmdMeter:
    """The meter `amd`."""

    name = "amd"
    rest_s = UPDATE_S
    interval_s = None

    def __init__(self, amdsmi: Any, cards: Sequence[Card]) -> None:
        self._amdsmi = amdsmi
        self._pid = os.getpid()
        self._handles = {card.gpu.uuid: card.gpu.handle for card in cards}
        self._sensors = {_sensor(amdsmi, card): card.gpu.uuid for card in cards}
        self._still = Still()

    def sensors(self) -> Sequence[Sensor]:
        return list(self._sensors)

    def read(self, names: Collection[str]) -> Sequence[Sample]:
        if self._pid != os.getpid():
            self._begin_again()
        return [self._sample(sensor.sensor, uuid) for sensor, uuid in self._sensors.items() if sensor.sensor in names]

    def close(self) -> None:
        _asked(self._amdsmi, self._amdsmi.amdsmi_shut_down)

    def _begin_again(self) -> None:
        """A fork has to initialise for itself."""
        self._pid = os.getpid()
        _initialise(self._amdsmi)
        self._handles = {gpu.uuid: gpu.handle for gpu in _gpus(self._amdsmi)}

    def _sample(self, name: str, uuid: str) -> Sample:
        if uuid not in self._handles:
            return Sample(name, None, "NOT_FOUND")
        try:
            value = _energy_uj(self._amdsmi, self._handles[uuid])
        except self._amdsmi.AmdSmiException as error:
            return Sample(name, None, _status(error))
        if self._still.is_still(name, value) and _power_w(self._amdsmi, self._handles[uuid]):
            return Sample(name, None, STUCK)
        return Sample(name, value)


def _amdsmi(where: Where) -> Any | None:
    """The module. It is looked for only beside a driver and a library: without the library it prints, then fails."""
    if not (where.sys / "module/amdgpu").exists() or not _library() or find_spec("amdsmi") is None:
        return None
    try:
        return import_module("amdsmi")
    except (ImportError, OSError, KeyError, AttributeError):  # it is of another version than its library
        return None


def _library() -> Path | None:
    """Where ROCm keeps it."""
    roots = (os.environ.get("ROCM_HOME"), os.environ.get("ROCM_PATH"), "/opt/rocm")
    found = [Path(root) / "lib" / LIBRARY for root in roots if root]
    return next((path for path in found if path.exists()), None)


def _initialise(amdsmi: Any) -> str | None:
    """The error, None if there is none."""
    try:
        amdsmi.amdsmi_init()
    except amdsmi.AmdSmiException as error:
        return _status(error)
    return None


def _asked(amdsmi: Any, question: Callable[..., Any] | None, *about: Any) -> Any:
    """The answer; None where there is none, or no such question in this version."""
    try:
        return None if question is None else question(*about)
    except amdsmi.AmdSmiException:
        return None


def _status(error: Any) -> str:
    """AMDSMI_STATUS_NOT_SUPPORTED - Feature not supported -> NOT_SUPPORTED."""
    told = str(getattr(error, "err_info", "") or type(error).__name__)
    return told.partition(" - ")[0].removeprefix("AMDSMI_STATUS_")


def _energy_uj(amdsmi: Any, handle: Any) -> float:
    counted = amdsmi.amdsmi_get_energy_count(handle)
    accumulator = counted.get("energy_accumulator", counted.get("power"))  # its name before ROCm 6.2
    return accumulator * counted["counter_resolution"]


def _power_w(amdsmi: Any, handle: Any) -> float:
    told = _asked(amdsmi, amdsmi.amdsmi_get_power_info, handle) or {}
    powers = [told.get(name) for name in ("average_socket_power", "current_socket_power")]
    return max((power for power in powers if isinstance(power, int)), default=0)


def _gpus(amdsmi: Any) -> list[Gpu]:
    handles = _asked(amdsmi, amdsmi.amdsmi_get_processor_handles) or []
    found = [_gpu(amdsmi, place, handle) for place, handle in enumerate(handles)]
    return sorted(found, key=lambda gpu: gpu.number)


def _gpu(amdsmi: Any, place: int, handle: Any) -> Gpu:
    listed = _asked(amdsmi, getattr(amdsmi, "amdsmi_get_gpu_enumeration_info", None), handle) or {}
    asic = _asked(amdsmi, amdsmi.amdsmi_get_gpu_asic_info, handle) or {}
    uuid = _asked(amdsmi, amdsmi.amdsmi_get_gpu_device_uuid, handle) or f"card-{place}"
    number = listed.get("hip_id")
    return Gpu(
        number if isinstance(number, int) else place,
        uuid,
        handle,
        tuple(name for name in (uuid, f"GPU-{uuid}", listed.get("hip_uuid")) if name),
        asic.get("market_name", "AMD GPU"),
        _asked(amdsmi, lambda: _energy_uj(amdsmi, handle)),
    )


def _cards(found: Sequence[Gpu]) -> list[Card]:
    """Cards with a counter, of which the job may use some: each once."""
    chosen = {gpu.uuid for gpu in _selected(found)}
    groups: list[list[Gpu]] = []
    for gpu in found:
        is_second_die = TWO_DIES in gpu.model and not gpu.energy_uj and groups and TWO_DIES in groups[-1][0].model
        if is_second_die and len(groups[-1]) == 1:
            groups[-1].append(gpu)
        else:
            groups.append([gpu])
    shares = [(dies, sum(die.uuid in chosen for die in dies) / len(dies)) for dies in groups]
    return [Card(dies[0], share) for dies, share in shares if share and dies[0].energy_uj]


def _selected(found: Sequence[Gpu]) -> Sequence[Gpu]:
    if OURS in os.environ:
        return _listed(os.environ[OURS], found)
    if ROCR in os.environ:
        found = _listed(os.environ[ROCR], found)
        found = [gpu._replace(number=number) for number, gpu in enumerate(found)]  # HIP counts what is left
    variable = next((name for name in HIP if name in os.environ), None)
    return found if variable is None else _listed(os.environ[variable], found)


def _listed(text: str, found: Sequence[Gpu]) -> list[Gpu]:
    """The GPUs of a list, up to the first entry that names none."""
    listed: list[Gpu] = []
    for entry in (entry.strip() for entry in text.split(",")):
        named = [gpu for gpu in found if entry in (str(gpu.number), *gpu.names)]
        if len(named) != 1:
            break
        listed += [gpu for gpu in named if gpu not in listed]
    return listed


def _sensor(amdsmi: Any, card: Card) -> Sensor:
    limits = _asked(amdsmi, amdsmi.amdsmi_get_power_cap_info, card.gpu.handle) or {}
    limit_uw = limits.get("power_cap")
    return Sensor(
        sensor=f"amd:{card.gpu.uuid}",
        device=f"gpu:{card.gpu.uuid}",
        unit="uJ",
        method="measured",
        source="amdsmi_get_energy_count",
        model=card.gpu.model,
        update_s=UPDATE_S,
        accuracy=ACCURACY,
        max_w=limit_uw * 1e-6 * MARGIN if isinstance(limit_uw, int) and limit_uw > 0 else None,
        share_by="reservation",
        reserved=card.reserved,
    )


def diagnose(where: Where) -> list[Finding]:
    """What there is of AMD's, why it cannot be used if so, and what to expect of each card."""
    if not (where.sys / "module/amdgpu").exists():
        return []
    amdsmi = _amdsmi(where)
    if amdsmi is None:
        return [_without_package()]
    error = _initialise(amdsmi)
    if error is not None:
        return [Finding("AMD GPU", "fail", f"amdsmi cannot be initialised ({error})", "see what amd-smi list says")]
    try:
        found = _gpus(amdsmi)
        return [*_without_counter(found), *map(_of_card, _cards(found))]
    finally:
        _asked(amdsmi, amdsmi.amdsmi_shut_down)


def _without_package() -> Finding:
    library = _library()
    if library is None:
        return Finding("AMD GPU", "warn", f"the amdgpu driver is here, but not {LIBRARY}",
                       "to measure a GPU, install ROCm's amd-smi-lib and set ROCM_PATH", LIBRARY)  # fmt: skip
    return Finding("AMD GPU", "fail", "ROCm is here, but its Python package amdsmi is not, or is of another version",
                   f"pip install {library.parents[1]}/share/amd_smi", "amdsmi")  # fmt: skip


def _without_counter(found: Sequence[Gpu]) -> list[Finding]:
    blind = [gpu for gpu in found if gpu.energy_uj is None]
    told = "shows no energy counter; a virtual machine has none"
    return [Finding(f"{gpu.model} {gpu.uuid}", "warn", told, "measure on bare metal") for gpu in blind]


def _of_card(card: Card) -> Finding:
    detail = "energy counter, shared by reservation"
    if TWO_DIES in card.gpu.model:
        detail = f"{detail}: that of both dies, of which {card.reserved:.0%} is yours"
    return Finding(f"{card.gpu.model} {card.gpu.uuid}", "ok", detail, source="amdsmi_get_energy_count",
                   tier="measured", interval=f"±{ACCURACY:.0%}")  # fmt: skip
