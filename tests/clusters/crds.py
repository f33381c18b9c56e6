"""KubeRay's resource definitions as a strict validator.

    python -m tests.clusters.crds FOLDER     updates the definitions from ray.io_*.yaml of KubeRay's helm chart

An API server prunes unknown fields; this validator refuses them. CEL rules (x-kubernetes-validations) are not evaluated.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

STORED = Path(__file__).parent / "schemas" / "kuberay.json"
_SHARED_FROM = 200


def problems(document: dict[str, Any]) -> list[str]:
    """Return the problems of a document against the definition of its kind."""
    errors = _validator(document["kind"]).iter_errors(document)
    return sorted(f"{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in errors)


@cache
def _validator(kind: str) -> Draft202012Validator:
    stored = json.loads(STORED.read_text())
    stored["RayService"] = _ray_service(stored)
    return Draft202012Validator({**_strict(stored[kind]), "$defs": _strict(stored["$defs"])})


def _ray_service(stored: dict[str, Any]) -> dict[str, Any]:
    """Return the definition of a RayService, which repeats that of the RayCluster: the fields of `RayServiceSpec` that are used."""
    cluster = stored["RayCluster"]["properties"]
    spec = {
        "serveConfigV2": {"type": "string"},
        "rayClusterConfig": cluster["spec"],
        "upgradeStrategy": {"type": "object", "properties": {"type": {"enum": ["NewCluster", "None"]}}},
    }
    return {
        "type": "object",
        "required": ["spec"],
        "properties": {
            **{name: cluster[name] for name in ("apiVersion", "kind", "metadata")},
            "spec": {"type": "object", "required": list(spec)[:2], "properties": spec},
        },
    }


def _strict(schema: Any) -> Any:
    """Convert OpenAPI to JSON Schema that refuses unknown fields, and null unless nullable."""
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    converted = {key: _strict(value) for key, value in schema.items()}
    if isinstance(converted.get("properties"), dict) and "additionalProperties" not in converted:
        converted["additionalProperties"] = bool(converted.get("x-kubernetes-preserve-unknown-fields"))
    if converted.get("nullable") is True and isinstance(converted.get("type"), str):
        converted["type"] = [converted["type"], "null"]
    return converted


def compact(schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the schemas without descriptions, with shared parts stored once under $defs."""
    bare = {kind: _bare(schema) for kind, schema in schemas.items()}
    seen: Counter[str] = Counter()
    for schema in bare.values():
        _count(schema, seen)
    shared: dict[str, Any] = {}
    converted = {kind: _share(schema, seen, shared) for kind, schema in bare.items()}
    return {"$defs": dict(sorted(shared.items())), **converted}


def _bare(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            key: _bare(value)
            for key, value in schema.items()
            if not (key == "description" and isinstance(value, str)) and key != "x-kubernetes-validations"
        }
    return [_bare(one) for one in schema] if isinstance(schema, list) else schema


def _count(schema: Any, seen: Counter[str]) -> None:
    for one in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        _count(one, seen)
    if _is_schema(schema):
        seen[_text(schema)] += 1


def _share(schema: Any, seen: Counter[str], shared: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_share(one, seen, shared) for one in schema]
    if not isinstance(schema, dict):
        return schema
    converted = {key: _share(value, seen, shared) for key, value in schema.items()}
    text = _text(schema)
    if not _is_schema(schema) or seen[text] < 2 or len(text) < _SHARED_FROM:
        return converted
    name = hashlib.sha256(text.encode()).hexdigest()[:10]
    shared[name] = converted
    return {"$ref": f"#/$defs/{name}"}


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("type"), str)


def _text(schema: Any) -> str:
    return json.dumps(schema, sort_keys=True)


def main(folder: str) -> None:
    schemas = {}
    for path in sorted(Path(folder).glob("ray.io_*.yaml")):
        spec = yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))["spec"]
        version = next(one for one in spec["versions"] if one["name"] == "v1")
        schemas[spec["names"]["kind"]] = version["schema"]["openAPIV3Schema"]
    STORED.write_text(json.dumps(compact(schemas), indent=None, separators=(",", ":"), sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
