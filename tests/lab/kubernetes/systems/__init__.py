"""Clusters of whole systems in an emulated API server: ``storebridge.build(api, "degraded")``.

What is healthy is created without a status, so that the emulator's controllers run it and it can be rolled out, parked
and scaled. What is wrong is planted with a status and stays as it is. Everything is relative to the moment of the call.
"""

from lab.kubernetes.systems.building import STATES, Place

__all__ = ["STATES", "Place"]
