"""Our own few functions of nvidia-ml-py beside nvidia-ml-py itself, on the twin."""

from __future__ import annotations

import ctypes

import pynvml
import pytest
from twin.gpu import DRIVER_NOT_LOADED, FUNCTION_NOT_FOUND, NO_PERMISSION, Gpu, Mig, Node, Process, loaded, uuid

from joulebook.collectors.sensors import nvml_library as ours

STRUCTURES = {
    ours.FieldValue: pynvml.c_nvmlFieldValue_t,
    ours.Value: pynvml.c_nvmlValue_t,
    ours.ProcessUtilization: pynvml.c_nvmlProcessUtilizationSample_t,
    ours.Attributes: pynvml.c_nvmlDeviceAttributes,
    ours.ProfileInfo: pynvml.c_nvmlGpuInstanceProfileInfo_v2_t,
}
# Function -> what it is asked after the handle of a GPU or of a MIG device.
OF_A_GPU = {
    "nvmlDeviceGetUUID": [],
    "nvmlDeviceGetName": [],
    "nvmlDeviceGetArchitecture": [],
    "nvmlDeviceGetCudaComputeCapability": [],
    "nvmlDeviceGetTotalEnergyConsumption": [],
    "nvmlDeviceGetPowerUsage": [],
    "nvmlDeviceGetEnforcedPowerLimit": [],
    "nvmlDeviceGetFieldValues": [[(186, 0), (185, 1), (1, 0)]],
    "nvmlDeviceGetProcessUtilization": [0],
    "nvmlDeviceGetMigMode": [],
    "nvmlDeviceGetMaxMigDeviceCount": [],
    "nvmlDeviceGetMigDeviceHandleByIndex": [0],
    "nvmlDeviceGetGpuInstanceId": [],
    "nvmlDeviceGetComputeInstanceId": [],
    "nvmlDeviceGetAttributes": [],
    "nvmlDeviceGetGpuInstanceProfileInfo": [4],
}
OTHERS = {
    "nvmlInit": [],
    "nvmlDeviceGetCount": [],
    "nvmlDeviceGetHandleByIndex": [1],
    "nvmlDeviceGetHandleByUUID": [uuid(1)],
    "nvmlShutdown": [],
}
BUSY = Gpu(processes=(Process(4711, 30), Process(4712, 20)))
SLICED = Gpu(mig=(Mig("MIG-c6d4f1ef", 1, 0, 3, 3),))
IDLE = Gpu(limit_w=350)


@pytest.fixture
def twin(tmp_path):
    """`twin(Gpu(), …)`: a machine with these GPUs, for both."""

    def begin(*gpus, **node):
        Node(gpus, **node).install(tmp_path)
        for library in (ours, pynvml):
            asked(library, "nvmlInit")

    with loaded(Node(), tmp_path):
        yield begin


def asked(library, function, *about):
    """The answer as plain values, or the error."""
    try:
        return plain(getattr(library, function)(*about))
    except library.NVMLError as error:
        return f"error {error.value}"


def plain(answer):
    if isinstance(answer, (ctypes.Structure, ctypes.Union)):
        return {name: plain(getattr(answer, name)) for name, *_ in answer._fields_ if name != "timestamp"}
    if isinstance(answer, (ctypes._Pointer, ctypes.c_void_p)):
        return f"handle {ctypes.cast(answer, ctypes.c_void_p).value}"
    if isinstance(answer, (list, tuple, ctypes.Array)):
        return [plain(one) for one in answer]
    return answer.decode() if isinstance(answer, bytes) else answer


def both(ask):
    """What ours answers and what theirs does, at times between which nothing has changed."""
    for _ in range(100):
        before, theirs, after = ask(ours), ask(pynvml), ask(ours)
        if before == after:
            return before, theirs
    raise AssertionError("the twin's values never stand still")


def test_every_function_is_compared():
    assert {name for name in vars(ours) if name.startswith("nvml")} == {*OF_A_GPU, *OTHERS}


