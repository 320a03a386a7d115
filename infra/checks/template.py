"""The template: as it is written, and as CloudFormation gets it."""

import functools
import json
import logging
import os
from pathlib import Path

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

INFRA = Path(__file__).resolve().parent.parent
PROJECT = INFRA.parent
TEMPLATE, PAGE = INFRA / "template.yaml", INFRA / "page.yaml"

# The transform logs that its usage metrics go nowhere.
logging.getLogger("samtranslator.metrics").setLevel(logging.ERROR)


def written(template=TEMPLATE):
    return yaml_parse(template.read_text())


def transformed():
    """The template after AWS's own transform, with the code in some bucket."""
    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-west-1")
    template = written()
    template["Resources"]["Function"]["Properties"]["CodeUri"] = "s3://bucket/key"
    return transform(template, {}, None)


def resources(template, kind):
    return {name: it for name, it in template["Resources"].items() if it["Type"] == kind}


def walk(value, path=()):
    """Every value in a tree, with the path to it."""
    yield path, value
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from walk(child, (*path, key))


def references(value):
    """The names that a tree refers to: parameters and resources."""
    names = set()
    for path, it in walk(value):
        if path and path[-1] == "Ref":
            names.add(it)
        elif path and path[-1] == "Fn::GetAtt":
            names.add(it[0] if isinstance(it, list) else it.split(".")[0])
        elif path and path[-1] == "Fn::Sub":
            text, local = (it, {}) if isinstance(it, str) else it
            while "${" in text:
                name, _, text = text.partition("${")[2].partition("}")
                if name not in local:
                    names.add(name.split(".")[0])
    return names


@functools.cache
def schemas():
    """CloudFormation's own schema of each type of resource."""
    # The suites that deploy the template do without it.
    import cfnlint

    files = (Path(cfnlint.__file__).parent / "data/schemas/resources").glob("*.json")
    return {it["typeName"]: it for it in map(json.loads, map(Path.read_text, files)) if "typeName" in it}


def replaced_by(template, name):
    """The parameters whose change makes CloudFormation replace a resource."""
    resource = template["Resources"][name]
    fixed = [path.split("/")[2] for path in schemas()[resource["Type"]].get("createOnlyProperties", [])]
    return depends({key: resource.get("Properties", {}).get(key) for key in fixed}, template["Conditions"]) & set(template["Parameters"])


def depends(value, conditions):
    """The names that a tree refers to, with those of its conditions."""
    asked = {it["Fn::If"][0] for _, it in walk(value) if isinstance(it, dict) and "Fn::If" in it}
    asked |= {it for path, it in walk(value) if path and path[-1] == "Condition" and isinstance(it, str)}
    return references(value).union(*(depends([conditions[it]], conditions) for it in asked))


def branches(value):
    """A value, or everything that an Fn::If may make of it."""
    if isinstance(value, dict) and set(value) == {"Fn::If"}:
        _, yes, no = value["Fn::If"]
        return branches(yes) + branches(no)
    return [] if value == {"Ref": "AWS::NoValue"} else [value]


def at(value, path):
    """The value of a tree at a path of keys, which is the tree itself for an empty one; or None."""
    for key in filter(None, path.split(".")):
        if isinstance(value, list):
            value = value[int(key)]
        else:
            value = value.get(key) if isinstance(value, dict) else None
    return value


def differences(template, agreed):
    """A sentence for every path at which a template has something else than agreed."""
    for path, wanted in agreed.items():
        if at(template, path) != wanted:
            yield f"{path} is {at(template, path)}"
