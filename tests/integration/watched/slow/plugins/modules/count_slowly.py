"""A module that takes as long as its test wants; a step is whole when its line is in the journal."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress, Stopped

DOCUMENTATION = r"""
module: count_slowly
short_description: Count until a file appears
description:
  - Counts, and keeps a journal.
author:
  - The runbook.ops contributors (@runbook-ops)
options:
  journal:
    description: File to which every step is written.
    type: path
    required: true
  gate:
    description: File whose appearance ends the counting. If not given, it ends by itself after three steps.
    type: path
  how:
    description: What becomes of it.
    type: str
    choices: [well, fail, crash, deaf]
    default: well
  patience:
    description: Seconds after which a silent watcher counts as gone.
    type: float
    default: 60
  secret:
    description: A secret that is repeated in the result.
    type: str
  progress_path:
    description: Set by the action.
    type: path
"""


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "journal": {"type": "path", "required": True},
            "gate": {"type": "path"},
            "how": {"type": "str", "default": "well", "choices": ["well", "fail", "crash", "deaf"]},
            "patience": {"type": "float", "default": 60.0},
            "secret": {"type": "str", "no_log": True},
            "progress_path": {"type": "path"},
        },
        supports_check_mode=True,
    )
    how, gate = module.params["how"], module.params["gate"]

    def note(text: str) -> None:
        with Path(module.params["journal"]).open("a", encoding="utf-8") as journal:
            journal.write(f"{text}\n")

    module.warn("Counting is slow")
    progress = Progress(module.params["progress_path"], every=0.1, patience=module.params["patience"])
    note(f"pid {os.getpid()}")
    note(f"watched {module.params['progress_path']}")
    done = 0
    try:
        with progress.stoppable():
            progress.phase("count", "public.steps", unit="steps")
            while not (Path(gate).exists() if gate else done == 3):
                time.sleep(0.05)
                done += 1
                note(f"step {done}")
                if how == "crash" and done == 3:
                    os.kill(os.getpid(), signal.SIGKILL)
                if how != "deaf" or done < 20:
                    progress.at(done, "keeps a journal")
            progress.check()
            if how == "fail":
                module.fail_json(msg="Counting failed", counted=done)
    except Stopped as stopped:
        note(f"stopped {done}")
        module.fail_json(
            msg=f"{stopped.message}. The steps up to {done} are whole. Run the task again to go on", counted=done
        )
    note("end")
    module.exit_json(
        changed=not module.check_mode,
        counted=None if gate else done,
        repeated=module.params["secret"],
        greeting=os.environ.get("GREETING"),
        diff={"before": "0\n", "after": "3\n"} if module._diff else None,
    )


if __name__ == "__main__":
    main()
