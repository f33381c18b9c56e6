"""Kubernetes' own API types, from its Python client, which here refuse what they do not know."""

from __future__ import annotations

from typing import Any

from kubernetes.client import models
from pydantic import ValidationError

KINDS = {
    "ServiceAccount": "V1ServiceAccount",
    "ConfigMap": "V1ConfigMap",
    "NetworkPolicy": "V1NetworkPolicy",
    "Role": "V1Role",
    "RoleBinding": "V1RoleBinding",
    "CronJob": "V1CronJob",
}


def problems(document: dict[str, Any]) -> list[str]:
    """What the API type of its kind has against a document."""
    return misfits(document, KINDS[document["kind"]])


def misfits(value: Any, type_name: str) -> list[str]:
    """What the named type, such as V1PodTemplateSpec, has against a value."""
    try:
        getattr(models, type_name).model_validate(value, strict=True, extra="forbid")
    except ValidationError as error:
        return [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    return []
