"""``trunkline version``."""

from trunkline import __version__


def test_the_parts_are_listed(run) -> None:
    out = run("version").out
    assert out.splitlines()[0].split() == ["trunkline", __version__]
    assert "numpy" in out


def test_what_is_missing_is_null_in_json(run, monkeypatch) -> None:
    monkeypatch.setattr("trunkline.cli.version._PARTS", ("numpy", "no-such-thing"))
    data = run("version", "--json").data
    assert data["trunkline"] == __version__
    assert data["no-such-thing"] is None
    assert "not installed" in run("version").out
