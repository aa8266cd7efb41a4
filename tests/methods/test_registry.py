"""What ``@register`` takes and refuses, and what other packages may offer."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Annotated

import pytest
import torch

from interlace import methods
from interlace._util import plugins
from interlace._util.schema import Range
from interlace.errors import InterlaceError
from interlace.methods import registry
from tests import models


@pytest.fixture(autouse=True)
def nothing_stays():
    """A test's methods are gone after it."""
    before = methods.available()
    yield
    for key in set(methods.available()) - set(before):
        methods.unregister(key)
    assert methods.available() == before


class Valid(methods.Method):
    """Nothing but a bias; registered by the tests that need it."""

    key = "valid"
    summary = "A method for tests."
    train_defaults = {"epochs": 3, "lr": 0.5}

    def __init__(self, clip, *, start: Annotated[float, Range(0, 9)] = 2.0, name: str = "x"):
        super().__init__(clip)
        self.bias = torch.nn.Parameter(torch.tensor(start))


@pytest.fixture
def installed(monkeypatch):
    """Pretend that packages are installed; what each offers is an attribute of this module."""

    def install(*offers):
        entries = []
        for key, attribute, package in offers:
            entry = EntryPoint(key, f"{__name__}:{attribute}", registry.METHOD_GROUP)
            entries.append(plugins.Extension(key, package, entry))
        monkeypatch.setattr(registry, "extensions", lambda group: tuple(entries))

    return install


def test_a_users_own_method_is_found():
    @methods.register
    class Mine(methods.Method):
        key = "mine"
        summary = "A method of my own."

        def __init__(self, clip, *, start: float):
            super().__init__(clip)
            self.bias = torch.nn.Parameter(torch.tensor(start))

    assert "mine" in methods.available()
    assert methods.get("mine") is Mine
    assert list(methods.parameters("mine")) == ["start"]
    assert methods.create("mine", models.tiny(), start=2.0).bias.item() == 2.0
    with pytest.raises(ValueError, match="has no argument 'stat'"):
        methods.create("mine", models.tiny(), stat=2.0)
    with pytest.raises(ValueError, match="needs .*start"):
        methods.create("mine", models.tiny())


def test_two_methods_of_one_name_are_refused():
    with pytest.raises(
        ValueError,
        match=r"two methods are called 'zero_shot': interlace\.methods\.zero_shot\.ZeroShot and "
        r".*\.Second",
    ):

        @methods.register
        class Second(methods.Method):
            key = "zero_shot"
            summary = "Another one."

    assert methods.get("zero_shot").__module__ == "interlace.methods.zero_shot"


def test_a_class_that_is_defined_again_takes_the_place_of_its_first_version():
    def define(start):
        @methods.register
        class Again(methods.Method):
            key = "again"
            summary = f"Version {start}."

        return Again

    define(1)
    second = define(2)
    assert methods.get("again") is second


def test_a_class_without_a_key_of_its_own_is_not_offered():
    methods.register(Valid)

    class Inherits(Valid):
        pass

    assert methods.get("valid") is Valid
    with pytest.raises(InterlaceError, match=r"Inherits: key=None: a method needs a key of its"):
        methods.register(Inherits)


@pytest.mark.parametrize("key", ["", "Mine", "a b", "a:b", "a,b", "a/b", "../a", "a=b", None, 3])
def test_bad_keys_are_refused(key):
    bad = type("Bad", (Valid,), {"key": key})
    with pytest.raises(InterlaceError, match="Bad: key=.* a method needs a key of its own"):
        methods.register(bad)


def no_model(self):
    pass


def positional(self, clip, width):
    pass


def anything(self, clip, **settings):
    pass


def training(self, clip, *, lr=1.0):
    pass


