import pytest

from trunkline.agent.errors import BadSettingsError
from trunkline.agent.manners import Limits


def test_phrases_and_limits_that_make_no_sense_are_refused() -> None:
    for wrong in ({"retries": -1}, {"model_stall_seconds": 0}, {"keys_text": "keys"}):
        with pytest.raises(BadSettingsError):
            Limits(**wrong)  # type: ignore[arg-type]
