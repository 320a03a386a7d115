"""Holds the template to the rules, and each rule to templates that break it."""

import copy

import pytest

from checks import rules
from checks.sabotage import SABOTAGE
from checks.template import transformed


@pytest.fixture(scope="module")
def template():
    return transformed()


@pytest.mark.parametrize("rule", rules.RULES)
def test_the_template_keeps(rule, template):
    assert list(rule(template)) == [], rule.__doc__


@pytest.mark.parametrize("rule", rules.RULES)
def test_a_broken_template_is_known_for(rule):
    assert SABOTAGE.get(rule)


@pytest.mark.parametrize(("rule", "change"), [(rule, change) for rule, changes in SABOTAGE.items() for change in changes])
def test_a_broken_template_is_noticed_by(rule, change, template):
    sabotaged = copy.deepcopy(template)
    change(sabotaged)
    assert sabotaged != template, "the broken template is the real one"
    assert list(rule(sabotaged)), rule.__doc__