def out_of_range(self, clip, *, start: Annotated[int, Range(1)] = 0):
    pass


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"summary": ""}, "needs a summary"),
        ({"__init__": no_model}, "must take the model first"),
        ({"__init__": positional}, "the argument width must be keyword-only"),
        ({"__init__": anything}, "the argument settings must be keyword-only"),
        ({"__init__": training}, "the argument lr is also a setting of training"),
        ({"__init__": out_of_range}, "default start=0: must be a whole number of at least 1"),
        ({"train_defaults": {"epoch": 3}}, "train_defaults: no setting of training 'epoch'"),
        ({"train_defaults": {"epochs": -3}}, "default epochs=-3: must be a whole number"),
    ],
)
def test_what_breaks_the_contract_is_refused(changes, reason):
    bad = type("Bad", (Valid,), {"key": "bad", **changes})
    with pytest.raises(InterlaceError, match=f"Bad: .*{reason}"):
        methods.register(bad)
    with pytest.raises(InterlaceError, match="no method 'bad'"):
        methods.get("bad")


@pytest.mark.parametrize("thing", [3, "mine", torch.nn.Linear, Valid.__init__, None])
def test_what_is_no_method_is_refused(thing):
    with pytest.raises(InterlaceError, match="is no method: @register takes a subclass of Method"):
        methods.register(thing)


def test_defaults_come_from_the_signature_and_the_class():
    methods.register(Valid)
    assert methods.defaults("valid").method == {"start": 2.0, "name": "x"}
    assert methods.defaults("valid").train == {"epochs": 3, "lr": 0.5}
    run = methods.configure("valid", {"start": 4, "batch_size": 8})
    assert run.arguments == {"start": 4.0, "name": "x"}
    assert (run.train.epochs, run.train.lr, run.train.batch_size) == (3, 0.5, 8)
    assert methods.create("valid", models.tiny()).bias.item() == 2.0
    with pytest.raises(InterlaceError, match="^start=10: must be a number between 0 and 9"):
        methods.configure("valid", {"start": 10})
    assert methods.count_parameters("valid", models.SPECS["clip"]) == 1


def test_an_installed_method_is_known_without_being_imported_by_hand(installed):
    installed(("valid", "Valid", "a-package"))
    assert methods.get("valid") is Valid
    methods.unregister("valid")
    assert "valid" in methods.available()
    assert methods.unavailable() == []


@pytest.mark.parametrize(
    ("offers", "line"),
    [
        (
            [("gone", "Gone", "a-package")],
            "'gone' of the package 'a-package' cannot be loaded .*: AttributeError: .*Gone",
        ),
        (
            [("other", "Valid", "a-package")],
            "the method 'other' of the package 'a-package' cannot be used: its key is 'valid'",
        ),
        (
            [("valid", "torch", "a-package")],
            "the method 'valid' of the package 'a-package' cannot be used: .* is no method",
        ),
        (
            [("valid", "Valid", "first"), ("valid", "Valid", "second")],
            "two packages offer a method 'valid': first, second",
        ),
    ],
)
def test_a_broken_package_is_one_line_and_stops_nothing_else(installed, offers, line):
    installed(*offers)
    names = methods.available()
    assert offers[0][0] not in names and "mmrl++" in names
    (said,) = methods.unavailable()
    with pytest.raises(InterlaceError, match=line) as refused:
        methods.get(offers[0][0])
    assert str(refused.value) == said and "\n" not in said
    assert methods.create("mmrl++", models.tiny()).key == "mmrl++"


def test_a_package_cannot_take_the_place_of_a_method(installed, monkeypatch):
    monkeypatch.setattr(Valid, "key", "zero_shot")
    installed(("zero_shot", "Valid", "a-package"))
    assert methods.get("zero_shot").__module__ == "interlace.methods.zero_shot"
    (said,) = methods.unavailable()
    assert "the package 'a-package' cannot be used: two methods are called 'zero_shot'" in said


def test_a_method_of_others_that_cannot_be_made_is_one_line_with_its_cause():
    class Raises(Valid):
        key = "raises"

        def __init__(self, clip):
            super().__init__(clip)
            raise ZeroDivisionError("a slip\nof the pen")

    methods.register(Raises)
    wanted = r"the method 'raises' of .* cannot be made: ZeroDivisionError: a slip$"
    with pytest.raises(InterlaceError, match=wanted) as caught:
        methods.create("raises", models.tiny())
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
