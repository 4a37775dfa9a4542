# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all filters share: their only exception, and how they see undefined values."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from ansible.errors import AnsibleFilterError
from ansible.template import accept_args_markers, accept_lazy_markers

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def filter_errors(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Turn the collection's own errors into the one that Ansible shows well."""

    @functools.wraps(function)
    def wrapper(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except RunbookError as error:
            raise AnsibleFilterError(f"{function.__name__}: {error.message}") from error

    return wrapper


def sees_undefined(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Let a filter see undefined values, in its arguments and inside them, as C(jinja2.Undefined)."""
    marked: Any = accept_args_markers(accept_lazy_markers(function))
    return cast(Callable[Parameters, Result], marked)
