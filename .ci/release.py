#!/usr/bin/env python3
"""The files of a release, and the conditions for one.

    .ci/release.py check TAG           TAG, Cargo.toml and CHANGELOG.md agree; prints the changelog's section
    .ci/release.py package ZIP INTO    INTO gets the zip of cargo lambda under its name, what deploys it, its bill of materials, and checksums
    .ci/release.py deployable ZIP INTO of these, the zip and what deploys it alone: needs aws-sam-translator and nothing else

`package` needs .ci/requirements-release.txt and cargo-cyclonedx.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

from dependencies import OWN, TARGETS, dependencies

PROJECT = Path(__file__).resolve().parent.parent
# ELF's numbers of the processors that Lambda has.
MACHINES = {62: "x86_64", 183: "arm64"}
# The newest that cargo-cyclonedx writes.
CYCLONEDX = "1.5"


class Refused(Exception):
    pass


def check(tag):
    print(notes(tag, version(), (PROJECT / "CHANGELOG.md").read_text()))


def version():
    return tomllib.loads((PROJECT / "Cargo.toml").read_text())["package"]["version"]


def notes(tag, version, changelog):
    """The changelog's section of the version that the tag is for."""
    if tag != f"v{version}":
        raise Refused(f"The tag is {tag}, and Cargo.toml has version {version}.")
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    of_version = [text for heading, _, text in (it.partition("\n") for it in sections) if heading.split(" ")[0] == version]
    if len(of_version) != 1 or not of_version[0].strip():
        raise Refused(f"CHANGELOG.md has {len(of_version)} sections '## {version}', and needs one that says something.")
    return of_version[0].strip()


def deployable(built, into):
    """The zip under its name, templates that name it, and for the architecture that is the default what both share."""
    architecture = architecture_of(built)
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    name = f"{OWN}-{version()}-{architecture}"
    zipped = shutil.copyfile(built, into / f"{name}.zip")
    suffix = "" if architecture == "arm64" else f"-{architecture}"
    template = for_sam((PROJECT / "infra/template.yaml").read_text(), zipped.name, architecture)
    (into / f"template{suffix}.yaml").write_text(template)
    (into / f"template{suffix}.plain.yaml").write_text(plain(template, zipped))
    cdk = (PROJECT / "infra/cdk.js").read_text()
    names = {"RELEASE.zip": zipped.name, "template.plain.yaml": f"template{suffix}.plain.yaml"}
    for here, there in names.items():
        cdk = replaced_once(cdk, here, there)
    (into / f"cdk{suffix}.js").write_text(cdk)
    if not suffix:
        for shared in ("page.yaml", "deployer-policy.json"):
            shutil.copyfile(PROJECT / "infra" / shared, into / shared)
    return name, architecture


def replaced_once(text, old, new):
    if text.count(old) != 1:
        raise Refused(f"{text.count(old)} places say {old!r}, where one should.")
    return text.replace(old, new)


def for_sam(template, zipped, architecture):
    """The template with the zip for its code: there is nothing to build, and no file beside it that it names."""
    template = replaced_once(template, "CodeUri: ..", f"CodeUri: {zipped}")
    template = replaced_once(template, "Default: arm64", f"Default: {architecture}")
    build = "    Metadata:\n      BuildMethod: rust-cargolambda\n      BuildProperties:\n        Binary: tiktok-token-refresh\n"
    for here in (build, "    LicenseUrl: ../LICENSE\n", "    ReadmeUrl: README.md\n"):
        template = replaced_once(template, here, "")
    return template


def plain(template, zipped):
    """The template that CloudFormation understands without SAM's transform. Parameters name the place of the code.

    The published version's logical id comes from the zip's checksum, so another release publishes another version."""
    import yaml
    from samtranslator.translator.transform import transform
    from samtranslator.yaml_helper import yaml_parse

    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-west-1")
    parsed = yaml_parse(template)
    parsed["Resources"]["Function"]["Properties"]["CodeUri"] = f"s3://release/{hashlib.sha256(zipped.read_bytes()).hexdigest()}"
    result = transform(parsed, {}, None)
    result["Resources"]["Function"]["Properties"]["Code"] = {"S3Bucket": {"Ref": "CodeS3Bucket"}, "S3Key": {"Ref": "CodeS3Key"}}
    bucket = {"Type": "String", "AllowedPattern": "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", "Description": f"Bucket in this Region with {zipped.name}."}
    key = {"Type": "String", "MinLength": 1, "MaxLength": 1024, "Description": f"Key of {zipped.name} in that bucket."}
    result["Parameters"] = {"CodeS3Bucket": bucket, "CodeS3Key": key} | result["Parameters"]
    del result["Metadata"]["AWS::ServerlessRepo::Application"]
    interface = result["Metadata"]["AWS::CloudFormation::Interface"]
    interface["ParameterGroups"].insert(0, {"Label": {"default": "Code"}, "Parameters": ["CodeS3Bucket", "CodeS3Key"]})
    interface["ParameterLabels"] |= {"CodeS3Bucket": {"default": "Bucket"}, "CodeS3Key": {"default": "Key"}}
    if "AWS::Serverless" in json.dumps(result) or "Transform" in result:
        raise Refused("The plain template still needs SAM's transform.")
    # Through JSON: the parser's own types are not YAML's.
    return yaml.safe_dump(json.loads(json.dumps(result)), sort_keys=False, width=130, allow_unicode=True)


