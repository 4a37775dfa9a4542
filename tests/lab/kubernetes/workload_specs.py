"""Where the pods of a workload are described."""

from __future__ import annotations

from typing import Any

from lab.kubernetes.kinds import Object

TEMPLATES: dict[str, tuple[str, ...]] = {
    "pods": (),
    **dict.fromkeys(("deployments", "replicasets", "statefulsets", "daemonsets", "jobs"), ("spec", "template")),
    "cronjobs": ("spec", "jobTemplate", "spec", "template"),
}


def template_of(plural: str, value: Object) -> Any:
    """The pod, or the pod template, in an object; None where there is none."""
    found: Any = value
    for step in TEMPLATES.get(plural, ("none",)):
        found = found.get(step) if isinstance(found, dict) else None
    return found


def pod_spec_of(plural: str, value: Object) -> Any:
    found = template_of(plural, value)
    return found.get("spec") if isinstance(found, dict) else None


def place_of(plural: str) -> str:
    """As messages name it: ``spec.template.spec``."""
    return ".".join((*TEMPLATES[plural], "spec"))
