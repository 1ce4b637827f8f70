"""Places on a head by the 10-10 system, and smooth maps of it."""

import numpy as np
import pytest

from stream_infomax.drawing import head

EEG = [
    *("Fp1", "Fpz", "Fp2", "AF3", "AFz", "AF4", "F7", "F3", "Fz", "F4", "F8", "T7"),
    *("C3", "Cz", "C4", "T8", "P7", "P3", "Pz", "P4", "P8", "O1", "Oz", "O2"),
]


def place(name: str) -> tuple[float, float]:
    (found,) = head.positions([name])
    assert found is not None, name
    return found


def test_places_follow_the_definition() -> None:
    for name, expected in {
        "Cz": (0, 0), "Fpz": (0, 0.8), "Oz": (0, -0.8), "T7": (-0.8, 0), "T8": (0.8, 0), "Fz": (0, 0.4), "Nz": (0, 1),
        "Iz": (0, -1), "C3": (-0.4, 0), "C6": (0.6, 0), "T10": (1, 0), "T3": (-0.8, 0),
    }.items():  # fmt: skip
        np.testing.assert_allclose(place(name), expected, atol=1e-9, err_msg=name)


def test_left_and_right_are_alike_and_lines_in_order() -> None:
    for line in ("AF", "F", "FC", "C", "CP", "P", "PO"):
        across = [place(f"{line}{number}") for number in (5, 3, 1, "z", 2, 4, 6)]
        np.testing.assert_allclose(across, np.array(across[::-1]) * (-1, 1), atol=1e-9)
        assert (np.diff([x for x, _ in across]) > 0).all()
    front = [place(f"{line}3")[1] for line in ("AF", "F", "FC", "C", "CP", "P", "PO")]
    assert (np.diff(front) < 0).all()
    np.testing.assert_allclose(place("F3"), np.array(place("P3")) * (1, -1), atol=1e-9)


@pytest.mark.parametrize(("name", "same"), [("FC5", "Fc5."), ("Cz", "EEG CZ-REF"), ("P8", "T6"), ("TP7", "tp7")])
def test_names_as_files_have_them(name: str, same: str) -> None:
    assert place(name) == place(same)


def test_other_names_have_no_place() -> None:
    names = ["A1", "ECG", "x", "", "F0", "F11", "Fp3", "T1", "Qz", "C99", "12", "FT1"]
    assert head.positions(names) == [None] * len(names)


def test_a_map_goes_through_what_was_measured() -> None:
    places = np.array([place(name) for name in EEG])
    values = places @ [2.0, -1.0] + 0.5  # a plane is kept
    np.testing.assert_allclose(head.surface(places, places * 0.7) @ values, places * 0.7 @ [2.0, -1.0] + 0.5, atol=1e-6)
    peak = np.eye(len(EEG))[3]
    np.testing.assert_allclose(head.surface(places, places) @ peak, peak, atol=0.1)
