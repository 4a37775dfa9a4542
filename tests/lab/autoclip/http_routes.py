"""AutoClip's API, and the models that content is made with: they are asked for without a key, and say so."""

from __future__ import annotations

from lab.http_stub import Routes


def http_routes() -> Routes:
    """The routes for a stub that asks for a token everywhere but at /health."""
    return {"/health": {"status": "ok"}, "/v1beta/models": {"models": []}, "/v1/user": {}}
