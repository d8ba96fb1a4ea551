#!/usr/bin/env python3
"""Writes what a release is made of, as CycloneDX 1.5 in JSON: every crate that the program is built
from, with the checksum of Cargo.lock, and every npm package that the site is built from, with that of
package-lock.json.

    python3 docker/sbom.py SOURCE_DATE_EPOCH [cargo's options …] > sbom.cdx.json

It asks `cargo tree` and reads the lock files, which are both there without a network. The same
sources give the same bytes. Only the standard library is used.
"""

import base64
import datetime
import json
import pathlib
import subprocess
import sys
import tomllib
import uuid
from urllib.parse import quote

ROOT = pathlib.Path(__file__).resolve().parent.parent


def tree(options, kinds):
    """Each crate that the program is made with over dependencies of these kinds: name and version
    to its licence and to whom it uses itself. `cargo tree` knows which features are on, where
    `cargo metadata` lists everything that could be."""
    command = ["cargo", "tree", *options, "--locked", "--package", "bkg", "--edges", kinds]
    command += ["--prefix", "depth", "--format", "\t{p}\t{l}\t"]
    found, above = {}, []
    for line in subprocess.check_output(command, cwd=ROOT, text=True).splitlines():
        depth, name, licence, _ = line.split("\t")
        name, version = name.split()[:2]
        one = (name, version.removeprefix("v"))
        del above[int(depth) :]
        if above:
            found[above[-1]][1].add(one)
        # A crate that was told before comes again without what it uses.
        found.setdefault(one, (licence, set()))
        above.append(one)
    return found


def crate_url(crate):
    name, version = crate
    return f"pkg:cargo/{quote(name)}@{quote(version, safe='.-')}"


def component(crate, licence, checksums, linked):
    """One crate. What only takes part in building it is said to be excluded from it."""
    url = crate_url(crate)
    told = {
        "type": "library",
        "bom-ref": url,
        "name": crate[0],
        "version": crate[1],
        "scope": "required" if linked else "excluded",
        "purl": url,
    }
    # The old way to write "or" is still about.
    if licence:
        told["licenses"] = [{"expression": licence.replace("/", " OR ")}]
    if checksums.get(crate):
        told["hashes"] = [{"alg": "SHA-256", "content": checksums[crate]}]
    return told


def crates(options):
    """The program, its crates, and who uses whom."""
    built, linked = tree(options, "normal,build"), tree(options, "normal")
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    checksums = {(one["name"], one["version"]): one.get("checksum") for one in lock["package"]}
    program = next(iter(built))
    components = [
        component(one, licence, checksums, one in linked)
        for one, (licence, _) in built.items()
        if one != program
    ]
    edges = {
        crate_url(one): sorted(crate_url(used) for used in uses)
        for one, (_, uses) in built.items()
    }
    return program, built[program][0], components, edges


def npm_packages():
    """What the site is built with and from; the lock file does not say which of it is bundled."""
    lock = ROOT / "static/package-lock.json"
    if not lock.exists():
        return []
    found = {}
    for path, one in json.loads(lock.read_text())["packages"].items():
        if not path or one.get("link"):
            continue
        name = one.get("name") or path.rpartition("node_modules/")[2]
        url = f"pkg:npm/{quote(name, safe='/')}@{one['version']}"
        component = {
            "type": "library",
            "bom-ref": url,
            "name": name,
            "version": one["version"],
            "purl": url,
        }
        if one.get("license"):
            component["licenses"] = [{"expression": one["license"]}]
        if one.get("integrity", "").startswith("sha512-"):
            digest = base64.b64decode(one["integrity"].removeprefix("sha512-")).hex()
            component["hashes"] = [{"alg": "SHA-512", "content": digest}]
        found[url] = component
    return list(found.values())


def main():
    when = datetime.datetime.fromtimestamp(int(sys.argv[1]), datetime.timezone.utc)
    program, licence, components, edges = crates(sys.argv[2:])
    components += npm_packages()
    components.sort(key=lambda one: one["bom-ref"])
    url = crate_url(program)
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application",
                "bom-ref": url,
                "name": program[0],
                "version": program[1],
                "purl": url,
                "licenses": [{"expression": licence}],
            },
        },
        "components": components,
        "dependencies": [
            {"ref": one, "dependsOn": edges[one]} for one in sorted(edges)
        ],
    }
    # Its name says what is in it, so that the same content has the same.
    content = json.dumps(document, sort_keys=True)
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}"
    json.dump(document, sys.stdout, indent=1, sort_keys=True)
    print()


if __name__ == "__main__":
    main()
