"""A checkpoint that cannot be written ends every process of a run; none is left waiting for another."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from steelyard.errors import OutsideProgramError

torch = pytest.importorskip("torch")

from steelyard.runtime.train import checkpoint  # noqa: E402

ALONE_S = 20.0  # nobody came


class OfTwo:
    """One of two processes, played by threads: a sum or a wait takes both of them, and both the same."""

    device = torch.device("cpu")
    size = 2

    def __init__(self, rank, barrier, asked):
        self.rank, self.barrier, self.asked = rank, barrier, asked

    @property
    def first(self):
        return self.rank == 0

    def sum(self, values):
        self.asked[self.rank] = ("sum", values)
        self.barrier.wait(ALONE_S)
        kinds, parts = zip(*self.asked, strict=True)
        assert set(kinds) == {"sum"}
        total = sum(parts)
        self.barrier.wait(ALONE_S)
        return total

    def wait(self):
        self.asked[self.rank] = ("wait", None)
        self.barrier.wait(ALONE_S)
        assert {kind for kind, _ in self.asked} == {"wait"}
        self.barrier.wait(ALONE_S)


def by_two(work):
    """Let both do something, and return what came of each."""
    barrier, asked = threading.Barrier(2), [None, None]
    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(lambda rank: work(OfTwo(rank, barrier, asked)), (0, 1)))


def save_by_two(folder):
    """Let both save, and return what each met."""
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())

    def save(ranks):
        try:
            checkpoint.save(folder, model, optimizer, checkpoint.Progress(step=1), ranks, keep=1)
        except Exception as error:  # noqa: BLE001 - told below
            return error
        return None

    return by_two(save)


def test_a_folder_that_the_first_process_cannot_make_ends_both(tmp_path):
    (tmp_path / "file").write_text("")
    first, second = save_by_two(tmp_path / "file" / "checkpoints")
    assert isinstance(first, OutsideProgramError)
    assert "cannot be written: Not a directory; there is no earlier one" in str(first)
    assert isinstance(second, OutsideProgramError)
    assert "another process could not write" in str(second)


@pytest.mark.parametrize("part", ["_write", "_finish"])
def test_a_disk_that_refuses_later_ends_both_and_leaves_no_half(tmp_path, monkeypatch, part):
    def refuse(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "_write", lambda *_args: None)
    monkeypatch.setattr(checkpoint, part, refuse)
    for met in save_by_two(tmp_path):
        assert isinstance(met, OutsideProgramError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("spoilt", ["", "weight", "moment"])
def test_what_is_not_finite_in_one_process_is_known_to_both(spoilt):
    def look(ranks):
        model = torch.nn.Linear(2, 2)
        optimizer = torch.optim.AdamW(model.parameters())
        model(torch.ones(2)).sum().backward()
        optimizer.step()
        if spoilt and not ranks.first:
            tensor = model.weight if spoilt == "weight" else optimizer.state[model.weight]["exp_avg_sq"]
            tensor.data[0, 0] = float("inf")
        return checkpoint.is_finite(model, optimizer, ranks)

    assert by_two(look) == [not spoilt] * 2