def package(built, into):
    name, architecture = deployable(built, into)
    bill = bill_of_materials(TARGETS[architecture])
    verify(bill, TARGETS[architecture])
    (into / f"{name}.cdx.json").write_text(json.dumps(bill, indent=2) + "\n")
    files = sorted(into.iterdir())
    sums = "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)
    (into / f"SHA256SUMS-{architecture}").write_text(sums)
    print(sums, end="")


def architecture_of(built):
    """The architecture of the zip, read from the binary in it."""
    with zipfile.ZipFile(built) as content:
        if content.namelist() != ["bootstrap"]:
            raise Refused(f"{built} has {content.namelist()} in it, where Lambda looks for bootstrap alone.")
        header = content.read("bootstrap")[:20]
    machine = int.from_bytes(header[18:20], "little")
    if header[:4] != b"\x7fELF" or machine not in MACHINES:
        raise Refused(f"{built} was not built for Lambda.")
    return MACHINES[machine]


def bill_of_materials(target):
    """CycloneDX, with what is compiled in as required and what only runs while it is compiled as excluded.

    cargo-cyclonedx goes by `cargo metadata`, which counts the features that only tests turn on, and takes macros for a part of
    the function.
    """
    linked, compiling = dependencies(target)
    file = PROJECT / "bill.json"
    command = ["cargo", "cyclonedx", "--quiet", "--format", "json", "--spec-version", CYCLONEDX, "--target", target]
    try:
        subprocess.run([*command, "--override-filename", file.stem], cwd=PROJECT, check=True)
        # Its own name for the project is a path of the machine.
        bill = json.loads(file.read_text().replace(f"path+file://{PROJECT}#", ""))
    finally:
        # It writes one for each member of the workspace.
        for bill_of_member in (file, *PROJECT.glob(f"tests/*/{file.name}")):
            bill_of_member.unlink(missing_ok=True)
    bill["components"] = [it for it in bill["components"] if identity(it) in linked | compiling]
    for component in bill["components"]:
        component["scope"] = "required" if identity(component) in linked else "excluded"
    known = {it["bom-ref"] for it in [bill["metadata"]["component"], *bill["components"]]}
    bill["dependencies"] = [
        it | {"dependsOn": [ref for ref in it.get("dependsOn", []) if ref in known]}
        for it in bill["dependencies"]
        if it["ref"] in known
    ]
    return bill


def identity(component):
    return component["name"], component["version"]


def verify(bill, target):
    """A bill of materials has every crate of the function as Cargo.lock has it, and no other, and is CycloneDX."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    for scope, crates in zip(("required", "excluded"), dependencies(target), strict=True):
        listed = [identity(it) for it in bill["components"] if it["scope"] == scope]
        if sorted(listed) != sorted(crates):
            raise Refused(f"{scope}: the bill of materials and Cargo.lock differ by {sorted(set(listed) ^ set(crates))}.")
    lock = tomllib.loads((PROJECT / "Cargo.lock").read_text())["package"]
    checksums = {(it["name"], it["version"]): it.get("checksum") for it in lock}
    for component in bill["components"]:
        hashes = [it["content"] for it in component.get("hashes", []) if it["alg"] == "SHA-256"]
        if hashes != [checksums[identity(component)]]:
            raise Refused(f"{identity(component)} has another checksum than in Cargo.lock.")
    if str(PROJECT) in json.dumps(bill):
        raise Refused("The bill of materials names a folder of this machine.")
    # Last, because it takes seconds.
    error = JsonStrictValidator(SchemaVersion.from_version(CYCLONEDX)).validate_str(json.dumps(bill))
    if error:
        raise Refused(f"The bill of materials is not CycloneDX {CYCLONEDX}: {error}")
    linked, compiling = dependencies(target)
    print(f"CycloneDX {CYCLONEDX}: {len(linked)} crates in the function, {len(compiling)} that run while it is compiled")


def main(arguments):
    match arguments:
        case ["check", tag]:
            check(tag)
        case ["package", built, into]:
            package(Path(built), Path(into))
        case ["deployable", built, into]:
            deployable(Path(built), Path(into))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Refused as refusal:
        sys.exit(str(refusal))
