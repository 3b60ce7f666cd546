import pytest

from synthaug import errors
from synthaug.errors import SynthAugError, did_you_mean, shortened


def test_every_error_is_a_users_mistake() -> None:
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Exception)]
    assert len(kinds) >= 8
    assert all(issubclass(one, SynthAugError) for one in kinds)
    assert issubclass(SynthAugError, ValueError)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [("ventrikles", " (did you mean 'ventricles'?)"), ("VENTRICLES", " (did you mean 'ventricles'?)"), ("liver", "")],
)
def test_the_nearest_name_is_suggested(wrong: str, expected: str) -> None:
    assert did_you_mean(wrong, ["ventricles", "brainstem"]) == expected


def test_of_a_long_text_its_beginning_and_length_are_quoted() -> None:
    assert shortened("ventricles") == "ventricles"
    assert shortened({"ventricles": 40}) == "{'ventricles': 40}"
    assert shortened("v" * 100_000) == "v" * 80 + "... (100000 characters)"
