# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a measuring module inside the controller's worker when it would run on the controller anyway.

An endpoint is measured over the network, from the controller: its host has ``ansible_connection: local`` and the
interpreter that runs Ansible. Packing the module, starting another Python and importing everything again costs
several times what the measurement does, so the module's C(main) is called in the worker instead, as network
collections do. On any other host, connection, interpreter or user, and with C(runbook_direct=false), the module is
sent as usual. Options, checks, masking and results are the same in both ways.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.parameters import remove_values
from ansible.module_utils.common.warnings import get_deprecation_messages, get_warning_messages
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

# Loaded here, in the parent of all workers, so that the filter need not be compiled in every one of them.
from ansible_collections.runbook.ops.plugins.plugin_utils.judging import judge as _judge  # noqa: F401


class _Done(BaseException):
    """The module has its result. Not an Exception: a module's own handlers must not catch it."""

    def __init__(self, result: dict[str, Any]) -> None:
        super().__init__()
        self.result = result


class _Here(AnsibleModule):  # type: ignore[misc]  # Ansible carries no types.
    """An AnsibleModule whose parameters come from the task and whose result goes back to it."""

    arguments: ClassVar[dict[str, Any]] = {}

    def _load_params(self) -> None:
        self.params = dict(self.arguments)

    def exit_json(self, **kwargs: Any) -> NoReturn:
        self._leave(kwargs)

    def fail_json(self, msg: str, **kwargs: Any) -> NoReturn:
        self._leave({**kwargs, "failed": True, "msg": msg})

    def _leave(self, result: dict[str, Any]) -> NoReturn:
        result.setdefault("changed", False)
        warnings = [*result.get("warnings", []), *get_warning_messages()]
        if warnings:
            result["warnings"] = warnings
        if deprecations := get_deprecation_messages():
            result["deprecations"] = list(deprecations)
        # As over a wire: plain data, without the values of secret options.
        raise _Done(json.loads(json.dumps(remove_values(result, self.no_log_values), default=str)))


class DirectAction(ActionBase):  # type: ignore[misc]  # Ansible carries no types.
    """Base of the actions that stand before measuring modules; C(module) is the module's file, imported."""

    module: ModuleType

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call the module here, or send it."""
        self._supports_check_mode = True
        self._supports_async = True
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        del tmp
        if self._is_here(variables):
            return result | self._call(variables)
        result.update(self._send(variables))
        return result

    def _send(self, variables: dict[str, Any]) -> dict[str, Any]:
        sent: dict[str, Any] = self._execute_module(task_vars=variables, wrap_async=self._task.async_val)
        return sent

    def _is_here(self, variables: dict[str, Any]) -> bool:
        if self._connection.transport != "local" or self._task.async_val or self._task.delegate_to:
            return False
        if self._connection.become is not None:
            return False
        if not boolean(self._templar.template(variables.get("runbook_direct", True))):
            return False
        interpreter = self._templar.template(variables.get("ansible_python_interpreter", ""))
        # A virtual environment's interpreter is a link: what counts is its own place, not where it leads.
        return bool(interpreter) and Path(str(interpreter)).absolute() == Path(sys.executable).absolute()

    def _call(self, variables: dict[str, Any]) -> dict[str, Any]:
        """Call C(main) of the module. Workers are processes of their own: nothing is left behind in another task."""
        environment: dict[str, str] = {}
        self._compute_environment_string(environment)
        os.environ.update(environment)
        _Here.arguments = {
            **self._task.args,
            "_ansible_check_mode": self._task.check_mode,
            "_ansible_diff": self._task.diff,
            "_ansible_no_log": self._task.no_log,
            "_ansible_module_name": self._task.action,
            "_ansible_version": variables.get("ansible_version", {}).get("full", ""),
        }
        standard = vars(self.module)["AnsibleModule"]
        vars(self.module)["AnsibleModule"] = _Here
        try:
            self.module.main()
        except _Done as done:
            return done.result
        finally:
            vars(self.module)["AnsibleModule"] = standard
        raise AssertionError(f"{self._task.action} ended without a result")