@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda structure: structure.__name__)
def test_structures_are_laid_out_alike(structure):
    theirs = STRUCTURES[structure]
    assert ctypes.sizeof(structure) == ctypes.sizeof(theirs)
    places = [(name, getattr(structure, name).offset, getattr(structure, name).size) for name, _ in structure._fields_]
    assert places == [(name, getattr(theirs, name).offset, getattr(theirs, name).size) for name, *_ in theirs._fields_]


def test_errors_have_the_same_names():
    codes = {value for name, value in vars(pynvml).items() if name.startswith("NVML_ERROR_")}
    assert set(ours.NAMES) == codes
    assert [f"NVMLError_{ours.NVMLError(code).name}" for code in codes] == [
        type(pynvml.NVMLError(code)).__name__ for code in codes
    ]
    assert ours.NVMLError(12345).name == "error 12345"
    assert ours.LIBRARY in pynvml._LoadNvmlLibrary.__code__.co_consts
    assert pynvml.nvmlGpuInstanceProfileInfo_v2 == ours.PROFILE_VERSION


@pytest.mark.parametrize("function", OF_A_GPU)
def test_of_every_gpu_both_tell_the_same(twin, function):
    twin(BUSY, IDLE, SLICED, Gpu(counter=False, utilisation=False, average_s=0))
    for place in range(4):
        own, theirs = both(lambda library, n=place: of_gpu(library, n, function))
        is_idle = function == "nvmlDeviceGetProcessUtilization" and place == 1
        assert (own, theirs) == ([], "error 6") if is_idle else own == theirs


def of_gpu(library, place, function):
    return asked(library, function, library.nvmlDeviceGetHandleByIndex(place), *OF_A_GPU[function])


@pytest.mark.parametrize("function", OF_A_GPU)
def test_of_a_mig_device_both_tell_the_same(twin, function):
    def of_mig(library):
        handle = library.nvmlDeviceGetMigDeviceHandleByIndex(library.nvmlDeviceGetHandleByIndex(0), 0)
        return asked(library, function, handle, *OF_A_GPU[function])

    twin(SLICED)
    own, theirs = both(of_mig)
    assert own == theirs


@pytest.mark.parametrize("function", OTHERS)
def test_of_the_node_both_tell_the_same(twin, function):
    twin(BUSY, IDLE)
    own, theirs = (asked(library, function, *OTHERS[function]) for library in (ours, pynvml))
    assert own == theirs
    assert not str(own).startswith("error")


def test_what_goes_wrong_is_the_same_error(twin):
    for library in (ours, pynvml):
        assert asked(library, "nvmlShutdown") == "error 1"  # not initialised
        assert asked(library, "nvmlDeviceGetCount") == "error 1"
    for init in (DRIVER_NOT_LOADED, NO_PERMISSION):
        twin(init=init)
        assert [asked(library, "nvmlInit") for library in (ours, pynvml)] == [f"error {init}"] * 2
    twin(BUSY, missing=("nvmlDeviceGetName",))
    assert [asked(library, "nvmlDeviceGetHandleByIndex", 7) for library in (ours, pynvml)] == ["error 2"] * 2
    own, theirs = both(lambda library: of_gpu(library, 0, "nvmlDeviceGetName"))
    assert own == theirs == f"error {FUNCTION_NOT_FOUND}"


def test_a_function_that_the_library_does_not_have(twin):
    twin(BUSY)
    with pytest.raises(ours.NVMLError) as caught:
        ours._call("nvmlDeviceGetWhatIsNotThere")
    assert (caught.value.value, caught.value.name) == (FUNCTION_NOT_FOUND, "FunctionNotFound")


def test_more_busy_processes_than_there_was_room_for(twin, monkeypatch):
    monkeypatch.setattr(ours, "MOST_ENTRIES", 1)
    twin(BUSY)
    entries = ours.nvmlDeviceGetProcessUtilization(ours.nvmlDeviceGetHandleByIndex(0), 0)
    assert [(entry.pid, entry.smUtil) for entry in entries] == [(4711, 30), (4712, 20)]
