"""StoreBridge's HTTP API, answering from the same rows as the database holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from lab.http_stub import Answer, Reply, Request, Routes
from lab.sizes import factor_of
from lab.storebridge import generator
from lab.storebridge.database import PRODUCTS
from lab.storebridge.generator import Job, Registration

PAGE_SIZE, MOST_A_PAGE = 20, 100


def http_routes(
    scenario: str, now: datetime, size: str | int = "small", seed: int = 1, token: str | None = None
) -> Routes:
    """The routes for a stub; with ``token`` they ask for it themselves (``lab up`` has the stub do that)."""
    products = PRODUCTS * factor_of(size)
    jobs = generator.jobs(scenario, seed, now)
    reviews = [row for row in generator.registrations(scenario, seed, now, products) if row.state == "MANUAL_REVIEW"]
    numbers = {str(generator.product_id(seed, number)): number for number in range(products)}

    def list_jobs(request: Request) -> Reply:
        try:
            after, before = (_moment(request, name) for name in ("created_after", "created_before"))
        except ValueError as error:
            return _problem(400, str(error))
        status = request.argument("status")
        found = [
            job
            for job in jobs
            if (after is None or job.created_at >= after)
            and (before is None or job.created_at < before)
            and (status is None or job.status == status)
        ]
        return _page(request, found, _job)

    def list_reviews(request: Request) -> Reply:
        return _page(request, reviews, lambda row: _review(row, seed))

    def product(request: Request) -> Reply:
        number = numbers.get(request.matched["id"])
        if number is None:
            return _problem(404, f"there is no product {request.matched['id']}")
        return Reply(
            200, {"id": request.matched["id"], "domeggook_item_id": f"DG{100_000 + number}", "status": "ACTIVE"}
        )

    def validate(request: Request) -> Reply:
        if "json" not in request.headers.get("content-type", ""):
            return _problem(415, "Content-Type must be application/json")
        try:
            item = str(request.json()["domeggook_item_id"])
        except (ValueError, KeyError, TypeError):
            return _problem(422, "domeggook_item_id is missing")
        known = re.fullmatch(r"DG\d{6}", item) is not None
        return Reply(200, {"domeggook_item_id": item, "valid": known, "errors": [] if known else ["UNKNOWN_ITEM"]})

    def retry(request: Request) -> Reply:
        if request.matched["id"] not in numbers:
            return _problem(404, f"there is no product {request.matched['id']}")
        return Reply(202, {"id": request.matched["id"], "state": "PENDING"})

    routes: dict[str, Answer] = {
        "GET /health": {"status": "ok", "checks": {"database": "ok", "redis": "ok"}, "version": "1.4.2"},
        "GET /v1/jobs": list_jobs,
        "GET /v1/manual-review": list_reviews,
        "POST /v1/products/validate": validate,
        "GET /v1/products/{id}": product,
        "POST /v1/products/{id}/retry": retry,
    }
    return {key: answer if key == "GET /health" else _guarded(answer, token) for key, answer in routes.items()}


def _guarded(answer: Callable[[Request], Reply], token: str | None) -> Callable[[Request], Reply]:
    def route(request: Request) -> Reply:
        if token is not None and request.bearer != token:
            return _problem(401, "a valid bearer token is required")
        return answer(request)

    return route


def _problem(status: int, message: str) -> Reply:
    words = {400: "bad request", 401: "unauthorized", 404: "not found", 415: "unsupported media type"}
    return Reply(status, {"error": words.get(status, "invalid"), "message": message})


def _moment(request: Request, name: str) -> datetime | None:
    """A date means midnight in Seoul, where the service lives."""
    text = request.argument(name)
    if text is None:
        return None
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return generator.seoul(datetime.fromisoformat(text).date())
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise ValueError(f"{name} is no moment: {text}") from None
    # A "+" that was not encoded arrives as a space, and a moment without its timezone means nothing.
    if moment.tzinfo is None:
        raise ValueError(f"{name} has no timezone: {text}")
    return moment


def _page(request: Request, rows: Sequence[Any], shown: Callable[[Any], dict[str, Any]]) -> Reply:
    try:
        number = int(request.argument("page") or 1)
        size = int(request.argument("page_size") or PAGE_SIZE)
    except ValueError:
        return _problem(400, "page and page_size are numbers")
    if number < 1 or not 1 <= size <= MOST_A_PAGE:
        return _problem(400, f"page begins at 1, and page_size is 1 to {MOST_A_PAGE}")
    start = (number - 1) * size
    pages = -(-len(rows) // size)
    return Reply(
        200,
        {
            "items": [shown(row) for row in rows[start : start + size]],
            "pagination": {"page": number, "page_size": size, "total": len(rows), "total_pages": pages},
        },
    )


def _job(row: Job) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "type": row.type,
        "status": row.status,
        "created_at": row.created_at.isoformat(),
        "completed_at": row.completed_at.isoformat() if row.completed_at else None,
    }


def _review(row: Registration, seed: int) -> dict[str, Any]:
    return {
        "product_id": str(generator.product_id(seed, row.product)),
        "error_code": row.error_code,
        "error_message": row.error_message,
        "created_at": row.created_at.isoformat(),
    }
