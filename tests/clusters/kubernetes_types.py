"""The API types of Kubernetes' Python client as a validator that refuses unknown fields."""

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
    "Deployment": "V1Deployment",
    "Service": "V1Service",
    "PodDisruptionBudget": "V1PodDisruptionBudget",
}


def problems(document: dict[str, Any]) -> list[str]:
    """Return the problems of a document against the API type of its kind."""
    return misfits(document, KINDS[document["kind"]])


def misfits(value: Any, type_name: str) -> list[str]:
    """Return the problems of a value against a named type, such as V1PodTemplateSpec."""
    try:
        getattr(models, type_name).model_validate(value, strict=True, extra="forbid")
    except ValidationError as error:
        return [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    return []
