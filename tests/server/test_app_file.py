"""Loading an application file."""

from pathlib import Path

import pytest

from trunkline.calls.switchboard import Switchboard
from trunkline.errors import UsageError
from trunkline.server.app_file import load_board


def write(folder: Path, text: str) -> Path:
    path = folder / "shop.py"
    path.write_text(text)
    return path


def test_the_only_switchboard_is_found_whatever_it_is_called(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "from trunkline.calls.switchboard import Switchboard\n"
        "shop = Switchboard()\n"
        "@shop.answer('100')\n"
        "async def app(call): ...\n",
    )
    board = load_board(path)
    assert isinstance(board, Switchboard)
    assert [route.pattern for route in board.routes] == ["100"]


def test_of_several_the_one_called_board_is_taken(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "from trunkline.calls.switchboard import Switchboard\n"
        "other = Switchboard()\n"
        "board = Switchboard()\n"
        "board.answer('7')(print)\n",
    )
    assert load_board(path).routes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "makes no Switchboard"),
        (
            "from trunkline.calls.switchboard import Switchboard as S\na, b = S(), S()\n",
            "several switchboards",
        ),
        ("import sys\nsys.exit(3)\n", "ends by itself"),
        ("\n\n1 / 0\n", "failed in line 3: ZeroDivisionError"),
        ("def (:\n", "SyntaxError"),
    ],
)
def test_a_file_that_cannot_be_used_says_what_to_do(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        load_board(write(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no file .*gone\.py"):
        load_board(tmp_path / "gone.py")


def test_neighbours_of_the_file_can_be_imported(tmp_path: Path) -> None:
    (tmp_path / "trunkline_test_neighbour.py").write_text("NUMBER = '42'\n")
    path = write(
        tmp_path,
        "from trunkline.calls.switchboard import Switchboard\n"
        "from trunkline_test_neighbour import NUMBER\n"
        "board = Switchboard()\n"
        "board.answer(NUMBER)(print)\n",
    )
    assert load_board(path).routes[0].pattern == "42"
